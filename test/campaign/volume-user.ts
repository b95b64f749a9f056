import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { block, type Capability, MIB, Mode, mount } from "../support/rpc.ts";
import type { Answer, Call, Caller } from "./calls.ts";
import type { History } from "./history.ts";
import type { VolumePlan } from "./plan.ts";
import type { Site } from "./site.ts";
import { Writer } from "./writer.ts";

/** How far a node has got with a volume: the last step that was begun, and the last one that was acknowledged. */
export interface Progress {
  begun: number;
  done: number;
  context: Readonly<Record<string, string>>;
}

/** Steps of a node, in their order. */
export const PUBLISHED = 1;
export const STAGED = 2;
export const UP = 3;

/** Definite answers that would mean that an acknowledged volume is gone. */
const GONE = "^NOT_FOUND: (?!node )";

/** The user of one volume: makes the calls of its sidecars and kubelets, and knows the acknowledged state. */
export class VolumeUser {
  readonly plan: VolumePlan;
  readonly writer: Writer;
  readonly nodes = new Map<string, Progress>();
  /** Nodes from which the volume was detached by force: they still have it staged, under an old NQN. */
  readonly forced = new Set<string>();
  volumeId: string | undefined;
  /** CreateVolume was called, and no DeleteVolume has been acknowledged since. */
  maybeThere = false;
  bytes: bigint;
  /** It was expanded while a node had it: the device may show the size after a new attachment only, and a stage is refused until then. */
  grownInUse = false;
  /** Time (performance.now) of the last detach, if it was acknowledged and no attach has begun since. */
  detachedSince: number | undefined = 0;
  readonly site: Site;
  readonly #caller: Caller;
  readonly #history: History;
  #calls = 0;
  #patient = 0;

  constructor(plan: VolumePlan, site: Site, caller: Caller, history: History) {
    this.plan = plan;
    this.site = site;
    this.#caller = caller;
    this.#history = history;
    this.bytes = BigInt(plan.mib) * MIB;
    this.writer = new Writer(plan.name, plan.kind === "filesystem", history);
  }

  get capability(): Capability {
    if (this.plan.kind === "filesystem") return mount();
    return block(this.plan.kind === "machine" ? Mode.MULTI_NODE_MULTI_WRITER : Mode.SINGLE_NODE_WRITER);
  }

  /** Most nodes that may write at a time. */
  get most(): number {
    return this.plan.kind === "machine" ? 2 : 1;
  }

  /** Nodes with all steps acknowledged. */
  get up(): string[] {
    return [...this.nodes].flatMap(([node, { done }]) => (done === UP ? [node] : []));
  }

  /** Nodes with any step begun. */
  get touched(): string[] {
    return [...this.nodes].flatMap(([node, { begun }]) => (begun > 0 ? [node] : []));
  }

  progress(node: string): Progress {
    const known = this.nodes.get(node) ?? { begun: 0, done: 0, context: {} };
    this.nodes.set(node, known);
    return known;
  }

  staging(node: string): string {
    return join(this.site.stand.directory, "kubelet", node, this.plan.name, "staging");
  }

  target(node: string): string {
    return join(this.site.stand.directory, "kubelet", node, this.plan.name, "target");
  }

