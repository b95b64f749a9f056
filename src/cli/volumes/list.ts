import { type Input, loadVolumesConfig } from "../../config/load.ts";
import { systemClock } from "../../domain/clock.ts";
import { limitOf } from "../../routeros/transport/limit.ts";
import { ExitCode } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { loggerFor } from "../logging.ts";
import { clusterDrift } from "./cluster-drift.ts";
import { openRds, within, withKnownCluster } from "./connect.ts";
import { listedVolumes } from "./from-rds.ts";
import { type OutputFormat, renderVolumes } from "./render.ts";

export interface ListOptions {
  readonly output: OutputFormat;
  /** Exit with code 3 when a volume has a problem. */
  readonly failOnProblems: boolean;
  /** Limit for everything, seconds. */
  readonly timeoutSeconds: number;
}

/** `rds-csi volumes list`: reads the RDS, changes nothing. */
export async function runVolumesList(input: Input, options: ListOptions, io: Io): Promise<number> {
  const loaded = await loadVolumesConfig(input);
  const logger = loggerFor(loaded, "volumes");
  const { timeoutSeconds } = options;
  const config = await withKnownCluster(loaded, logger, within(timeoutSeconds, io.stop));
  const { rds, transport } = openRds(config, logger, timeoutSeconds);
  const limit = limitOf(transport, timeoutSeconds, io.stop);
  try {
    const { signal } = limit;
    const found = await rds.list(signal);
    const now = systemClock.now();
    const drift = await clusterDrift(config, found.volumes, logger, signal);
    const volumes = listedVolumes(found, now, drift);
    io.out(renderVolumes(volumes, { format: options.output, now, width: io.columns, colour: io.colour }));
    const bad = options.failOnProblems && volumes.some(({ problems }) => problems.length > 0);
    return bad ? ExitCode.problems : ExitCode.ok;
  } finally {
    limit.clear();
    await transport.close();
  }
}
