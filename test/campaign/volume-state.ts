import { join } from "node:path";
import { block, type Capability, MIB, Mode, mount } from "../support/rpc.ts";
import type { Call, Caller } from "./calls.ts";
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

/** What the campaign knows of one volume: its acknowledged state, its paths, and how its calls are made. */
export class VolumeState {
  readonly plan: VolumePlan;
  readonly writer: Writer;
  readonly nodes = new Map<string, Progress>();
  /** Nodes from which the volume was detached by force: they still have it staged, under an old NQN. */
  readonly forced = new Set<string>();
  volumeId: string | undefined;
  /** A migration of the machine is under way: until its source, or its target, has let go. */
  migrating = false;
  /** CreateVolume was called, and no DeleteVolume has been acknowledged since. */
  maybeThere = false;
  /** DeleteVolume was called and not acknowledged: the volume, with its content, may still be there. */
  deleting = false;
  bytes: bigint;
  /** It was expanded while a node had it: the device may show the size after a new attachment only, and a stage is refused until then. */
  grownInUse = false;
  /** Time (performance.now) of the last detach, if it was acknowledged and no attach has begun since. */
  detachedSince: number | undefined = 0;
  readonly site: Site;
  readonly caller: Caller;
  readonly history: History;
  #calls = 0;
  #patient = 0;

  constructor(plan: VolumePlan, site: Site, caller: Caller, history: History) {
    this.plan = plan;
    this.site = site;
    this.caller = caller;
    this.history = history;
    this.bytes = BigInt(plan.mib) * MIB;
    this.writer = new Writer(plan.name, plan.kind === "filesystem", history);
  }

  get capability(): Capability {
    if (this.plan.kind === "filesystem") return mount();
    return block(this.plan.kind === "machine" ? Mode.MULTI_NODE_MULTI_WRITER : Mode.SINGLE_NODE_WRITER);
  }

  /** Most nodes that may write at a time. Without Kubernetes nothing tells the driver whether a machine migrates. */
  get most(): number {
    const mayMigrate = this.migrating || this.site.cluster === undefined;
    return this.plan.kind === "machine" && mayMigrate ? 2 : 1;
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
        run: (deadlineMs) => run(this.site.controller(index), this.options(deadlineMs)),
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
      run: (deadlineMs) => run(this.site.node(node), this.options(deadlineMs)),
    });
  }

  /** Each third caller leaves at its deadline; the others wait, and see when the answer comes. */
  options(deadlineMs: number): object {
    this.#patient += 1;
    return this.#patient % 3 === 0
      ? { deadlineMs }
      : { announcedMs: deadlineMs, deadlineMs: deadlineMs + 15_000 };
  }
}
