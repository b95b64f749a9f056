import type { Clock } from "../../domain/clock.ts";
import type { VolumeId } from "../../domain/volume-id.ts";
import { withDeadline } from "../../kubernetes/deadline.ts";
import type { EventSink } from "../../kubernetes/port.ts";
import type { Logger } from "../../observability/log.ts";
import { type AbnormalCondition, conditionMessage } from "./health.ts";
import type { SurveyResult } from "./survey.ts";

/** A volume with the reasons for which it is abnormal; none for a normal one. */
export type SeenVolume = readonly [volume: VolumeId, conditions: readonly AbnormalCondition[]];

export interface HealthWatchOptions {
  /** See survey(). */
  readonly survey: (signal: AbortSignal) => Promise<SurveyResult>;
  /** undefined: transitions are only logged. */
  readonly events: Pick<EventSink, "postForVolume"> | undefined;
  /** Called after each look, with the volumes whose condition was found out. */
  readonly onLook?: (seen: readonly SeenVolume[]) => void;
  readonly nodeId: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface HealthWatch {
  /** Looks once. Never throws; an unknown condition is no transition. */
  look(signal: AbortSignal): Promise<void>;
  /** Looks again and again until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>;
}

/** Between two looks, milliseconds. */
const INTERVAL_MS = 30_000;
/** One look; sysfs answers at once, each filesystem has its own deadline. */
const LOOK_MS = 60_000;
/**
 * AbnormalCondition has to last so long before it is reported: the restart of a RDS resets every connection of every node for some
 * seconds, which is no news. Less than two intervals, so the second look that finds it reports it.
 */
const SETTLED_MS = 25_000;

interface Ailment {
  readonly since: number;
  readonly reported: boolean;
}

/**
 * Notices when volumes of this node become abnormal and normal again, and reports each transition once: in the log and as an
 * event on the claim. It remembers in this process only: after a restart of the driver a condition that lasts is reported anew.
 */
export function createHealthWatch(options: HealthWatchOptions): HealthWatch {
  const { survey, events, onLook, nodeId, clock, logger } = options;
  const ailing = new Map<VolumeId, Ailment>();
  let failing = false;

  const observe = (volume: VolumeId, conditions: readonly AbnormalCondition[], now: number): void => {
    const before = ailing.get(volume);
    if (conditions.length === 0) {
      ailing.delete(volume);
      if (before?.reported !== true) return;
      const seconds = Math.round((now - before.since) / 1_000);
      logger.info("volume is normal again", { volume, seconds });
      const message = `On node ${nodeId} the volume is normal again, after ${seconds} s`;
      events?.postForVolume(volume, { type: "Normal", reason: "VolumeRecovered", message });
      return;
    }
    const since = before?.since ?? now;
    const due = before?.reported !== true && now - since >= SETTLED_MS;
    ailing.set(volume, { since, reported: due || before?.reported === true });
    if (!due) return;
    const causes = conditions.map(({ cause }) => cause);
    const message = conditionMessage(conditions);
    logger.warn("volume is abnormal", { volume, causes, message });
    const event = `On node ${nodeId}: ${message}`;
    events?.postForVolume(volume, { type: "Warning", reason: "VolumeAbnormal", message: event });
  };

  const look = async (signal: AbortSignal): Promise<void> => {
    try {
      const found = await withDeadline(clock, LOOK_MS, signal, survey);
      const now = clock.monotonic();
      for (const volume of ailing.keys()) if (!found.has(volume)) ailing.delete(volume);
      // An unknown condition is no transition.
      const seen = [...found].filter((each): each is [...SeenVolume] => each[1] !== undefined);
      for (const [volume, conditions] of seen) observe(volume, conditions, now);
      onLook?.(seen);
      const unknown = [...found.keys()].filter((volume) => found.get(volume) === undefined);
      if (unknown.length > 0 && !failing) {
        logger.warn("some volumes of this node could not be looked at", { volumes: unknown });
      }
      failing = unknown.length > 0;
    } catch (error) {
      if (signal.aborted) return;
      logger[failing ? "debug" : "warn"]("the volumes of this node could not be looked at", {
        error,
      });
      failing = true;
    }
  };

  const run = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      await look(signal);
      await clock.sleep(INTERVAL_MS, signal).catch(() => {});
    }
  };

  return { look, run };
}
