import { failure, isFailure } from "../domain/errors/driver-error.ts";
import { encodeChecked, encodeRecord, REVISION_ROOM } from "../domain/record/record-codec.ts";
import type { VolumeRecord } from "../domain/record/volume-record.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { CommandFailure } from "../routeros/client.ts";
import { ros, type Script } from "../routeros/script.ts";
import { fileIsBacking, requireMounted } from "./backing-file.ts";
import { changeDisk, commandFailure, type RdsContext } from "./context.ts";
import { requireNoConversion } from "./conversion-slots.ts";
import type { Disk } from "./disk.ts";
import { growVolume } from "./grow.ts";
import { type FileLayout, filePathOf, folderOf, type Layout } from "./layout.ts";
import { findDisk } from "./lookup.ts";
import { placeOn } from "./place.ts";
import { pollDisk } from "./poll.ts";
import { type Pool, poolRefused } from "./pool.ts";
import { removeUnfinished } from "./remove.ts";
import { addSubvolume, requireOneLabel } from "./subvolume.ts";
import { type Classified, classify, type RdsVolume } from "./volume.ts";

/** The subvolume whose content a new volume begins with, in the filesystem of its pool. */
export interface CloneSource {
  /** Path of the subvolume within the filesystem. */
  readonly subvolume: string;
  /** Size of the file in it. Bytes. */
  readonly sizeBytes: bigint;
}

/** The properties of a new volume. */
export interface CreateSpec {
  readonly id: VolumeId;
  readonly layout: Layout;
  readonly form: FileLayout;
  /** With the layout `subvolume` only; undefined: a blank volume. */
  readonly source?: CloneSource | undefined;
  readonly pool: Pool;
  /** Bytes, a multiple of the granularity. */
  readonly sizeBytes: bigint;
  readonly record: VolumeRecord;
  readonly signal: AbortSignal;
}

/**
 * Creates a volume, not exported: checks, acts and reads back in one RouterOS command, then waits until the
 * device shows its size. If another disk took the slot meanwhile, that disk is returned and nothing is changed. A subvolume that an
 * interrupted call left costs two commands more.
 * @throws poolRefused, poolNotMounted, sizeNotConfirmed, foreignDisk, labelAmbiguous, and the link's failures
 */
export async function createVolume(context: RdsContext, spec: CreateSpec): Promise<Classified> {
  const { id, pool, layout, form, signal } = spec;
  const made = await tryCreate(context, spec);
  if (made !== "leftover") return made;
  // Another line may be at work on it: its item is about to show then.
  const disk = await appears(context, id, signal);
  if (disk !== undefined) return classified(context, disk);
  await removeUnfinished(context, id, placeOn(pool, layout, id, form), undefined, signal);
  const again = await tryCreate(context, spec);
  if (again !== "leftover") return again;
  const detail = "a subvolume with its name is in use, or not quite gone";
  throw failure("rdsBusy", { what: `create volume ${id}`, detail });
}

/** How long a subvolume without disk item may belong to a line that is at work. Milliseconds. */
const LEFTOVER_MS = 2_000;

/** The disk item of a volume that another line may be making. */
function appears(context: RdsContext, id: VolumeId, signal: AbortSignal): Promise<Disk | undefined> {
  const isThere = (disk: Disk | undefined) => disk !== undefined;
  return pollDisk(context, id, signal, undefined, isThere, undefined, LEFTOVER_MS);
}

async function tryCreate(context: RdsContext, spec: CreateSpec): Promise<Classified | "leftover"> {
  const { id, signal, pool } = spec;
  const comment = encodeChecked(id, spec.record, REVISION_ROOM);
  const what = `create volume ${id}`;
  const outcome = await changeDisk(context, what, "change", id, createScript(spec, comment), signal);
  if (!outcome.ok && outcome.failure.reason === "leftover") return "leftover";
  if (!outcome.ok) return createFailed(context, spec, outcome.failure, what);
  const isThere = (found: Disk | undefined) =>
    found === undefined || found.comment !== comment || found.size !== undefined;
  const disk = await pollDisk(context, id, signal, outcome.disk, isThere);
  if (disk === undefined) {
    throw failure("notVerified", {
      what: `creating volume ${id} in pool ${pool.slot}`,
      detail: "the disk item is missing",
    });
  }
  const found = classified(context, disk);
  if (disk.comment !== comment) return found;
  verifyPlace(disk, spec);
  if (found.kind === "foreign") return found;
  const volume = await grownClone(context, spec, found.volume);
  verifySize(volume.disk, spec);
  return { kind: "volume", volume };
}

