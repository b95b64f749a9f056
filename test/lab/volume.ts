import type { MessageInitShape } from "@bufbuild/protobuf";
import type { VolumeContentSourceSchema } from "../../src/csi/gen/csi_pb.ts";
import { type Capability, GIB } from "../support/rpc.ts";
import type { World } from "./world.ts";

/** What a volume is made from. */
export type Source = NonNullable<MessageInitShape<typeof VolumeContentSourceSchema>["type"]>;

/** Where kubelet would mount a volume of a node. */
const KUBELET = "/var/lib/kubelet";

/** Volume attributes with fast timers, so that a lost connection is noticed within seconds. */
export const QUICK = { reconnectDelay: "1", keepAliveTmo: "1" };

/** A volume of the lab and the RPCs of its life, with the paths that kubelet would give them. */
export class LabVolume {
  readonly id: string;
  readonly sizeBytes: bigint;
  readonly capability: Capability;
  readonly #world: World;
  readonly #volumeContext: Record<string, string>;
  readonly #contexts = new Map<string, Record<string, string>>();

  private constructor(
    world: World,
    id: string,
    sizeBytes: bigint,
    volumeContext: Record<string, string>,
    capability: Capability,
  ) {
    this.#world = world;
    this.id = id;
    this.sizeBytes = sizeBytes;
    this.#volumeContext = volumeContext;
    this.capability = capability;
  }

  static async create(
    world: World,
    name: string,
    capability: Capability,
    parameters: Record<string, string> = {},
    sizeBytes: bigint = GIB,
    source?: Source,
  ): Promise<LabVolume> {
    const { volume } = await world.controller.createVolume({
      name,
      capacityRange: { requiredBytes: sizeBytes },
      volumeCapabilities: [capability],
      parameters,
      ...(source === undefined ? {} : { volumeContentSource: { type: source } }),
    });
    if (volume === undefined) throw new Error("CreateVolume gave no volume");
    return new LabVolume(world, volume.volumeId, volume.capacityBytes, volume.volumeContext, capability);
  }

  /** CreateSnapshot; its id. */
  async snapshot(name: string): Promise<string> {
    const { snapshot } = await this.#world.controller.createSnapshot({ name, sourceVolumeId: this.id });
    if (snapshot?.readyToUse !== true) throw new Error("CreateSnapshot gave no snapshot that is ready");
    return snapshot.snapshotId;
  }

  get staging(): string {
    return `${KUBELET}/plugins/${this.id}/globalmount`;
  }

  target(pod = "pod"): string {
    return `${KUBELET}/pods/${pod}/${this.id}`;
  }

  /** ControllerPublishVolume; the answer is what the node is given from then on. */
  async attach(node: string): Promise<Record<string, string>> {
    const { publishContext } = await this.#world.controller.controllerPublishVolume({
      volumeId: this.id,
      nodeId: node,
      volumeCapability: this.capability,
      volumeContext: this.#volumeContext,
    });
    this.#contexts.set(node, publishContext);
    return publishContext;
  }

  async detach(node: string): Promise<void> {
    await this.#world.controller.controllerUnpublishVolume({ volumeId: this.id, nodeId: node });
  }

  context(node: string): Record<string, string> {
    const context = this.#contexts.get(node);
    if (context === undefined) throw new Error(`${this.id} was never attached to ${node}`);
    return context;
  }

  async stage(node: string, deadlineMs = 60_000): Promise<void> {
    // kubelet makes the directory of a filesystem, and the parent of a block volume's.
    await this.#world.machine(node).sh(`mkdir -p ${this.staging}`);
    await this.#world.node(node).nodeStageVolume(
      {
        volumeId: this.id,
        publishContext: this.context(node),
        stagingTargetPath: this.staging,
        volumeCapability: this.capability,
        volumeContext: this.#volumeContext,
      },
      { deadlineMs },
    );
  }

  async unstage(node: string, deadlineMs = 60_000): Promise<void> {
    await this.#world
      .node(node)
      .nodeUnstageVolume({ volumeId: this.id, stagingTargetPath: this.staging }, { deadlineMs });
  }

  async publish(node: string, pod = "pod", deadlineMs = 60_000): Promise<void> {
    await this.#world.machine(node).sh(`mkdir -p ${KUBELET}/pods/${pod}`);
    await this.#world.node(node).nodePublishVolume(
      {
        volumeId: this.id,
        publishContext: this.context(node),
        stagingTargetPath: this.staging,
        targetPath: this.target(pod),
        volumeCapability: this.capability,
        volumeContext: this.#volumeContext,
      },
      { deadlineMs },
    );
  }

  async unpublish(node: string, pod = "pod", deadlineMs = 60_000): Promise<void> {
    await this.#world
      .node(node)
      .nodeUnpublishVolume({ volumeId: this.id, targetPath: this.target(pod) }, { deadlineMs });
  }

  async stats(node: string, deadlineMs = 30_000) {
    return await this.#world
      .node(node)
      .nodeGetVolumeStats(
        { volumeId: this.id, volumePath: this.target(), stagingTargetPath: this.staging },
        { deadlineMs },
      );
  }

  /** ControllerExpandVolume; the measured size in bytes. */
  async expandOnRds(requiredBytes: bigint): Promise<bigint> {
    const { capacityBytes } = await this.#world.controller.controllerExpandVolume({
      volumeId: this.id,
      capacityRange: { requiredBytes },
      volumeCapability: this.capability,
    });
    return capacityBytes;
  }

  /** NodeExpandVolume of the published volume; the measured size in bytes. */
  async expandOnNode(node: string, requiredBytes: bigint): Promise<bigint> {
    const { capacityBytes } = await this.#world.node(node).nodeExpandVolume({
      volumeId: this.id,
      volumePath: this.target(),
      stagingTargetPath: this.staging,
      capacityRange: { requiredBytes },
      volumeCapability: this.capability,
    });
    return capacityBytes;
  }

  /** Attach, stage, publish: the volume is at `target()`. */
  async up(node: string): Promise<void> {
    await this.attach(node);
    await this.stage(node);
    await this.publish(node);
  }

  /** The reverse. */
  async down(node: string): Promise<void> {
    await this.unpublish(node);
    await this.unstage(node);
    await this.detach(node);
  }

  async delete(): Promise<void> {
    await this.#world.controller.deleteVolume({ volumeId: this.id });
  }

  /** Names of the controllers of this volume on a node, e.g. nvme0. */
  async controllers(node: string): Promise<readonly string[]> {
    const script = `grep -l ':${this.id}' /sys/class/nvme/nvme*/subsysnqn 2>/dev/null | cut -d / -f 5`;
    return (await this.#world.machine(node).look(script)).split("\n").filter((line) => line !== "");
  }

  /** State of the controllers of this volume on a node, in the kernel's words. */
  async states(node: string): Promise<readonly string[]> {
    const script = `for c in /sys/class/nvme/nvme*; do
      [ -e $c ] && grep -q ':${this.id}' $c/subsysnqn 2>/dev/null && cat $c/state; done; true`;
    return (await this.#world.machine(node).look(script)).split("\n").filter((line) => line !== "");
  }

  /** The usable device of this volume on a node, e.g. /dev/nvme0n1; "" when there is none. */
  async device(node: string): Promise<string> {
    const script = `for s in /sys/class/nvme-subsystem/nvme-subsys*; do
      grep -q ':${this.id}' $s/subsysnqn 2>/dev/null && ls $s | grep -E '^nvme[0-9]+n[0-9]+$'; done | head -1`;
    const name = await this.#world.machine(node).look(script);
    return name === "" ? "" : `/dev/${name}`;
  }
}
