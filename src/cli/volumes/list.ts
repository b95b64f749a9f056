import { type Input, loadVolumesConfig } from "../../config/load.ts";
import { systemClock } from "../../domain/clock.ts";
import { failure } from "../../domain/errors/driver-error.ts";
import { Rds } from "../../rds/rds.ts";
import { RouterOsClient } from "../../routeros/client.ts";
import { createSshTransport } from "../../routeros/transport/transport.ts";
import { ExitCode } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { loggerFor } from "../logging.ts";
import { clusterDrift } from "./cluster-drift.ts";
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
  const config = await loadVolumesConfig(input);
  const logger = loggerFor(config, "volumes");
  const { timeoutSeconds } = options;
  // Half of the limit, so that the reason is known before the time is over.
  const patienceMs = Math.min(5_000, timeoutSeconds * 500);
  const transport = createSshTransport({ ...config.rds, logger, patienceMs });
  const limit = new AbortController();
  const timer = setTimeout(() => {
    const reason = `no answer within ${timeoutSeconds} s`;
    limit.abort(failure("rdsUnreachable", { address: transport.address, reason }));
  }, timeoutSeconds * 1000);
  try {
    const rds = new Rds({
      client: new RouterOsClient(transport),
      clock: systemClock,
      logger,
      clusterId: config.clusterId,
      nqnPrefix: config.nqnPrefix,
      // Used for changes only, which are not made here.
      nvmePort: 4420,
      fencing: "epoch",
    });
    const signal = AbortSignal.any([io.stop, limit.signal]);
    const found = await rds.list(signal);
    const now = systemClock.now();
    const drift = await clusterDrift(config, found.volumes, logger, signal);
    const volumes = listedVolumes(found, now, drift);
    io.out(renderVolumes(volumes, { format: options.output, now, width: io.columns, colour: io.colour }));
    const bad = options.failOnProblems && volumes.some(({ problems }) => problems.length > 0);
    return bad ? ExitCode.problems : ExitCode.ok;
  } finally {
    clearTimeout(timer);
    await transport.close();
  }
}
