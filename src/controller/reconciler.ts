import type { Clock } from "../domain/clock.ts";
import { isOfEarlierDriver } from "../domain/volume-id.ts";
import type { ClusterReader, EventSink } from "../kubernetes/port.ts";
import type { StaleCause } from "../migration/decision.ts";
import type { Logger } from "../observability/log.ts";
import { RecurringFailure } from "../observability/recurring-failure.ts";
import { inBackground } from "../observability/request-scope.ts";
import { hasPlainName } from "../rds/layout.ts";
import type { Rds } from "../rds/rds.ts";
import type { ForeignDisk, RdsVolume } from "../rds/volume.ts";
import type { AttachmentService } from "./attachments.ts";
import {
  CLUSTER_KINDS,
  type ClusterView,
  type Drift,
  driftOf,
  readClusterView,
  wantedNodes,
} from "./drift.ts";
import { DriftReport } from "./drift-report.ts";
import { FairRound } from "./fair-round.ts";
import { Lasting } from "./lasting.ts";
import {
  GHOST_AFTER_MS,
  isClaimGone,
  isNamedNowhere,
  isUnusedOn,
  looksUnasked,
  nodeLookup,
  UNUSED_AFTER_MS,
  type Unasked,
} from "./left-behind.ts";
import type { MigrationMetrics } from "./migration-metrics.ts";
import type { MigrationReporter } from "./migration-reporter.ts";

export interface ReconcilerOptions {
  readonly rds: Rds;
  readonly attachments: AttachmentService;
  readonly reporter: MigrationReporter;
  readonly metrics: MigrationMetrics;
  readonly clock: Clock;
  readonly logger: Logger;
  /** undefined without an orchestrator: only deadlines and exports are looked at. */
  readonly cluster: ClusterReader | undefined;
  readonly events: EventSink | undefined;
  /** For volumes whose CreateVolume was never answered. Left out: none is removed. */
  readonly unasked?: Unasked | undefined;
  /** Called with the volumes of each look, to keep a copy of their records. Its failures are logged and stop nothing. */
  readonly keep?: ((found: Listed, signal: AbortSignal) => Promise<void>) | undefined;
  /** Limits in milliseconds, for tests. */
  readonly limits?: { readonly tickMs: number; readonly volumeMs: number };
}

/** All disks with a slot of ours. */
interface Listed {
  readonly volumes: readonly RdsVolume[];
  readonly foreign: readonly ForeignDisk[];
}

/** Time between two looks, milliseconds. */
export const RECONCILE_INTERVAL_MS = 60_000;
const SHORTEST_INTERVAL_MS = 1_000;
/** Time for one look, and for one volume of it. */
const LIMITS = { tickMs: 45_000, volumeMs: 10_000 };

/** The cluster as one look sees it. */
interface Look {
  /** undefined without an orchestrator, and when the cluster could not be read. */
  readonly view: ClusterView | undefined;
  /** Answers of this look, failures included: one silent API server is waited for once. */
  readonly nodeExists: (node: string) => Promise<boolean>;
}

