import { DriverError } from "../domain/errors/driver-error.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import { volumeCatalogue } from "../inspect/catalogue.ts";
import { findingOf, sentenceOf } from "../inspect/finding.ts";
import type { EventSink } from "../kubernetes/port.ts";
import type { Logger } from "../observability/log.ts";
import { driftEvent } from "./attachment-messages.ts";
import type { Drift } from "./drift.ts";
import type { Visit } from "./fair-round.ts";
import { DRIFT_KINDS, type DriftCounts, type DriftKind, type MigrationMetrics } from "./migration-metrics.ts";

export interface DriftReportOptions {
  readonly logger: Logger;
  readonly metrics: MigrationMetrics;
  readonly events: EventSink | undefined;
}

/** What one look found. */
export interface LookResult {
  /** Every volume that was listed. */
  readonly volumes: readonly { readonly id: VolumeId }[];
  /** Of the volumes that were visited. */
  readonly results: ReadonlyMap<VolumeId, Visit<readonly Drift[]>>;
  /** Of disks that are no volumes. */
  readonly unusable: readonly Drift[];
  /** Kinds that this look could not find out: what was known of them stays. */
  readonly unknown: readonly DriftKind[];
}

/** Posts each drift once, as log line and event, and counts those that are there. */
export class DriftReport {
  readonly #options: DriftReportOptions;
  /** As last found, by volume. */
  #found = new Map<VolumeId, readonly Drift[]>();
  #unusable: readonly Drift[] = [];
  /** What has been posted, so that only news is. */
  #posted = new Set<string>();

  constructor(options: DriftReportOptions) {
    this.#options = options;
  }

  /** Takes over what a look found. What it did not look at stays as it was last seen. */
  take({ volumes, results, unusable, unknown }: LookResult): void {
    const isUnknown = ({ id }: Drift): boolean => unknown.includes(id);
    this.#found = new Map(
      volumes.map(({ id }) => {
        const before = this.#found.get(id) ?? [];
        const visit = results.get(id);
        if (visit === undefined) return [id, before];
        if ("error" in visit) return [id, [...before.filter(isKept), notReconciled(id, visit.error)]];
        return [id, [...visit.result, ...before.filter(isUnknown)]];
      }),
    );
    if (!unknown.includes("record-unusable")) this.#unusable = unusable;
    this.#publish(unknown.length === 0);
  }

  /** Forgets everything; the counts have no samples until the next look. */
  clear(): void {
    this.#options.metrics.drift.clear();
    this.#found = new Map();
    this.#unusable = [];
    this.#posted = new Set();
  }

  /** @param isComplete only then are there counts of all kinds */
  #publish(isComplete: boolean): void {
    const { metrics, events, logger } = this.#options;
    const drifts = [...[...this.#found.values()].flat(), ...this.#unusable];
    const counts = DRIFT_KINDS.map((kind) => [kind, drifts.filter(({ id }) => id === kind).length]);
    if (isComplete) metrics.drift.set(Object.fromEntries(counts) as DriftCounts);
    const now = new Set(drifts.map(identity));
    for (const drift of drifts) {
      if (this.#posted.has(identity(drift))) continue;
      const { id: kind, volume = "", node } = drift;
      const what = sentenceOf(drift);
      logger.warn("drift", { volume, kind, node, what });
      events?.postForVolume(volume, driftEvent(what));
    }
    this.#posted = now;
  }
}

function isKept({ id }: Drift): boolean {
  return id !== "not-reconciled";
}

function notReconciled(volume: VolumeId, error: unknown): Drift {
  const reason = error instanceof DriverError ? error.summary : String(error);
  const evidence = [`It could not be looked after by reconcile, which is repeated: ${reason}`];
  const subject = { kind: "volume", name: volume } as const;
  return findingOf<"not-reconciled">(volumeCatalogue, "not-reconciled", { subject, volume, evidence });
}

function identity({ id, volume, node }: Drift): string {
  return `${id}:${volume}:${node ?? ""}`;
}
