import { systemClock } from "../../domain/clock.ts";
import type { VolumeId } from "../../domain/volume-id.ts";
import { type Fact, known, lookUp } from "../../inspect/fact.ts";
import { fileFact, poolFact } from "../../inspect/world.ts";
import { silentLogger } from "../../observability/log.ts";
import type { RdsContext } from "../../rds/context.ts";
import type { Disk } from "../../rds/disk.ts";
import { listEverything } from "../../rds/lookup.ts";
import { Rds } from "../../rds/rds.ts";
import { type RdsFile, type Survey, surveyOf } from "../../rds/survey.ts";
import { RouterOsClient } from "../../routeros/client.ts";
import { limitOf } from "../../routeros/transport/limit.ts";
import { createSshTransport } from "../../routeros/transport/ssh-transport.ts";
import { type DiagnoseContext, installationOf } from "../context.ts";

/** The RDS's answers. */
export interface RdsAnswer {
  readonly address: string;
  readonly version: string;
  readonly survey: Survey;
  /** Disk items that are no volumes, mounted or not: disks, RAIDs, pools. */
  readonly pools: readonly Disk[];
  /** Files of volumes without a size. */
  readonly files: readonly { readonly volume: VolumeId; readonly file: Fact<RdsFile> }[];
}

const PATIENCE_MS = 3_000;
/** The part of the time that is left in which the RDS has to answer. */
const SHARE = 0.9;
/** Files that are looked for; more missing ones than these have one cause. */
const MOST_FILES = 8;

/**
 * Asks the RDS: its version, every disk, and the files of volumes that have no size. Three kinds of command, all reading.
 * @param leftMs time until nobody waits any more; a little sooner the answer is the command that hangs
 */
export async function askRds(
  { config }: Pick<DiagnoseContext, "config">,
  stop: AbortSignal,
  leftMs: number,
): Promise<Fact<RdsAnswer>> {
  if (config.rds.state !== "known") return config.rds;
  const transport = createSshTransport({
    ...config.rds.value,
    logger: silentLogger,
    patienceMs: PATIENCE_MS,
    connectTimeoutMs: PATIENCE_MS,
  });
  const { signal, clear } = limitOf(transport, Math.round(leftMs * SHARE * 0.01) / 10, stop);
  try {
    const context: RdsContext = {
      client: new RouterOsClient(transport),
      clock: systemClock,
      logger: silentLogger,
      ...installationOf(config),
    };
    const rds = new Rds(context);
    const version = await rds.version(signal);
    const disks = await listEverything(context, signal);
    const survey = surveyOf(disks, config.clusterId);
    const files: { volume: VolumeId; file: Fact<RdsFile> }[] = [];
    for (const { id, disk } of survey.volumes) {
      if (disk.size !== undefined || disk.filePath === "" || files.length >= MOST_FILES) continue;
      const file = await lookUp(signal, async () =>
        fileFact(await rds.file(disk.filePath, signal), poolFact(survey.mounted, disk.filePath)),
      );
      files.push({ volume: id, file });
    }
    const pools = disks.filter(({ type }) => type !== "file");
    return known({ address: transport.address, version: version.text, survey, pools, files });
  } finally {
    clear();
    // Whether it closes in order does not matter: nothing was changed.
    void transport.close().catch(() => {});
  }
}