/**
 * Compares records, exports and VolumeAttachments, regularly. It notes passed deadlines, reports outcomes that a dead
 * process left, clears attachments of nodes that exist no more, and switches an export on again that an interrupted
 * expansion or a reboot of the RDS left off; everything else it only reports. Each change is a compare-and-set, so two of
 * these at once do no harm. A volume that fails costs the others nothing but its share of the time.
 */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #report: DriftReport;
  readonly #round: FairRound<RdsVolume>;
  readonly #keeping: RecurringFailure;
  readonly #lasting: Lasting;
  #former = 0;
  #wake = new AbortController();

  constructor(options: ReconcilerOptions) {
    const { logger, metrics, events } = options;
    this.#options = options;
    this.#lasting = new Lasting(options.clock);
    this.#report = new DriftReport({ logger, metrics, events });
    this.#round = new FairRound(logger);
    this.#keeping = new RecurringFailure(logger, "keeping a copy of the records");
  }

  /** Looks again soon, e.g. after a reconnect. */
  trigger(): void {
    this.#wake.abort();
  }

  /** Looks again and again until `signal` aborts. Never throws. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    const failures = new RecurringFailure(logger, "reconcile");
    while (!signal.aborted) {
      let pause = RECONCILE_INTERVAL_MS;
      try {
        pause = await inBackground("reconcile", () => this.tick(signal));
        failures.worked();
      } catch (error) {
        if (!signal.aborted) failures.failed(error);
      }
      this.#wake = new AbortController();
      await clock.sleep(pause, AbortSignal.any([signal, this.#wake.signal])).catch(() => {});
    }
    // Another replica looks from now on: the findings of this one are stale.
    this.#report.clear();
  }

  /**
   * One look at everything.
   * @returns milliseconds until the next look: sooner when a deadline passes before
   * @throws when the RDS cannot be listed; also when the cluster could not be read, once what needs no cluster is done
   */
  async tick(signal: AbortSignal): Promise<number> {
    const { rds, cluster, limits = LIMITS } = this.#options;
    const within = AbortSignal.any([signal, AbortSignal.timeout(limits.tickMs)]);
    // The cluster first: an attachment that is made in between shows in the record only, and is young.
    const read =
      cluster === undefined
        ? { view: undefined }
        : await readClusterView(cluster, within).then(
            (view) => ({ view }),
            (error: unknown) => ({ view: undefined, error }),
          );
    signal.throwIfAborted();
    const { volumes, foreign } = await rds.list(within);
    this.#tellFormer(foreign);
    const look = { view: read.view, nodeExists: nodeLookup(cluster, within) };
    const visit = (volume: RdsVolume, limit: AbortSignal) => this.#visit(volume, look, limit);
    const results = await this.#round.run(volumes, visit, { signal, within, volumeMs: limits.volumeMs });
    const unusable = this.#driftOf({ volumes: [], foreign }, read.view);
    const unknown = "error" in read ? CLUSTER_KINDS : [];
    this.#report.take({ volumes, results, unusable, unknown });
    this.#lasting.endLook();
    await this.#keepCopy({ volumes, foreign }, within);
    signal.throwIfAborted();
    if ("error" in read) throw read.error;
    return nextLook(volumes, this.#options.clock.now());
  }

  /** Does for one volume what is to be done, and returns what stays wrong. */
  async #visit(volume: RdsVolume, look: Look, signal: AbortSignal): Promise<Drift[]> {
    const { attachments, reporter } = this.#options;
    reporter.seen(volume, true);
    await attachments.tidy(volume, signal);
    const { view } = look;
    // Without a cluster that says who is to have it, an export that is off may be off on purpose.
    const wanted = view === undefined ? new Set<string>() : wantedNodes(volume, view);
    const restored = await attachments.restoreExport(volume, wanted, signal);
    const found = this.#driftOf({ volumes: [volume], foreign: [] }, view).filter(
      // The export was off when the volume was listed.
      ({ about }) => !restored || about !== "export",
    );
    if (view === undefined || (await this.#removeUnasked(volume, view, signal))) return found;
    return this.#clearStale(volume, found, view, look, signal);
  }

  #driftOf(listed: Listed, view: ClusterView | undefined): Drift[] {
    const { rds, clock } = this.#options;
    return driftOf(listed, view, rds.installation, clock.now());
  }

  /** Clears attachments that are provably stale, and returns the other findings. */
  async #clearStale(
    volume: RdsVolume,
    found: readonly Drift[],
    view: ClusterView,
    look: Look,
    signal: AbortSignal,
  ): Promise<Drift[]> {
    const { attachments, logger } = this.#options;
    const left: Drift[] = [];
    for (const drift of found) {
      const { id, node } = drift;
      const mayBeStale = id === "attachment-without-va" && node !== undefined;
      const cause = mayBeStale ? await this.#staleCause(volume, node, view, look, signal) : undefined;
      if (cause === undefined || node === undefined) {
        left.push(drift);
        continue;
      }
      logger.warn("clearing a stale attachment", { volume: volume.id, node, cause });
      await attachments.clearStale(volume, node, cause, signal);
    }
    return left;
  }

  /** Why an attachment without VolumeAttachment is stale; undefined if that is not proven. */
  async #staleCause(
    volume: RdsVolume,
    node: string,
    view: ClusterView,
    look: Look,
    signal: AbortSignal,
  ): Promise<StaleCause | undefined> {
    const { cluster } = this.#options;
    const { epoch, invalidations } = volume.record;
    if (mayBeEarlierDrivers(volume, view)) return undefined;
    if (!(await look.nodeExists(node))) return "node-gone";
    if (cluster === undefined) return undefined;
    const lasted = this.#lasting.note(`attachment:${volume.id}:${node}:${epoch}:${invalidations}`);
    if (lasted < GHOST_AFTER_MS) return undefined;
    return (await isUnusedOn(cluster, volume, node, view, signal)) ? "never-asked-for" : undefined;
  }

  /** Removes a volume that a late CreateVolume made after it was given up. */
  async #removeUnasked(volume: RdsVolume, view: ClusterView, signal: AbortSignal): Promise<boolean> {
    const { cluster, unasked, logger } = this.#options;
    if (cluster === undefined || unasked === undefined || !looksUnasked(volume, view)) return false;
    if (this.#lasting.note(`volume:${volume.id}:${volume.record.createdAt}`) < UNUSED_AFTER_MS) return false;
    if (!(await isClaimGone(cluster, volume, signal))) return false;
    if (!(await isNamedNowhere(unasked, volume, signal)) || !(await unasked.remove(volume, signal)))
      return false;
    logger.warn(
      "removed a volume that was never attached, and whose claim and PersistentVolume do not exist",
      {
        volume: volume.id,
        name: volume.record.name,
      },
    );
    return true;
  }

  /** Volumes of the id that installations without one had are ours after an upgrade, and untouched until that is said. */
  #tellFormer(foreign: readonly ForeignDisk[]): void {
    const former = foreign.filter(({ cause }) => cause === "former-id");
    const [first] = former;
    if (first !== undefined && former.length !== this.#former)
      this.#options.logger.error("volumes of the former cluster id are left alone", {
        volumes: former.length,
        example: first.id,
        reason: first.reason,
      });
    this.#former = former.length;
  }

  async #keepCopy(found: Listed, signal: AbortSignal): Promise<void> {
    try {
      await this.#options.keep?.(found, signal);
      this.#keeping.worked();
    } catch (error) {
      this.#keeping.failed(error);
    }
  }
}

