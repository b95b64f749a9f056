import type { Registry } from "prom-client";
import type { Clock } from "../domain/clock.ts";
import { LastKnown } from "../domain/last-known.ts";
import { VOLUME_FINDING_IDS } from "../inspect/catalogue.ts";
import { VOLUME_STATES } from "../inspect/compare.ts";
import type { Logger } from "../observability/log.ts";
import { seriesOf } from "../observability/series.ts";
import { lookAgain } from "./look-loop.ts";
import type { SurveyedVolume, VolumeHealthService } from "./volume-health.ts";

/** Between two looks at all volumes, milliseconds: a look reads every record and every file. */
export const SURVEY_INTERVAL_MS = 300_000;
/** Time without a look after which nothing is known. Milliseconds. */
export const SURVEY_MAX_AGE_MS = 3 * SURVEY_INTERVAL_MS;

export interface FindingsWatchOptions {
  readonly health: Pick<VolumeHealthService, "survey">;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Knows the states of all volumes and what is wrong with them, as `volumes list` finds it, so that a scrape sends no command. Costs two RouterOS
 * commands per SURVEY_INTERVAL_MS up to about 170 volumes, on the replica that leads.
 */
export class FindingsWatch {
  readonly #options: FindingsWatchOptions;
  readonly #seen: LastKnown<readonly SurveyedVolume[]>;

  /** Registers the metrics. */
  constructor(options: FindingsWatchOptions) {
    this.#options = options;
    this.#seen = new LastKnown(options.clock, SURVEY_MAX_AGE_MS);
    const { knownBy } = seriesOf(options.registry);
    knownBy(
      "rds_csi_volumes",
      "Volumes by state, as of the last look at all of them.",
      "state",
      counted(VOLUME_STATES, ({ state }, each) => state === each),
    );
    knownBy(
      "rds_csi_volume_findings",
      "Volumes with a finding, by its id, as of the last look at all of them.",
      "finding",
      counted(VOLUME_FINDING_IDS, ({ findings }, each) => findings.some(({ id }) => id === each)),
    );
    const seen = this.#seen;
    function counted<T extends string>(
      values: readonly T[],
      has: (volume: SurveyedVolume, value: T) => boolean,
    ) {
      return () => {
        const volumes = seen.get();
        return (
          volumes &&
          values.map((value) => [value, volumes.filter((each) => has(each, value)).length] as const)
        );
      };
    }
  }

  /** Looks again and again until `signal` aborts. Never throws. */
  async run(signal: AbortSignal): Promise<void> {
    const { health, clock, logger } = this.#options;
    const loop = { what: "looking at all volumes", scope: "survey", intervalMs: SURVEY_INTERVAL_MS };
    const look = (limit: AbortSignal) => health.survey(limit);
    await lookAgain({ ...loop, seen: this.#seen, look, clock, logger }, signal);
  }
}