function classified({ clusterId }: RdsContext, disk: Disk): Classified {
  const found = classify(disk, clusterId);
  if (found === undefined) throw failure("internal", { what: `slot ${disk.slot} has no form of ours` });
  return found;
}

/** A clone whose size was not shown in time for the line that made it is grown by a line of its own. */
async function grownClone(context: RdsContext, spec: CreateSpec, volume: RdsVolume): Promise<RdsVolume> {
  const { pool, sizeBytes, signal, source } = spec;
  const { size } = volume.disk;
  if (source === undefined || size === undefined || size >= sizeBytes) return volume;
  const result = await growVolume(context, { volume, pool, sizeBytes, reExportSince: undefined, signal });
  if (result.kind === "written") return result.volume;
  const what = `creating volume ${spec.id} in pool ${pool.slot}`;
  throw failure("notVerified", { what, detail: "it was changed meanwhile" });
}

/**
 * Acts only while the pool is mounted, else the file would land on the router's own flash. A file without item is left from an
 * interrupted call and may hold old data: it is removed, never reused. So the pool must still be mounted after the look for
 * that file. This look is the only one at `/file`, whose cost grows with the files of the whole device. A subvolume without item ends the
 * command (`leftover`): another line may have made it a moment ago.
 */
function createScript(spec: CreateSpec, comment: string): Script {
  const { id, layout, form, source, pool, sizeBytes } = spec;
  const { path, subvolume } = placeOn(pool, layout, id, form);
  const size = source === undefined ? ros` file-size=${sizeBytes}` : ros``;
  const file = filePathOf(pool.mountPoint, layout, id, form);
  const item = ros`/disk/add type=file slot=${id} file-path=${file}${size} mount-filesystem=no mount-read-only=no compress=no smb-sharing=no nfs-sharing=no media-sharing=no iscsi-export=no swap=no nvme-tcp-export=no comment=$record`;
  const leftover =
    subvolume === undefined
      ? ros`:local rest [/file/find where name=${path}]; :if ([:len $rest] > 0) do={ :if (${fileIsBacking(path)}) do={ :error "rds-csi:file-in-use" }; /file/remove $rest }`
      : ros`${requireOneLabel(subvolume.label)}; :if ([:len [/file/find where name=${path}]] > 0) do={ :error "rds-csi:leftover" }`;
  const withFolders = (step: Script) =>
    ros`:onerror f in={ ${step} } do={ ${requireMounted(pool.slot)}; ${folders(pool.mountPoint, layout)}; ${step} }`;
  const steps = (): Script => {
    if (subvolume === undefined) return withFolders(item);
    const { label, name } = subvolume;
    if (source === undefined) return ros`${withFolders(addSubvolume(label, ros`${name}`))}; ${item}`;
    const grow = ros`/disk/set [/disk/find where slot=${id} and comment=$record and size<${sizeBytes}] file-size=${sizeBytes}`;
    // The folder of the source may be another one: that of an earlier --directory.
    return ros`${withFolders(addSubvolume(label, ros`${name}`, source.subvolume))}; ${item}${source.sizeBytes < sizeBytes ? ros`; ${grow}` : ros``}`;
  };
  return ros`${requireMounted(pool.slot)}; :if ([:len [/disk/find where slot=${id}]] = 0) do={ ${requireNoConversion(id)}; ${leftover}; ${requireMounted(pool.slot)}; :local record ${comment}; ${steps()} }`;
}

/**
 * Makes the missing folders after `/disk/add` has failed with `$f`. If the last folder could be made, it was missing: the
 * failure left nothing, and `/disk/add` may be tried again. Else `$f` is the error.
 */
