import { type Capability, DEFAULT_FILESYSTEM, type Filesystem } from "../domain/access-mode.ts";
import type { Clock } from "../domain/clock.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { requireField } from "../domain/fields.ts";
import { hostIdentity } from "../domain/host-identity.ts";
import type { FilesystemState, PublishContext } from "../domain/publish-context.ts";
import type { VolumeRecord } from "../domain/record/volume-record.ts";
import { parseVolumeId, type VolumeId } from "../domain/volume-id.ts";
import type { Decision, Evidence, MigrationEvent, PublishRequest } from "../migration/decision.ts";
import { decidePublish } from "../migration/publish.ts";
import { decideUnpublish } from "../migration/unpublish.ts";
import type { Rds } from "../rds/rds.ts";
import type { Classified, RdsVolume } from "../rds/volume.ts";
import { requireSupported } from "./capabilities.ts";
import type { EvidenceSource } from "./evidence.ts";
import type { NodeRegistry } from "./nodes.ts";

/** Told about migrations once the record that says so is written. Must not throw. */
export type MigrationReporter = (volume: RdsVolume, events: readonly MigrationEvent[]) => void;

/** What the attachment service needs. */
export interface AttachmentServiceOptions {
  readonly rds: Rds;
  readonly nodes: NodeRegistry;
  readonly evidence: EvidenceSource;
  readonly report: MigrationReporter;
  readonly clock: Clock;
  readonly clusterId: string;
  /** Storage address that nodes connect to: a literal IP address. */
  readonly nvmeAddress: string;
  readonly nvmePort: number;
  /** Most volumes that one node may have; 0 means no limit and saves the count. */
  readonly maxVolumesPerNode: number;
}

/** ControllerPublishVolume, in domain terms. */
export interface PublishVolumeRequest {
  readonly volumeId: string;
  readonly nodeId: string;
  readonly capability: Capability | undefined;
  readonly readonly: boolean;
  readonly signal: AbortSignal;
}

/** How often a lost race for the record is decided anew within one call. */
const ATTEMPTS = 6;

/**
 * Attaches volumes to nodes and detaches them. The record on the RDS decides; what this process remembers
 * only saves the read before a compare-and-set, which fails if the memory was stale.
 */
export class AttachmentService {
  readonly #options: AttachmentServiceOptions;

  constructor(options: AttachmentServiceOptions) {
    this.#options = options;
  }

