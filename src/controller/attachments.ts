import { type Capability, DEFAULT_FILESYSTEM, type Filesystem } from "../domain/access-mode.ts";
import { retry } from "../domain/backoff.ts";
import type { Clock } from "../domain/clock.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { hostIdentity } from "../domain/host-identity.ts";
import type { PublishContext } from "../domain/publish-context.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { NodeRegistry } from "../kubernetes/node-registry.ts";
import { decideDeadline } from "../migration/deadline.ts";
import type { PublishRequest, StaleCause } from "../migration/decision.ts";
import { isAskedAnew, withRevision } from "../migration/revision.ts";
import { decideUnpublish, forgetEnded } from "../migration/unpublish.ts";
import type { Logger } from "../observability/log.ts";
import { unfinished } from "../rds/copy.ts";
import type { Rds } from "../rds/rds.ts";
import { type RdsVolume, volumeToDetach } from "../rds/volume.ts";
import { requireSupported } from "./capabilities.ts";
import type { EvidenceSource } from "./evidence.ts";
import { isExportLost } from "./lost-export.ts";
import { limitNow } from "./migration-limit.ts";
import type { MigrationReporter } from "./migration-reporter.ts";
import { publishContextOf } from "./publish-answer.ts";
import { decideWithEvidence } from "./publish-decision.ts";
import { changeRecord, type FinalDecision, type RecordChange } from "./record-change.ts";

export interface AttachmentServiceOptions {
  readonly rds: Rds;
  readonly nodes: NodeRegistry;
  readonly evidence: EvidenceSource;
  readonly reporter: MigrationReporter;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly clusterId: string;
  /** Storage address that nodes connect to: a literal IP address. */
  readonly nvmeAddress: string;
  /** Most volumes that one node may have; 0 means no limit and saves the count. */
  readonly maxVolumesPerNode: number;
}

/** ControllerPublishVolume, in domain terms. */
export interface PublishVolumeRequest {
  readonly volumeId: VolumeId;
  readonly nodeId: string;
  readonly capability: Capability;
  readonly readonly: boolean;
  readonly signal: AbortSignal;
}

/** One try of a background change gives up after this time, milliseconds. */
const BACKGROUND_LIMIT_MS = 15_000;
/** Tries of a background change and the pauses between them, milliseconds: 50, 100, … 12 800; less than a minute in all. */
const BACKGROUND = { attempts: 10, firstMs: 50, maxMs: 15_000 };

/**
 * Attaches volumes to nodes and detaches them. The record on the RDS decides. The memory of this process only saves the
 * read before a compare-and-set, which fails if the memory was stale.
 */
export class AttachmentService {
  readonly #options: AttachmentServiceOptions;
  readonly #background = new Set<Promise<void>>();
  readonly #stop = new AbortController();

  constructor(options: AttachmentServiceOptions) {
    this.#options = options;
  }

