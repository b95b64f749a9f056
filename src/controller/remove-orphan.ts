import type { Clock } from "../domain/clock.ts";
import { failure, toDriverError } from "../domain/errors/driver-error.ts";
import { GrpcCode } from "../domain/errors/grpc-code.ts";
import { parseSnapshotHandle, partsOfHandle } from "../domain/snapshot-id.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import { type Orphan, orphanKey } from "../inspect/orphan.ts";
import type { StorageNames } from "../kubernetes/storage-names.ts";
import type { Layout } from "../rds/layout.ts";
import type { Rds } from "../rds/rds.ts";
import type { RemoveResult } from "../rds/remove.ts";
import { deletable } from "./existing-volume.ts";

export interface OrphanRemoval {
  readonly rds: Pick<Rds, "forRemoval" | "remove" | "removeFileOnly" | "inventory" | "snapshots">;
  readonly layout: Layout;
  readonly names: StorageNames;
  readonly clock: Pick<Clock, "sleep">;
  /** Looks at everything anew. @throws the failures of both sides */
  readonly look: () => Promise<readonly Orphan[]>;
  readonly forRds: AbortSignal;
  readonly forCluster: AbortSignal;
}

/** How often a removal whose reply was lost is looked at again. */
const ATTEMPTS = 3;
/** Between two attempts, milliseconds. */
const PAUSE_MS = 500;

/**
 * Removes an orphan that a person has seen in a plan, with the driver's own deletions. Just before, everything is looked at anew: it must still
 * be the orphan of the plan, with the same record, and the last question before the deletion goes to the cluster. A lost reply is followed by
 * another look, as after a DeleteVolume that was not answered.
 * @param planned its `deletable` is not `no`
 * @throws orphanKept with the first doubt; the failures of both sides
 */
export async function removeOrphan(removal: OrphanRemoval, planned: Orphan): Promise<void> {
  const progress = { isSent: false };
  for (let attempt = 1; ; attempt += 1) {
    try {
      await removeOnce(removal, planned, progress);
      return;
    } catch (error) {
      const { code, summary } = toDriverError(error);
      const isOpen = code === GrpcCode.UNAVAILABLE || code === GrpcCode.ABORTED;
      const isLast = attempt === ATTEMPTS || removal.forRds.aborted;
      if (isOpen && isLast && progress.isSent)
        keep(planned, `a deletion was sent, and its result is not known: ${summary}; repeat the command`);
      if (!isOpen || isLast) throw error;
      await removal.clock.sleep(PAUSE_MS, removal.forRds);
    }
  }
}

/** Whether a removal was sent, so that nothing may be left of the orphan, or a part. */
interface Progress {
  isSent: boolean;
}

async function removeOnce(removal: OrphanRemoval, planned: Orphan, progress: Progress): Promise<void> {
  const found = (await removal.look()).find((each) => orphanKey(each) === orphanKey(planned));
  if (found === undefined && !progress.isSent) keep(planned, "it is no orphan any more");
  // What only a person can say was not asked where the plan had a proof.
  const isLessProven = found?.deletable === "named" && planned.deletable === "yes";
  if (found?.deletable === "no" || isLessProven) keep(planned, found.why);
  if (found !== undefined && found.comment !== planned.comment) keep(planned, "its record is another one");
  if (planned.kind === "disk") return removeDisk(removal, planned, progress);
  if (planned.kind === "snapshot") return removeSnapshot(removal, planned, progress);
  return removeLeftFile(removal, planned, progress);
}

async function removeDisk(removal: OrphanRemoval, planned: Orphan, progress: Progress): Promise<void> {
  const { rds, layout, forRds } = removal;
  const id = planned.name as VolumeId;
  const { found, mounted } = await rds.forRemoval(id, forRds);
  await requireUnnamed(removal, planned);
  if (found === undefined) {
    if (!progress.isSent) keep(planned, "its disk item is gone");
    // This process has removed the item, and knows where its file is.
    settled(planned, await rds.removeFileOnly(id, layout, mounted, forRds));
    return;
  }
  const volume = deletable(found);
  if (volume.disk.comment !== planned.comment) keep(planned, "its record is another one");
  if (volume.disk.exported) keep(planned, "it is exported");
  progress.isSent = true;
  settled(planned, await rds.remove(volume, layout, mounted, forRds));
}

async function removeLeftFile(removal: OrphanRemoval, planned: Orphan, progress: Progress): Promise<void> {
  const { rds, layout, forRds } = removal;
  const id = planned.name as VolumeId;
  const { found, mounted } = await rds.forRemoval(id, forRds);
  if (found !== undefined) keep(planned, "it has a disk item now");
  await requireUnnamed(removal, planned);
  progress.isSent = true;
  settled(planned, await rds.inventory.removeFile(id, planned.path, { layout, mounted }, forRds));
}

async function removeSnapshot(removal: OrphanRemoval, planned: Orphan, progress: Progress): Promise<void> {
  const handle = parseSnapshotHandle(planned.name);
  if (handle === undefined) return keep(planned, "its name is no handle");
  const contents = await removal.names.snapshots(removal.forCluster);
  if (contents === undefined) return keep(planned, "the cluster serves no VolumeSnapshots");
  const names: readonly string[] = [handle, partsOfHandle(handle).id];
  const by = contents.find(({ handles }) => handles.some((each) => names.includes(each)));
  if (by !== undefined) keep(planned, `VolumeSnapshotContent ${by.name} names it now`);
  progress.isSent = true;
  await removal.rds.snapshots.remove(handle, removal.forRds);
}

/** The last question before a deletion. @throws orphanKept */
async function requireUnnamed({ names, forCluster }: OrphanRemoval, planned: Orphan): Promise<void> {
  const by = (await names.volumes(forCluster)).find(({ handle }) => handle === planned.name);
  if (by !== undefined) keep(planned, `PersistentVolume ${by.name} names it now`);
}

function settled(planned: Orphan, result: RemoveResult): void {
  if (result === "changed") keep(planned, "it was changed meanwhile");
}

function keep({ name }: Orphan, reason: string): never {
  throw failure("orphanKept", { name, reason });
}

/** Why an orphan is still there, for a person. */
export function keptBecause(thrown: unknown): string {
  const { id, summary } = toDriverError(thrown);
  return id === "orphanKept" ? summary.replace(/^.*? was not deleted: /, "") : summary;
}
