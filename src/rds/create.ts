import { failure } from "../domain/errors/driver-error.ts";
import { encodeRecord, RECORD_LIMIT } from "../domain/record/record-codec.ts";
import type { VolumeRecord } from "../domain/record/volume-record.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { CommandFailure } from "../routeros/client.ts";
import { ros, type Script } from "../routeros/script.ts";
import { commandFailure, disksOf, type RdsContext } from "./context.ts";
import { type Disk, disks } from "./disk.ts";
import { fileIsBacking } from "./file-pattern.ts";
import { filePathOf, folderOf, type Layout } from "./layout.ts";
import { findDisk, single } from "./lookup.ts";
import { pollUntil } from "./poll.ts";
import type { Pool } from "./pool.ts";
import { removeLeftover } from "./remove.ts";
import { type Classified, classify } from "./volume.ts";

/** What a new volume shall be. */
export interface CreateSpec {
  readonly id: VolumeId;
  readonly layout: Layout;
  readonly pool: Pool;
  /** Bytes, a multiple of the granularity. */
  readonly sizeBytes: bigint;
  readonly record: VolumeRecord;
  readonly signal: AbortSignal;
}

/**
 * Creates a volume, not exported: checks, acts and reads back in one RouterOS command, then waits until the
 * device shows its size. If the slot is taken meanwhile, what took it is returned and nothing is changed.
 * @throws poolFull, poolNotMounted, sizeNotConfirmed, foreignDisk, and what the link throws
 */
export async function createVolume(context: RdsContext, spec: CreateSpec): Promise<Classified> {
  const { id, signal, pool } = spec;
  const comment = encodeChecked(id, spec.record);
  const what = `create volume ${id}`;
  const outcome = await context.client.run({
    what,
    purpose: "mutate",
    listing: disks(ros`slot=${id}`),
    body: (rows) => ros`${createScript(spec, comment)}; ${rows}`,
    signal,
  });
  if (!outcome.ok) return createFailed(context, spec, outcome.failure, what);
  const first = single(id, disksOf(outcome));
  const disk = await pollUntil(
    context.clock,
    signal,
    first,
    () => findDisk(context, id, signal),
    (found) => found === undefined || found.comment !== comment || found.size !== undefined,
  );
  if (disk === undefined) {
    throw failure("notVerified", {
      what: `creating volume ${id} in pool ${pool.slot}`,
      detail: "the disk item is missing",
    });
  }
  const classified = classify(disk, context.clusterId);
  if (classified === undefined) throw failure("internal", { what: `slot ${id} has no form of ours` });
  if (disk.comment === comment) verify(disk, spec);
  return classified;
}

/** The record as comment. @throws recordTooLarge (INVALID_ARGUMENT) */
export function encodeChecked(id: VolumeId, record: VolumeRecord): string {
  const comment = encodeRecord(record);
  if (comment.length > RECORD_LIMIT) {
    throw failure("recordTooLarge", { volume: id, bytes: comment.length, limit: RECORD_LIMIT });
  }
  return comment;
}

/**
 * Nothing happens unless the pool is mounted, else the file would land on the router's own flash. A file
 * without an item is left from an interrupted call and may hold old data: it is removed, never reused.
 */
function createScript({ id, layout, pool, sizeBytes }: CreateSpec, comment: string): Script {
  const path = filePathOf(pool.mountPoint, layout, id);
  return ros`:if ([:len [/disk/find where slot=${pool.slot} and mounted]] = 0) do={ :error "rds-csi:pool-not-mounted" }; :if ([:len [/disk/find where slot=${id}]] = 0) do={ ${folders(pool.mountPoint, layout)}; :if ([:len [/file/find where name=${path}]] > 0) do={ :if (${fileIsBacking(path)}) do={ :error "rds-csi:file-in-use" }; /file/remove [/file/find where name=${path}] }; /disk/add type=file slot=${id} file-path=${path} file-size=${sizeBytes} mount-filesystem=no mount-read-only=no compress=no smb-sharing=no nfs-sharing=no media-sharing=no iscsi-export=no swap=no nvme-tcp-export=no comment=${comment} }`;
}

/** Makes each folder on the way that is missing. */
function folders(mountPoint: string, layout: Layout): Script[] {
  const full = folderOf(mountPoint, layout).split("/");
  const depth = mountPoint.split("/").length;
  return full.slice(depth).map((_, index) => {
    const folder = full.slice(0, depth + index + 1).join("/");
    return ros`:if ([:len [/file/find where name=${folder}]] = 0) do={ /file/add name=${folder} type=directory }`;
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
  if (reason === "file-in-use") {
    throw failure("foreignDisk", { slot: id, reason: `its file is used by another disk item of the RDS` });
  }
  const disk = await findDisk(context, id, signal);
  const classified = disk === undefined ? undefined : classify(disk, context.clusterId);
  if (kind === "space" || kind === "argument") {
    // The answer claims that nothing exists, so whatever the failed command left is removed first.
    const partial = classified?.kind === "volume" && disk?.comment === encodeRecord(spec.record);
    if (disk === undefined || partial)
      await removeLeftover(context, id, spec.layout, partial ? classified.volume : undefined, signal);
    if (kind === "space")
      throw failure("poolFull", { pool: pool.slot, wanted: sizeBytes, available: pool.available });
  }
  if (kind === "exists" && classified !== undefined) return classified;
  if (disk !== undefined) throw failure("rdsBusy", { what, detail: text });
  throw commandFailure(what, { kind, reason, text });
}

/** @throws sizeNotConfirmed or notVerified (UNAVAILABLE) when the device differs from what was asked for */
function verify(disk: Disk, { id, layout, pool, sizeBytes }: CreateSpec): void {
  if (disk.size !== sizeBytes) {
    throw failure("sizeNotConfirmed", {
      volume: id,
      wanted: sizeBytes,
      found: String(disk.size ?? "unknown"),
    });
  }
  const path = filePathOf(pool.mountPoint, layout, id);
  const what = `creating volume ${id}`;
  if (disk.filePath !== path)
    throw failure("notVerified", { what, detail: `its file is ${disk.filePath}, not ${path}` });
  if (disk.mountFilesystem) throw failure("notVerified", { what, detail: "mount-filesystem is on" });
}