  /** A call of the controller; replicas take turns. */
  controllerCall<T>(
    method: string,
    run: (controller: ReturnType<Site["controller"]>, options: object) => Promise<T>,
    never?: string,
  ): () => Call<T> {
    return () => {
      const index = this.#calls++ % this.site.plan.controllers;
      return {
        ...{ volume: this.plan.name, method, process: `controller-${index}` },
        ...(never === undefined ? {} : { never }),
        run: (deadlineMs) => run(this.site.controller(index), this.#options(deadlineMs)),
      };
    };
  }

  nodeCall<T>(
    node: string,
    method: string,
    run: (client: ReturnType<Site["node"]>, options: object) => Promise<T>,
  ): () => Call<T> {
    return () => ({
      ...{ volume: this.plan.name, method, process: node },
      run: (deadlineMs) => run(this.site.node(node), this.#options(deadlineMs)),
    });
  }

  /** Each third caller leaves at its deadline; the others wait, and see when the answer comes. */
  #options(deadlineMs: number): object {
    this.#patient += 1;
    return this.#patient % 3 === 0
      ? { deadlineMs }
      : { announcedMs: deadlineMs, deadlineMs: deadlineMs + 15_000 };
  }

  async create(): Promise<boolean> {
    this.maybeThere = true;
    const made = await this.#caller.until(
      this.controllerCall("CreateVolume", (controller, options) =>
        controller.createVolume(
          {
            name: this.plan.name,
            capacityRange: { requiredBytes: BigInt(this.plan.mib) * MIB },
            volumeCapabilities: [this.capability],
            parameters: {
              "csi.storage.k8s.io/pvc/namespace": "vms",
              "csi.storage.k8s.io/pvc/name": this.plan.name,
            },
          },
          options,
        ),
      ),
    );
    if (made === undefined) return false;
    this.volumeId = made.value.volume?.volumeId ?? "";
    this.site.cluster?.volume(this.plan.name, this.volumeId);
    return true;
  }

  publishCall(node: string, never?: string) {
    return this.controllerCall(
      `ControllerPublishVolume ${node}`,
      (controller, options) =>
        controller.controllerPublishVolume(
          { volumeId: this.volumeId ?? "", nodeId: node, volumeCapability: this.capability },
          options,
        ),
      never,
    );
  }