  /** CSI ControllerPublishVolume: one RouterOS command with the record remembered, two without. */
  async publish(request: PublishVolumeRequest): Promise<PublishContext> {
    const { volumeId, nodeId, capability, signal } = request;
    requireField("volume_id", volumeId);
    requireField("node_id", nodeId);
    if (capability === undefined) throw failure("fieldMissing", { field: "volume_capability" });
    requireSupported([capability]);
    const id = parseVolumeId(volumeId);
    if (id === undefined) throw failure("volumeNotFound", { volume: JSON.stringify(volumeId) });
    const remembered = this.#options.rds.remembered(id);
    const first = remembered ?? requireVolume(id, await this.#options.rds.find(id, signal));
    if (!(await this.#options.nodes.exists(nodeId, signal))) throw failure("nodeNotFound", { node: nodeId });
    const wanted = this.#publishRequest(id, request, capability);
    const volume = await this.#change(id, first, remembered === undefined, signal, (current) =>
      this.#decide(current, wanted, signal),
    );
    if (volume === undefined) throw failure("volumeNotFound", { volume: id });
    return this.#context(volume, wanted.hostNqn);
  }

  /**
   * CSI ControllerUnpublishVolume. What does not exist is detached already.
   * @param nodeId "" means every node
   */
  async unpublish(volumeId: string, nodeId: string, signal: AbortSignal): Promise<void> {
    requireField("volume_id", volumeId);
    const id = parseVolumeId(volumeId);
    if (id === undefined) return;
    const remembered = this.#options.rds.remembered(id);
    const found = remembered ?? ownVolume(await this.#options.rds.find(id, signal));
    if (found === undefined) return;
    await this.#change(id, found, remembered === undefined, signal, async (current) =>
      decideUnpublish(current.record, nodeId, this.#now()),
    );
  }

  /**
   * Applies a decision by compare-and-set, deciding anew whenever someone else was first. An answer that
   * changes nothing, or refuses, is only given on a record that was read during this call.
   * @returns the volume as written; undefined when it does not exist any more
   */
  async #change(
    id: VolumeId,
    first: RdsVolume,
    firstIsFresh: boolean,
    signal: AbortSignal,
    decide: (volume: RdsVolume) => Promise<Exclude<Decision, { kind: "ask" }>>,
  ): Promise<RdsVolume | undefined> {
    const { rds } = this.#options;
    let volume: RdsVolume | undefined = first;
    let fresh = firstIsFresh;
    for (let attempt = 1; attempt <= ATTEMPTS && volume !== undefined; attempt++) {
      const decision = await decide(volume);
      const settled =
        decision.kind === "refuse" || (decision.record === volume.record && rds.exportIsRight(volume));
      if (settled && fresh) {
        if (decision.kind === "refuse") throw decision.error;
        return volume;
      }
      if (!settled && decision.kind === "accept") {
        const result = await rds.write(volume, decision.record, decision.export, signal);
        if (result.kind === "written") {
          this.#options.report(result.volume, decision.events);
          return result.volume;
        }
        if (result.kind === "absent") return undefined;
      }
      volume = ownVolume(await rds.find(id, signal));
      fresh = true;
    }
    if (volume === undefined) return undefined;
    throw failure("recordConflict", { volume: id, attempts: ATTEMPTS });
  }

  /** The state machine's answer, with the evidence that it asks for. */
  async #decide(
    volume: RdsVolume,
    request: PublishRequest,
    signal: AbortSignal,
  ): Promise<Exclude<Decision, { kind: "ask" }>> {
    if (volume.disk.size === undefined) throw failure("volumeNotReady", { volume: volume.id });
    let evidence: Evidence = {};
    for (;;) {
      const decision = decidePublish(volume.record, request, this.#now(), evidence);
      if (decision.kind === "accept" && decision.record !== volume.record)
        await this.#requireRoom(request.node, signal);
      if (decision.kind !== "ask") return decision;
      evidence = {
        ...evidence,
        ...(await this.#gather(decision.question, decision.holder, volume.record, signal)),
      };
    }
  }

  /** One RouterOS command when there is a limit, else none. @throws nodeLimitReached (RESOURCE_EXHAUSTED) */
  async #requireRoom(node: string, signal: AbortSignal): Promise<void> {
    const limit = this.#options.maxVolumesPerNode;
    if (limit === 0) return;
    const { volumes } = await this.#options.rds.list(signal);
    const used = volumes.filter(({ record }) =>
      record.attachments.some((attachment) => attachment.node === node),
    );
    if (used.length >= limit) throw failure("nodeLimitReached", { node, limit });
  }

  async #gather(
    question: keyof Evidence,
    holder: string,
    record: VolumeRecord,
    signal: AbortSignal,
  ): Promise<Evidence> {
    const { evidence } = this.#options;
    return question === "holderGone"
      ? { holderGone: await evidence.holderGone(holder, signal) }
      : { singleUser: await evidence.singleUser(record, signal) };
  }

  #publishRequest(
    id: VolumeId,
    { nodeId, readonly }: PublishVolumeRequest,
    capability: Capability,
  ): PublishRequest {
    const { accessMode, accessType, fsType } = capability;
    return {
      volume: id,
      node: nodeId,
      hostNqn: hostIdentity(this.#options.clusterId, nodeId).hostNqn,
      accessMode,
      accessType,
      readonly,
      filesystem: accessType === "mount" ? ((fsType || DEFAULT_FILESYSTEM) as Filesystem) : undefined,
    };
  }

  #context({ disk, record }: RdsVolume, hostNqn: string): PublishContext {
    const { ctrlLossTmo, reconnectDelay, keepAliveTmo } = record.settings;
    return {
      nqn: disk.nqn,
      address: this.#options.nvmeAddress,
      port: this.#options.nvmePort,
      hostNqn,
      sizeBytes: disk.size ?? 0n,
      filesystemState: filesystemState(record),
      ctrlLossTmo,
      reconnectDelay,
      keepAliveTmo,
    };
  }

  #now(): number {
    return Math.floor(this.#options.clock.now() / 1_000);
  }
}

/**
 * What the node may assume about a filesystem; the same for the whole life of an attachment. A node cannot
 * tell the RDS that it made one, so every attachment but the first must reckon with it.
 */
function filesystemState(record: VolumeRecord): FilesystemState {
  if (record.source !== undefined) return "keep";
  return record.epoch === 1 ? "new" : "used";
}

/** @throws volumeNotFound (NOT_FOUND), foreignDisk (FAILED_PRECONDITION) */
function requireVolume(id: VolumeId, found: Classified | undefined): RdsVolume {
  if (found === undefined) throw failure("volumeNotFound", { volume: id });
  if (found.kind === "foreign") throw failure("foreignDisk", { slot: id, reason: found.foreign.reason });
  return found.volume;
}

/** The volume if it is ours; what is not ours was never attached by us. */
function ownVolume(found: Classified | undefined): RdsVolume | undefined {
  return found?.kind === "volume" ? found.volume : undefined;
}
