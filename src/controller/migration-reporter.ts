import type { Clock } from "../domain/clock.ts";
import type { ErrorId } from "../domain/errors/catalogue.ts";
import type { DriverError } from "../domain/errors/driver-error.ts";
import { RecentMap } from "../domain/recent-map.ts";
import type { EndedMigration } from "../domain/record/volume-record.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { ClaimEvent, EventSink } from "../kubernetes/port.ts";
import type { MigrationEvent } from "../migration/decision.ts";
import type { Logger } from "../observability/log.ts";
import type { Fencing } from "../rds/context.ts";
import type { RdsVolume } from "../rds/volume.ts";
import { conflictEvent, effectEvent, endedEvent, overdueEvent, startedEvent } from "./attachment-messages.ts";
import { LastingRefusals } from "./lasting-refusals.ts";
import type { MigrationMetrics, MigrationResult, RefusalCause } from "./migration-metrics.ts";

/** Asks KubeVirt how a migration ended; undefined when it does not say. */
export type OutcomeSource = (
  volume: RdsVolume,
  ended: EndedMigration,
) => Promise<"success" | "failed" | undefined>;

export interface MigrationReporterOptions {
  readonly metrics: MigrationMetrics;
  readonly logger: Logger;
  readonly clock: Clock;
  /** undefined without an orchestrator. */
  readonly events: EventSink | undefined;
  readonly outcome: OutcomeSource;
  /** Name of this controller process in the records that it writes. */
  readonly instance: string;
  readonly fencing: Fencing;
}

/**
 * Age at which an unreported outcome is an orphan: its process died, and the replica that reconciles reports it. Longer than any call and
 * its retry take. Seconds.
 */
export const ORPHANED_AFTER_SECONDS = 120;

/** Occurrences that are remembered. Older ones have left the records. */
const CAPACITY = 10_000;

const CAUSES: Partial<Record<ErrorId, RefusalCause>> = {
  attachedElsewhere: "attached-elsewhere",
  secondNodeNotProven: "not-proven",
  holderNotDetached: "not-proven",
  guardUnavailable: "guard-unavailable",
  thirdNode: "third-node",
  migrationOverdue: "overdue",
  attachedIncompatibly: "incompatible",
};
/** Refusals that become events. */
const CONFLICTS: ReadonlySet<RefusalCause> = new Set([
  "attached-elsewhere",
  "not-proven",
  "third-node",
  "overdue",
]);

/**
 * Turns the migrations of the records into metrics, log lines and events on the claim. The process that wrote a start, a passed deadline or
 * an end reports it once. If that process died, the replica that reconciles reports the end. Never throws.
 */
export class MigrationReporter {
  readonly #options: MigrationReporterOptions;
  readonly #reported = new RecentMap<string, true>(CAPACITY);
  readonly #running = new Set<Promise<void>>();
  readonly #refusals = new LastingRefusals();

  constructor(options: MigrationReporterOptions) {
    this.#options = options;
  }

  /** This controller process. */
  get instance(): string {
    return this.#options.instance;
  }

  /** A change of this process is written. */
  written(volume: RdsVolume, events: readonly MigrationEvent[]): void {
    this.seen(volume);
    const { metrics, fencing } = this.#options;
    for (const event of events) {
      if (event.type === "StaleAttachmentCleared") metrics.cleared.inc();
      this.#post(volume, effectEvent(event, fencing !== "off"));
    }
  }

  /**
   * Reports the starts, deadlines and ends that this process wrote in a record.
   * @param orphans whether orphans are reported too: only by the one replica that reconciles. The writer itself leaves an orphan to it.
   */
  seen(volume: RdsVolume, orphans = false): void {
    const { id, record } = volume;
    const { migration } = record;
    const { instance, clock, metrics } = this.#options;
    if (migration !== undefined && migration.by === instance && this.#once(id, migration.since, "start")) {
      this.#post(volume, startedEvent(record, migration));
    }
    if (migration?.overdueBy === instance && this.#once(id, migration.since, "overdue")) {
      metrics.migrations.inc({ result: "timeout" });
      this.#post(volume, overdueEvent(record, migration));
    }
    for (const { node } of record.attachments) this.#refusals.ended(id, node);
    const now = clock.now() / 1_000;
    for (const ended of record.ended) {
      // An end in the future was noted before a clock jumped back: its age is unknown.
      const orphaned = Math.abs(now - ended.at) >= ORPHANED_AFTER_SECONDS;
      if ((orphaned ? orphans : ended.by === instance) && this.#once(id, ended.since, "end"))
        this.#end(volume, ended);
    }
  }

  /** Whether this process has reported the end, so that it may leave the record. */
  hasReported(id: VolumeId, ended: EndedMigration): boolean {
    return this.#reported.get(key(id, ended.since, "end")) === true;
  }

  /** Counts each refusal. Only a lasting refusal becomes an event, as each hand-over between nodes begins with some refusals. */
  refused(volume: RdsVolume, node: string, error: DriverError): void {
    const cause = CAUSES[error.id];
    if (cause === undefined) return;
    this.#options.metrics.refusals.inc({ cause });
    const lasts = this.#refusals.lasts(volume, node, this.#options.clock.now() / 1_000);
    if (lasts && CONFLICTS.has(cause)) this.#post(volume, conflictEvent(node, error.summary));
  }

  /** Resolves when everything seen so far has been counted. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  /** True once for each occurrence. */
  #once(id: VolumeId, since: number, what: Occurrence): boolean {
    const occurrence = key(id, since, what);
    if (this.#reported.get(occurrence)) return false;
    this.#reported.set(occurrence, true);
    return true;
  }

  #end(volume: RdsVolume, ended: EndedMigration): void {
    const work = this.#countEnd(volume, ended).finally(() => this.#running.delete(work));
    this.#running.add(work);
  }

  async #countEnd(volume: RdsVolume, ended: EndedMigration): Promise<void> {
    const { metrics, outcome, logger } = this.#options;
    const known = await outcome(volume, ended).catch((error: unknown) => {
      logger.debug("KubeVirt was not asked how the migration ended", { volume: volume.id, error });
      return undefined;
    });
    const result: MigrationResult = known ?? (ended.moved ? "success" : "failed");
    // An overdue migration was counted when it passed its deadline.
    if (!ended.overdue) metrics.migrations.inc({ result });
    metrics.duration.observe(ended.at - ended.since);
    this.#post(volume, endedEvent(ended, result));
  }

  #post(volume: RdsVolume, event: ClaimEvent): void {
    const { logger, events } = this.#options;
    logger.info("attachment event", { volume: volume.id, reason: event.reason, message: event.message });
    events?.postForVolume(volume.id, event);
  }
}

type Occurrence = "start" | "overdue" | "end";

function key(id: VolumeId, since: number, what: Occurrence): string {
  return `${id}:${since}:${what}`;
}
