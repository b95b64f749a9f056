import { type Input, loadVolumesConfig } from "../../config/load.ts";
import { systemClock } from "../../domain/clock.ts";
import { failure } from "../../domain/errors/driver-error.ts";
import { ExitCode } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { loggerFor } from "../logging.ts";
import { clusterDrift } from "./cluster-drift.ts";
import { openRds, within, withKnownCluster } from "./connect.ts";
import { listedVolumes } from "./from-rds.ts";
import { hasProblem } from "./model.ts";
import { type OutputFormat, renderVolumes } from "./render.ts";
import { type Selection, type SortKey, selects } from "./select.ts";

export interface ListOptions {
  readonly output: OutputFormat;
  /** Exit with code 3 if a selected volume has a problem. */
  readonly failOnProblems: boolean;
  /** Limit for everything, seconds. */
  readonly timeoutSeconds: number;
  readonly selection: Selection;
  readonly sort: SortKey | undefined;
}

/** `rds-csi volumes list`: reads the RDS, changes nothing. */
export async function runVolumesList(input: Input, options: ListOptions, io: Io): Promise<number> {
  const loaded = await loadVolumesConfig(input);
  const logger = loggerFor(loaded, "volumes");
  const { timeoutSeconds, output: format, selection, sort } = options;
  const config = await withKnownCluster(loaded, logger, within(timeoutSeconds, io.stop));
  const { rds, transport } = openRds(config, logger, timeoutSeconds);
  const limit = new AbortController();
  const timer = setTimeout(() => {
    const reason = `no answer within ${timeoutSeconds} s`;
    limit.abort(failure("rdsUnreachable", { address: transport.address, reason }));
  }, timeoutSeconds * 1000);
  try {
    const signal = AbortSignal.any([io.stop, limit.signal]);
    const found = await rds.list(signal);
    const now = systemClock.now();
    const drift = await clusterDrift(config, found.volumes, logger, signal);
    const volumes = listedVolumes(found, now, drift);
    const { columns: width, colour } = io;
    io.out(renderVolumes(volumes, { format, now, width, colour, selection, sort }));
    const bad = options.failOnProblems && volumes.filter(selects(selection)).some(hasProblem);
    return bad ? ExitCode.problems : ExitCode.ok;
  } finally {
    clearTimeout(timer);
    await transport.close();
  }
}