  /**
   * CSI ControllerPublishVolume: two RouterOS commands with the record remembered, three without; the last one grants the
   * access. One for a node that has the volume already.
   */
  async publish(request: PublishVolumeRequest): Promise<PublishContext> {
    const { volumeId: id, nodeId, capability, signal } = request;
    requireSupported([capability]);
    const remembered = this.#options.rds.remembered(id);
    const first = remembered ?? (await this.#existing(id, signal));
    if (!(await this.#options.nodes.exists(nodeId, signal))) throw failure("nodeNotFound", { node: nodeId });
    const wanted = this.#publishRequest(request);
    const volume = await this.#changeAndTidy({
      id,
      first,
      fresh: remembered === undefined,
      node: nodeId,
      signal,
      decide: (current) => decideWithEvidence(this.#options, current, wanted, signal),
    });
    if (volume === undefined) return this.#options.rds.conversions.absent(id, signal);
    return publishContextOf(volume, wanted.hostNqn, this.#options.nvmeAddress);
  }

  async #existing(id: VolumeId, signal: AbortSignal): Promise<RdsVolume> {
    const found = await this.#options.rds.find(id, signal, "attach");
    return this.#options.rds.conversions.required(id, found, signal);
  }

  /**
   * CSI ControllerUnpublishVolume. A volume that does not exist, or belongs to another installation, is detached already. An
   * unreadable record is an error. A volume that is not attached to the node gets a new revision of its record, so that an
   * earlier attach, whose line still waits on the RDS, cannot undo the answer.
   * @param nodeId "" means every node
   */
  async unpublish(id: VolumeId, nodeId: string, signal: AbortSignal): Promise<void> {
    const known = this.#options.rds.remembered(id);
    // It may be finished by now.
    const remembered = known !== undefined && unfinished(known) === undefined ? known : undefined;
    const found = remembered ?? volumeToDetach(await this.#options.rds.find(id, signal, "attach"));
    // One that is being copied or converted is not attached, and its record belongs to that work.
    if (found === undefined || unfinished(found) !== undefined) return;
    await this.#changeAndTidy({
      id,
      first: found,
      fresh: remembered === undefined,
      node: nodeId,
      signal,
      decide: async ({ record }) =>
        withRevision(record, decideUnpublish(record, nodeId, this.#now(), this.#instance)),
    });
  }

  /**
   * Notes a passed deadline in a record, and removes reported ends from it. Detaches no node.
   * @param volume as just read
   */
  async tidy(volume: RdsVolume, signal: AbortSignal): Promise<void> {
    const { reporter, evidence, logger } = this.#options;
    const decide = async (current: RdsVolume): Promise<FinalDecision> => {
      const { id, record } = current;
      const now = this.#now();
      const limit = await limitNow(evidence, current, now, logger, signal);
      const late = limit === "later" ? undefined : decideDeadline(record, now, this.#instance, limit);
      const tidied = forgetEnded(late?.record ?? record, (ended) => reporter.hasReported(id, ended));
      return { kind: "accept", record: tidied, export: "leave", events: [] };
    };
    await this.#change({ id: volume.id, first: volume, fresh: true, node: "", signal, decide });
  }

  /**
   * Clears the attachment of a node that is proven gone, or of one that the cluster never asked for. An attachment that was
   * asked for since is another one.
   * @param volume as just read
   */
  async clearStale(volume: RdsVolume, node: string, cause: StaleCause, signal: AbortSignal): Promise<void> {
    const decide = async ({ record }: RdsVolume): Promise<FinalDecision> => {
      const decision = decideUnpublish(record, node, this.#now(), this.#instance);
      if (decision.record === record || isAskedAnew(volume.record, record, node))
        return { ...decision, record, export: "leave" };
      const cleared = { type: "StaleAttachmentCleared", node, cause } as const;
      // While another node holds the volume it stays exported under the same NQN, so this node is not fenced by that.
      const fenced = decision.export === "off" ? [{ type: "VolumeFenced", node } as const] : [];
      return { ...decision, events: [cleared, ...fenced] };
    };
    await this.#change({ id: volume.id, first: volume, fresh: true, node, signal, decide });
  }

  /**
   * Switches a lost export on again, under the NQN and port that its nodes know: see isExportLost.
   * @param volume as just read
   * @param wanted nodes that are to have the volume
   * @returns whether the export was off and is on again
   */
  async restoreExport(volume: RdsVolume, wanted: ReadonlySet<string>, signal: AbortSignal): Promise<boolean> {
    const { rds } = this.#options;
    if (!isExportLost(rds, volume, wanted, this.#now())) return false;
    let isLost = false;
    const decide = async (current: RdsVolume): Promise<FinalDecision> => {
      const { record } = current;
      isLost = isExportLost(rds, current, wanted, this.#now());
      return isLost
        ? { kind: "accept", record, export: "keep", events: [{ type: "ExportRestored" }] }
        : { kind: "accept", record, export: "leave", events: [] };
    };
    const after = await this.#change({ id: volume.id, first: volume, fresh: true, node: "", signal, decide });
    return isLost && after !== undefined;
  }

  /** Ends the changes that run in the background. The next reconcile of any replica does the rest. */
  async close(): Promise<void> {
    this.#stop.abort(failure("shuttingDown", {}));
    await this.settled();
  }

  /** Resolves when the changes that run in the background have ended. */
  async settled(): Promise<void> {
    await this.#options.reporter.settled();
    while (this.#background.size > 0) await Promise.all(this.#background);
  }

  async #change(change: RecordChange): Promise<RdsVolume | undefined> {
    return changeRecord(this.#options.rds, this.#options.reporter, change);
  }

  /** Reported ends leave the record also when the change itself is refused or fails. */
  async #changeAndTidy(change: RecordChange): Promise<RdsVolume | undefined> {
    let last: RdsVolume | undefined;
    const seen = (volume: RdsVolume) => {
      last = volume;
    };
    try {
      return await this.#change({ ...change, seen });
    } finally {
      this.#tidyLater(last);
    }
  }

  /**
   * Removes reported ends from the record in the background, with retries: another replica would report an end that stays
   * once more.
   */
  #tidyLater(volume: RdsVolume | undefined): void {
    const { reporter } = this.#options;
    if (!volume?.record.ended.some((ended) => reporter.hasReported(volume.id, ended))) return;
    const work = this.#tidyUntilDone(volume).finally(() => this.#background.delete(work));
    this.#background.add(work);
  }

  async #tidyUntilDone(volume: RdsVolume): Promise<void> {
    const { clock, logger } = this.#options;
    const { signal } = this.#stop;
    const again = (error: unknown) => {
      logger.debug("a reported migration stays in its record for now", { volume: volume.id, error });
      return 0;
    };
    const tidy = () => this.tidy(volume, AbortSignal.any([signal, AbortSignal.timeout(BACKGROUND_LIMIT_MS)]));
    await retry(tidy, { ...BACKGROUND, clock, signal, again }).catch(() => {});
  }

  #publishRequest({ volumeId, nodeId, readonly, capability }: PublishVolumeRequest): PublishRequest {
    const { accessMode, accessType, fsType } = capability;
    return {
      volume: volumeId,
      node: nodeId,
      hostNqn: hostIdentity(this.#options.clusterId, nodeId).hostNqn,
      accessMode,
      accessType,
      readonly,
      by: this.#instance,
      filesystem: accessType === "mount" ? ((fsType || DEFAULT_FILESYSTEM) as Filesystem) : undefined,
    };
  }

  get #instance(): string {
    return this.#options.reporter.instance;
  }

  #now(): number {
    return Math.floor(this.#options.clock.now() / 1_000);
  }
}
