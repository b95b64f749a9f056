import type { Clock } from "../domain/clock.ts";
import type { ClusterReader, EventSink } from "../kubernetes/port.ts";
import type { Logger } from "../observability/log.ts";
import { RecurringFailure } from "../observability/recurring-failure.ts";
import { inBackground } from "../observability/request-scope.ts";
import type { Rds } from "../rds/rds.ts";
import type { RdsVolume } from "../rds/volume.ts";
import { driftEvent } from "./attachment-messages.ts";
import type { AttachmentService } from "./attachments.ts";
import { attachmentDrift, type ClusterView, type Drift, exportDrift } from "./drift.ts";
import type { DriftKind, MigrationMetrics } from "./migration-metrics.ts";
import type { Reporter } from "./reporter.ts";

export interface ReconcilerOptions {
  readonly rds: Rds;
  readonly attachments: AttachmentService;
  readonly reporter: Reporter;
  readonly metrics: MigrationMetrics;
  readonly clock: Clock;
  readonly logger: Logger;
  /** undefined without an orchestrator: only deadlines and exports are looked at. */
  readonly cluster: ClusterReader | undefined;
  readonly events: EventSink | undefined;
}

/** Time between two looks, milliseconds. */
export const RECONCILE_INTERVAL_MS = 60_000;
const SHORTEST_INTERVAL_MS = 1_000;
/** One look must be done after this time, milliseconds. */
const TICK_LIMIT_MS = 45_000;

/**
 * Compares records, exports and VolumeAttachments, regularly. It notes passed deadlines, reports outcomes that a dead
 * process left, clears attachments of nodes that exist no more, and switches an export on again that an interrupted
 * expansion left off; everything else it only reports. Each change is a
 * compare-and-set, so two of these at once do no harm.
 */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  /** Drift that has been reported, so that only news is posted. */
  #known = new Set<string>();
  #wake = new AbortController();

  constructor(options: ReconcilerOptions) {
    this.#options = options;
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
        const limit = AbortSignal.any([signal, AbortSignal.timeout(TICK_LIMIT_MS)]);
        pause = await inBackground("reconcile", () => this.tick(limit));
        failures.worked();
      } catch (error) {
        if (!signal.aborted) failures.failed(error);
      }
      this.#wake = new AbortController();
      await clock.sleep(pause, AbortSignal.any([signal, this.#wake.signal])).catch(() => {});
    }
    // Another replica looks from now on; what this one knew would stay as it was.
    this.#options.metrics.drift.clear();
    this.#known = new Set();
  }

  /**
   * One look at everything.
   * @returns milliseconds until the next look: sooner when a deadline passes before
   */
  async tick(signal: AbortSignal): Promise<number> {
    const { rds, attachments, reporter, cluster } = this.#options;
    // The cluster first: an attachment that is made in between shows in the record only, and is young.
    const view = cluster === undefined ? undefined : await readCluster(cluster, signal);
    const { volumes } = await rds.list(signal);
    const drifts: Drift[] = [];
    for (const volume of volumes) {
      reporter.seen(volume, true);
      await attachments.tidy(volume, signal);
      if (isInterrupted(volume)) await attachments.restoreExport(volume, signal);
      else drifts.push(...exportDrift(rds, volume));
      if (view !== undefined) drifts.push(...(await this.#withCluster(volume, view, signal)));
    }
    this.#report(drifts);
    return nextLook(volumes, this.#options.clock.now());
  }

  /** Heals what is provably stale, and returns the rest. */
  async #withCluster(volume: RdsVolume, view: ClusterView, signal: AbortSignal): Promise<Drift[]> {
    const { attachments, cluster, clock, logger } = this.#options;
    const left: Drift[] = [];
    for (const drift of attachmentDrift(volume, view)) {
      const since = volume.record.attachments.find(({ node }) => node === drift.node)?.since;
      // An attachment that is younger than the view of the cluster may just not be in it.
      // (One from the future was made before a clock jumped back: not young for as long as the jump.)
      if (since !== undefined && Math.abs(clock.now() / 1_000 - since) < RECONCILE_INTERVAL_MS / 1_000)
        continue;
      const { node } = drift;
      if (
        drift.kind === "attachment-without-va" &&
        node !== undefined &&
        cluster !== undefined &&
        !(await cluster.nodeExists(node, signal))
      ) {
        logger.warn("clearing the attachment of a node that exists no more", { volume: volume.id, node });
        await attachments.clearStale(volume, node, signal);
      } else {
        left.push(drift);
      }
    }
    return left;
  }

  #report(drifts: readonly Drift[]): void {
    const { metrics, events, logger } = this.#options;
    const count = (kind: DriftKind) => drifts.filter((drift) => drift.kind === kind).length;
    metrics.drift.set({
      "attachment-without-va": count("attachment-without-va"),
      "va-without-attachment": count("va-without-attachment"),
      "not-exported": count("not-exported"),
      "exported-unattached": count("exported-unattached"),
    });
    const now = new Set(drifts.map(identity));
    for (const drift of drifts) {
      if (this.#known.has(identity(drift))) continue;
      logger.warn("drift", { volume: drift.volume.id, kind: drift.kind, node: drift.node, what: drift.text });
      events?.postForVolume(drift.volume.id, driftEvent(drift.text));
    }
    this.#known = now;
  }
}

/** An expansion ended while it had the export off. */
function isInterrupted({ record, disk }: RdsVolume): boolean {
  return record.reExportSince !== undefined && record.attachments.length > 0 && !disk.exported;
}

async function readCluster(cluster: ClusterReader, signal: AbortSignal): Promise<ClusterView> {
  const [attachments, persistentVolumes] = await Promise.all([
    cluster.volumeAttachments(signal),
    cluster.persistentVolumes(signal),
  ]);
  return { attachments, persistentVolumes };
}

function identity({ kind, volume, node }: Drift): string {
  return `${kind}:${volume.id}:${node ?? ""}`;
}

/**
 * Until the earliest deadline of a migration that has not been reported, within bounds. One that has passed was dealt with by this look:
 * reported, put off because KubeVirt allows more, or left for later because Kubernetes does not answer.
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