  /** All steps of a node, from where it stands. @returns whether all were acknowledged */
  async bringUp(node: string): Promise<boolean> {
    const at = this.progress(node);
    if (this.forced.has(node) && !(await this.cleanForced(node))) return false;
    if (this.plan.kind === "machine") this.site.cluster?.launcher(this.plan.name, node);
    this.detachedSince = undefined;
    at.begun = Math.max(at.begun, PUBLISHED);
    const published = await this.#caller.until(this.publishCall(node, GONE));
    if (published === undefined) return false;
    at.context = published.value.publishContext;
    at.done = Math.max(at.done, PUBLISHED);
    const { volumeId = "", capability: volumeCapability } = this;
    const staged = {
      volumeId,
      publishContext: at.context,
      stagingTargetPath: this.staging(node),
      volumeCapability,
    };
    await mkdir(join(this.staging(node), ".."), { recursive: true });
    at.begun = Math.max(at.begun, STAGED);
    const stage = this.nodeCall(node, "NodeStageVolume", (client, options) =>
      client.nodeStageVolume(staged, options),
    );
    if ((await this.#caller.until(stage)) === undefined) return false;
    at.done = Math.max(at.done, STAGED);
    at.begun = UP;
    const publish = this.nodeCall(node, "NodePublishVolume", (client, options) =>
      client.nodePublishVolume({ ...staged, targetPath: this.target(node) }, options),
    );
    if ((await this.#caller.until(publish)) === undefined) return false;
    at.done = UP;
    return true;
  }

  /** A call of the way up whose caller leaves after `ms`; its outcome is unknown. */
  async leaveDuring(node: string, during: "publish" | "stage", ms: number): Promise<void> {
    const at = this.progress(node);
    this.detachedSince = undefined;
    at.begun = PUBLISHED;
    const leaving = { signal: AbortSignal.timeout(ms) };
    const { volumeId = "", capability: volumeCapability } = this;
    const publish = { volumeId, nodeId: node, volumeCapability };
    const first = this.controllerCall(`ControllerPublishVolume ${node}`, (controller, options) =>
      controller.controllerPublishVolume(
        publish,
        during === "publish" ? { ...options, ...leaving } : options,
      ),
    );
    const { value } = await this.#caller.once(first());
    if (during === "publish" || value === undefined) return;
    await mkdir(join(this.staging(node), ".."), { recursive: true });
    at.begun = STAGED;
    const { publishContext } = value;
    const staged = { volumeId, publishContext, stagingTargetPath: this.staging(node), volumeCapability };
    const second = this.nodeCall(node, "NodeStageVolume", (client, options) =>
      client.nodeStageVolume(staged, { ...options, signal: AbortSignal.timeout(ms) }),
    );
    await this.#caller.once(second());
  }

  /** The node's own two steps down. @returns whether both were acknowledged */
  async nodeDown(node: string, held?: () => string | undefined): Promise<boolean> {
    const at = this.progress(node);
    const { volumeId = "" } = this;
    if (at.begun >= UP) {
      at.done = Math.min(at.done, STAGED);
      const call = this.nodeCall(node, "NodeUnpublishVolume", (client, options) =>
        client.nodeUnpublishVolume({ volumeId, targetPath: this.target(node) }, options),
      );
      if ((await this.#caller.until(call)) === undefined) return false;
      at.begun = STAGED;
    }
    if (at.begun >= STAGED) {
      at.done = Math.min(at.done, PUBLISHED);
      const call = this.nodeCall(node, "NodeUnstageVolume", async (client, options) => {
        const answer = await client.nodeUnstageVolume(
          { volumeId, stagingTargetPath: this.staging(node) },
          options,
        );
        const by = held?.();
        if (by !== undefined) this.#history.add({ fact: "releasedInUse", volume: this.plan.name, node, by });
        return answer;
      });
      if ((await this.#caller.until(call)) === undefined) return false;
      at.begun = PUBLISHED;
    }
    return true;
  }

  async unpublish(node: string): Promise<boolean> {
    const at = this.progress(node);
    if (at.begun < PUBLISHED) return true;
    at.done = 0;
    const call = this.controllerCall(`ControllerUnpublishVolume ${node}`, (controller, options) =>
      controller.controllerUnpublishVolume({ volumeId: this.volumeId ?? "", nodeId: node }, options),
    );
    if ((await this.#caller.until(call)) === undefined) return false;
    at.begun = 0;
    if (this.plan.kind === "machine") this.site.cluster?.launcherGone(this.plan.name, node);
    if (this.touched.length > 0) return true;
    this.detachedSince = performance.now();
    this.grownInUse = false;
    return true;
  }

  /** Takes the volume from a node, step by step. @returns whether everything was acknowledged */
  async takeDown(node: string, held?: () => string | undefined): Promise<boolean> {
    if (this.writer.node === node) await this.writer.stop();
    return (await this.nodeDown(node, held)) && (await this.unpublish(node));
  }

  /** The node from which the volume was detached by force releases it. */
  async cleanForced(node: string): Promise<boolean> {
    const at = this.progress(node);
    const { begun } = at;
    at.begun = UP;
    const clean = await this.nodeDown(node);
    at.begun = Math.min(begun, at.begun);
    at.done = 0;
    if (clean) this.forced.delete(node);
    return clean;
  }

  /** A call whose success would be wrong. */
  refused<T>(call: Call<T>, never: string): Promise<Answer<T>> {
    return this.#caller.once({ ...call, never });
  }

  async remove(): Promise<boolean> {
    const call = this.controllerCall("DeleteVolume", (controller, options) =>
      controller.deleteVolume({ volumeId: this.volumeId ?? "" }, options),
    );
    const before = this.volumeId;
    if (before === undefined) return true;
    // From the first call on nobody may count on its content.
    this.volumeId = undefined;
    this.writer.records.restart();
    const gone = await this.#caller.until(() => {
      const next = call();
      return {
        ...next,
        run: (deadlineMs) => {
          this.volumeId = before;
          const answer = next.run(deadlineMs);
          this.volumeId = undefined;
          return answer;
        },
      };
    });
    if (gone === undefined) return false;
    this.maybeThere = false;
    this.bytes = BigInt(this.plan.mib) * MIB;
    this.site.cluster?.forget(this.plan.name);
    return true;
  }
}