/**
 * Whether the earlier driver may have attached the volume to a node since its record was written: that driver writes no record, and uses one NQN for all
 * nodes. Clearing an attachment would end that node's connection.
 */
function mayBeEarlierDrivers(volume: RdsVolume, view: ClusterView): boolean {
  const { id, disk, record } = volume;
  if (!isOfEarlierDriver(id) || !hasPlainName(disk.nqn, id)) return false;
  const recorded = new Set(record.attachments.map(({ node }) => node));
  return [...wantedNodes(volume, view)].some((node) => !recorded.has(node));
}

/**
 * Milliseconds until the earliest deadline of a migration that is not reported, within bounds. This look has dealt with a passed deadline:
 * reported it, moved it because KubeVirt allows more, or left it because Kubernetes does not answer.
 */
function nextLook(volumes: readonly RdsVolume[], nowMs: number): number {
  const deadlines = volumes.flatMap(({ record: { migration } }) => {
    if (migration === undefined || migration.overdueBy !== undefined || migration.timeoutSeconds === 0)
      return [];
    const inMs = (migration.since + migration.timeoutSeconds + 1) * 1_000 - nowMs;
    return inMs > 0 ? [inMs] : [];
  });
  return Math.max(SHORTEST_INTERVAL_MS, Math.min(RECONCILE_INTERVAL_MS, ...deadlines));
}
