import type { VolumeId } from "../domain/volume-id.ts";
import type { Disk } from "../rds/disk.ts";
import type { Rds } from "../rds/rds.ts";
import type { Survey } from "../rds/survey.ts";
import { absent, type Fact, found, known } from "./fact.ts";
import { absentOnRds, type FileFacts, type PoolFacts, type RdsFacts, unknownRds } from "./facts.ts";
import { lookUp } from "./look-up.ts";

/**
 * What the RDS says about one slot. One RouterOS command, for the file.
 * @param survey what it listed before; unknown: it could not be asked
 * @param directory folder of the volumes below a pool's mount point, for the file of a volume without disk item
 */
export async function gatherRds(
  rds: Pick<Rds, "file" | "strayFile">,
  survey: Fact<Survey>,
  handle: VolumeId,
  directory: string,
  signal: AbortSignal,
): Promise<RdsFacts> {
  if (survey.state === "unknown") return unknownRds(survey.reason);
  const { volumes, foreign, mounted } = survey.state === "known" ? survey.value : NOTHING;
  const volume = volumes.find(({ id }) => id === handle);
  const other = foreign.find(({ id }) => id === handle);
  const disk = volume?.disk ?? other?.disk;
  if (disk === undefined)
    return absentOnRds(
      await lookUp(signal, async () => found(await rds.strayFile(handle, directory, mounted, signal))),
    );
  const file: Fact<FileFacts> =
    disk.filePath === ""
      ? absent
      : await lookUp(signal, async () => found(await rds.file(disk.filePath, signal)));
  return {
    disk: known(disk),
    record: found(volume?.record),
    foreign: other?.reason,
    file,
    pool: found(poolOf(mounted, disk.filePath)),
  };
}

const NOTHING: Survey = { volumes: [], foreign: [], mounted: [] };

/** The mounted item whose mount point is the longest that the path begins with. */
function poolOf(mounted: readonly Disk[], path: string): PoolFacts | undefined {
  const [holder] = mounted
    .filter(({ mountPoint }) => mountPoint !== "" && path.startsWith(`${mountPoint}/`))
    .toSorted((a, b) => b.mountPoint.length - a.mountPoint.length);
  if (holder === undefined) return undefined;
  const { slot, mountPoint, fs, size, free } = holder;
  return { slot, mountPoint, fs, sizeBytes: size, freeBytes: free };
}
