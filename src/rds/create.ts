import { failure } from "../domain/errors/driver-error.ts";
import { encodeChecked, encodeRecord, REVISION_ROOM } from "../domain/record/record-codec.ts";
import type { VolumeRecord } from "../domain/record/volume-record.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { CommandFailure } from "../routeros/client.ts";
import { ros, type Script } from "../routeros/script.ts";
import { fileIsBacking, requireMounted } from "./backing-file.ts";
import { changeDisk, commandFailure, type RdsContext } from "./context.ts";
import type { Disk } from "./disk.ts";
import { growVolume } from "./grow.ts";
import { type FileLayout, filePathOf, folderOf, type Layout } from "./layout.ts";
import { findDisk } from "./lookup.ts";
import { placeOn } from "./place.ts";
import { pollDisk } from "./poll.ts";
import { type Pool, poolRefused } from "./pool.ts";
import { removeUnfinished } from "./remove.ts";
import { addSubvolume, removeSubvolume, requireOneLabel } from "./subvolume.ts";
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
 * device shows its size. If another disk took the slot meanwhile, that disk is returned and nothing is changed.
 * @throws poolRefused, poolNotMounted, sizeNotConfirmed, foreignDisk, and the link's failures
 */
export async function createVolume(context: RdsContext, spec: CreateSpec): Promise<Classified> {
  const { id, signal, pool } = spec;
  const comment = encodeChecked(id, spec.record, REVISION_ROOM);
  const what = `create volume ${id}`;
  const outcome = await changeDisk(context, what, "change", id, createScript(spec, comment), signal);
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
  const classified = classify(disk, context.clusterId);
  if (classified === undefined) throw failure("internal", { what: `slot ${id} has no form of ours` });
  if (disk.comment !== comment || classified.kind === "foreign") return classified;
  const ready = { kind: "volume", volume: await grownClone(context, spec, classified.volume) } as const;
  verify(ready.volume.disk, spec);
  return ready;
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
 * Acts only while the pool is mounted, else the file would land on the router's own flash. A file or subvolume without item is left from an
 * interrupted call and may hold old data: it is removed, never reused. So the pool must still be mounted after the look for
 * it. This look is the only one at `/file`, whose cost grows with the files of the whole device.
 */
function createScript({ id, layout, form, source, pool, sizeBytes }: CreateSpec, comment: string): Script {
  const file = filePathOf(pool.mountPoint, layout, id, form);
  const { path, subvolume } = placeOn(pool, layout, id, form);
  const found = ros`[:len [/file/find where name=${path}]]`;
  const leftover =
    subvolume === undefined
      ? ros`:local rest [/file/find where name=${path}]; :if ([:len $rest] > 0) do={ :if (${fileIsBacking(path)}) do={ :error "rds-csi:file-in-use" }; /file/remove $rest }`
      : ros`:if (${found} > 0) do={ ${removeSubvolume(subvolume, path)}; :if ($left > 0) do={ :error "rds-csi:file-in-use" } }`;
  const size = source === undefined ? ros` file-size=${sizeBytes}` : ros``;
  const item = ros`/disk/add type=file slot=${id} file-path=${file}${size} mount-filesystem=no mount-read-only=no compress=no smb-sharing=no nfs-sharing=no media-sharing=no iscsi-export=no swap=no nvme-tcp-export=no comment=$record`;
  const grow =
    source === undefined || source.sizeBytes >= sizeBytes
      ? ros``
      : ros`; /disk/set [/disk/find where slot=${id} and comment=$record and size<${sizeBytes}] file-size=${sizeBytes}`;
  // The first step that needs the folder.
  const first =
    subvolume === undefined ? item : addSubvolume(subvolume.label, ros`${subvolume.name}`, source?.subvolume);
  const rest = subvolume === undefined ? ros`` : ros`; ${item}${grow}`;
  const begin = subvolume === undefined ? ros`` : ros`${requireOneLabel(subvolume.label)}; `;
  return ros`${requireMounted(pool.slot)}; :if ([:len [/disk/find where slot=${id}]] = 0) do={ ${begin}${leftover}; ${requireMounted(pool.slot)}; :local record ${comment}; :onerror f in={ ${first} } do={ ${requireMounted(pool.slot)}; ${folders(pool.mountPoint, layout)}; ${first} }${rest} }`;
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
): Promise<Classified> {
  const { id, pool, signal, sizeBytes } = spec;
  if (reason === "pool-not-mounted") throw failure("poolNotMounted", { pool: pool.slot });
  if (reason === "label-ambiguous") throw failure("labelAmbiguous", { pool: pool.slot, label: pool.fsLabel });
  if (reason === "file-in-use") {
    throw failure("foreignDisk", { slot: id, reason: `its file is used by another disk item of the RDS` });
  }
  const disk = await findDisk(context, id, signal);
  const classified = disk === undefined ? undefined : classify(disk, context.clusterId);
  if (kind === "space" || kind === "argument") {
    // The answer claims that nothing exists, so the remains of the failed command are removed first.
    const partial = classified?.kind === "volume" && disk?.comment === encodeRecord(spec.record);
    const place = placeOn(pool, spec.layout, id, spec.form);
    if (disk === undefined || partial)
      await removeUnfinished(context, id, place, partial ? classified.volume : undefined, signal);
    if (kind === "space") throw poolRefused(pool, sizeBytes, text);
  }
  if (kind === "exists" && classified !== undefined) return classified;
  if (disk !== undefined) throw failure("rdsBusy", { what, detail: text });
  throw commandFailure(what, { kind, reason, text });
}

/** @throws sizeNotConfirmed or notVerified (UNAVAILABLE) when the device differs from the request */
function verify(disk: Disk, { id, layout, form, source, pool, sizeBytes }: CreateSpec): void {
  // A source that was grown after it was read makes a larger clone.
  const isRight =
    source !== undefined && disk.size !== undefined ? disk.size >= sizeBytes : disk.size === sizeBytes;
  if (!isRight) {
    throw failure("sizeNotConfirmed", {
      volume: id,
      wanted: sizeBytes,
      found: String(disk.size ?? "unknown"),
    });
  }
  const path = filePathOf(pool.mountPoint, layout, id, form);
  const what = `creating volume ${id}`;
  if (disk.filePath !== path)
    throw failure("notVerified", { what, detail: `its file is ${disk.filePath}, not ${path}` });
  if (disk.mountFilesystem) throw failure("notVerified", { what, detail: "mount-filesystem is on" });
}