function folders(mountPoint: string, layout: Layout): Script[] {
  const full = folderOf(mountPoint, layout).split("/");
  const depth = mountPoint.split("/").length;
  return full.slice(depth).map((_, index) => {
    const end = depth + index + 1;
    const make = ros`/file/add name=${full.slice(0, end).join("/")} type=directory`;
    return end === full.length
      ? ros`:onerror g in={ ${make} } do={ :error $f }`
      : ros`:do { ${make} } on-error={}`;
  });
}

async function createFailed(
  context: RdsContext,
  spec: CreateSpec,
  { kind, reason, text }: CommandFailure,
  what: string,
): Promise<Classified | "leftover"> {
  const { id, pool, signal, sizeBytes } = spec;
  if (reason === "converting") throw failure("volumeConverting", { volume: id });
  if (reason === "pool-not-mounted") throw failure("poolNotMounted", { pool: pool.slot });
  if (reason === "label-ambiguous") throw failure("labelAmbiguous", { pool: pool.slot, label: pool.fsLabel });
  if (reason === "file-in-use") {
    throw failure("foreignDisk", { slot: id, reason: `its file is used by another disk item of the RDS` });
  }
  const disk = await findDisk(context, id, signal);
  const found = disk === undefined ? undefined : classify(disk, context.clusterId);
  const rejected = commandFailure(what, { kind, reason, text });
  // Those of conversions come before: nothing of the line has run.
  const isFinal = kind !== "exists" && kind !== "own" && !isFailure(rejected, "rdsBusy");
  if (isFinal) {
    // The answer claims that nothing exists, so the remains of the failed command are removed first.
    // An item that is there for a reason that is not known may be whole: it stays, for the repeated call.
    const isClear = kind === "space" || kind === "argument";
    const partial = isClear && found?.kind === "volume" && disk?.comment === encodeRecord(spec.record);
    const place = placeOn(pool, spec.layout, id, spec.form);
    // A reason that is not known may be another line that makes the volume: its item is about to show then.
    if (disk === undefined && kind === "other" && (await appears(context, id, signal)) !== undefined)
      throw failure("rdsBusy", { what, detail: text });
    if (disk === undefined || partial) {
      try {
        await removeUnfinished(context, id, place, partial ? found.volume : undefined, signal);
      } catch (error) {
        if (!isFailure(error, "commandRejected")) throw error;
        throw failure("rdsBusy", { what, detail: `${text}; ${error.message}` });
      }
    }
    if (kind === "space") throw poolRefused(pool, sizeBytes, text);
    // Its source may be gone since it was looked up: the repeated call says so.
    const mayLackSource = spec.source !== undefined && (kind === "argument" || kind === "absent");
    if (!mayLackSource && (disk === undefined || partial)) throw rejected;
  }
  if (kind === "exists" && found !== undefined) return found;
  // The name of a subvolume that was just removed may not be free yet.
  if (kind === "exists" && spec.form === "subvolume") return "leftover";
  throw failure("rdsBusy", { what, detail: text });
}

/** @throws sizeNotConfirmed (UNAVAILABLE) when the device differs from the request */
function verifySize(disk: Disk, { id, source, sizeBytes }: CreateSpec): void {
  // A source that was grown after it was read makes a larger clone.
  const isRight =
    source !== undefined && disk.size !== undefined ? disk.size >= sizeBytes : disk.size === sizeBytes;
  if (isRight) return;
  const found = String(disk.size ?? "unknown");
  throw failure("sizeNotConfirmed", { volume: id, wanted: sizeBytes, found });
}

/** @throws notVerified (UNAVAILABLE) when the device differs from the request */
function verifyPlace(disk: Disk, { id, layout, form, pool }: CreateSpec): void {
  const path = filePathOf(pool.mountPoint, layout, id, form);
  const what = `creating volume ${id}`;
  if (disk.filePath !== path)
    throw failure("notVerified", { what, detail: `its file is ${disk.filePath}, not ${path}` });
  if (disk.mountFilesystem) throw failure("notVerified", { what, detail: "mount-filesystem is on" });
}
