import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import { MIB } from "../support/rpc.ts";
import type { Answer, Call } from "./calls.ts";
import { PUBLISHED, STAGED, UP, VolumeState } from "./volume-state.ts";

/** Definite answers that would mean that an acknowledged volume is gone. */
const GONE = "^NOT_FOUND: (?!node )";

/** The user of one volume: makes the calls of its sidecars and kubelets. */
export class VolumeUser extends VolumeState {
  async create(): Promise<boolean> {
    // A sidecar never creates a volume anew whose deletion it has begun and not ended.
    if (this.deleting && !(await this.endDeletion())) return false;
    this.maybeThere = true;
    const made = await this.caller.until(
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

  /** ControllerPublishVolume once more, for a node that has the volume. */
  async publishAgain(node: string): Promise<boolean> {
    return (await this.caller.until(this.publishCall(node, GONE))) !== undefined;
  }

  /** All steps of a node, from where it stands. @returns whether all were acknowledged */
  async bringUp(node: string): Promise<boolean> {
    const at = this.progress(node);
    if (this.forced.has(node) && !(await this.cleanForced(node))) return false;
    if (this.plan.kind === "machine") this.site.cluster?.launcher(this.plan.name, node);
    this.detachedSince = undefined;
    at.begun = Math.max(at.begun, PUBLISHED);
    const published = await this.caller.until(this.publishCall(node, GONE));
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
    if ((await this.caller.until(stage)) === undefined) return false;
    at.done = Math.max(at.done, STAGED);
    at.begun = UP;
    const publish = this.nodeCall(node, "NodePublishVolume", (client, options) =>
      client.nodePublishVolume({ ...staged, targetPath: this.target(node) }, options),
    );
    if ((await this.caller.until(publish)) === undefined) return false;
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
    const { value } = await this.caller.once(first());
    if (during === "publish" || value === undefined) return;
    await mkdir(join(this.staging(node), ".."), { recursive: true });
    at.begun = STAGED;
    const { publishContext } = value;
    const staged = { volumeId, publishContext, stagingTargetPath: this.staging(node), volumeCapability };
    const second = this.nodeCall(node, "NodeStageVolume", (client, options) =>
      client.nodeStageVolume(staged, { ...options, signal: AbortSignal.timeout(ms) }),
    );
    await this.caller.once(second());
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
      if ((await this.caller.until(call)) === undefined) return false;
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
        if (by !== undefined) this.history.add({ fact: "releasedInUse", volume: this.plan.name, node, by });
        return answer;
      });
      if ((await this.caller.until(call)) === undefined) return false;
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
    if ((await this.caller.until(call)) === undefined) return false;
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
    return this.caller.once({ ...call, never });
  }

  /** Repeats a deletion that was not acknowledged. */
  endDeletion(): Promise<boolean> {
    this.volumeId ??= volumeIdFromName(this.plan.name);
    return this.remove();
  }

  async remove(): Promise<boolean> {
    const call = this.controllerCall("DeleteVolume", (controller, options) =>
      controller.deleteVolume({ volumeId: this.volumeId ?? "" }, options),
    );
    const before = this.volumeId;
    if (before === undefined) return true;
    // From the first call on nobody may count on its content.
    this.volumeId = undefined;
    this.deleting = true;
    this.writer.records.restart();
    const gone = await this.caller.until(() => {
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
    this.deleting = false;
    this.bytes = BigInt(this.plan.mib) * MIB;
    this.site.cluster?.forget(this.plan.name);
    return true;
  }
}
