import { failure } from "../domain/errors/driver-error.ts";
import { encodeChecked } from "../domain/record/record-codec.ts";
import type { Boot, VolumeRecord } from "../domain/record/volume-record.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import { ros, type Script } from "../routeros/script.ts";
import { RESTARTED, requireBoot } from "./boot.ts";
import { changeDisk, commandFailure, type RdsContext, randomNonce } from "./context.ts";
import type { CopyTarget } from "./copy.ts";
import type { Disk } from "./disk.ts";
import { pollDisk } from "./poll.ts";
import { type RdsVolume, writtenVolume } from "./volume.ts";

/**
 * Frees a target that names a line which is over, or is given up. One RouterOS command, and more until the size shows.
 * @returns undefined when the target is not as it was read
 * @throws as `remake`
 */
export async function freeTarget(
  context: RdsContext,
  target: CopyTarget,
  signal: AbortSignal,
): Promise<CopyTarget | undefined> {
  const { id, record } = target;
  const line = (context.nonce ?? randomNonce)();
  const free = { ...record, copy: { ...record.copy, line, isBusy: false } };
  const disk = await remake(context, target, free, `free the unfinished volume ${id}`, signal);
  return disk && { id, disk, record: free };
}

/**
 * How long a target stays unfinished behind its last part, milliseconds. The device may hold what it has copied in memory: Linux writes changed pages
 * after 30 seconds (`vm.dirty_expire_centisecs`), looked for every 5 seconds, and Btrfs commits every 30 seconds. A power loss after this time, twice
 * their sum, takes nothing away; one before it is seen by the line that finishes the copy.
 */
export const SETTLE_MS = 120_000;

/**
 * Makes a target whose bytes are all copied, and written to the disks (`SETTLE_MS`), a volume. One RouterOS command, and more until the size shows.
 * @returns undefined when the target is not as it was read, or the device has restarted since the bytes were copied
 * @throws as `remake`
 */
export async function finishCopy(
  context: RdsContext,
  target: CopyTarget,
  signal: AbortSignal,
): Promise<RdsVolume | undefined> {
  const { id, record } = target;
  const what = `finish the copied volume ${id}`;
  const next = { ...record, copy: undefined };
  const disk = await remake(context, target, next, what, signal, bootOf(target));
  return disk && writtenVolume(disk, context.clusterId, what);
}

/**
 * Notes that all bytes of a conversion are copied, and written to the disks (`SETTLE_MS`), by the one who saw it. It shows, before the volume's own item
 * is touched, that the device makes an item on a file that is there, and keeps the file. From here on a restart of the device takes nothing from the new
 * file: its data, its size and its directory entry are older than the last part, and were on the disks after the wait, within one run of the device.
 * Nothing writes into the file before the conversion is over; the later steps change items, which are no part of the filesystem.
 * @returns whether the target was as it was read, and the device has not restarted since the bytes were copied
 * @throws as `remake`
 */
export async function noteCopied(
  context: RdsContext,
  target: CopyTarget,
  signal: AbortSignal,
): Promise<boolean> {
  const { id, record } = target;
  const whole = { ...record, copy: undefined, conversion: "switch" } as const;
  const what = `note that volume ${id} is copied into a subvolume`;
  return (await remake(context, target, whole, what, signal, bootOf(target))) !== undefined;
}

/** The run of the device in which a target was filled. */
function bootOf({ id, record: { copy } }: CopyTarget): Boot {
  if (copy.boot === undefined)
    throw failure("internal", { what: `the end of a copy into volume ${id} without its run of the device` });
  return copy.boot;
}

/**
 * Makes the item of a target anew on the same file, with another record. A line that still waits has looked up the old item at most, and finds
 * it gone: so it neither copies into what the file holds from now on, nor changes the record. If the device stops between the two, the file is
 * left without an item, and the copy begins anew.
 * @param boot the run of the device that must still last; undefined: any
 * @returns undefined when the target is not as it was read, or another run of the device has begun
 * @throws rdsBusy while the device copies into it; notVerified, and the link's failures
 */
async function remake(
  context: RdsContext,
  { id, disk }: CopyTarget,
  record: VolumeRecord,
  what: string,
  signal: AbortSignal,
  boot?: Boot,
): Promise<Disk | undefined> {
  // Not that of the volume while it is converted.
  const slot = disk.slot as VolumeId;
  const next = encodeChecked(id, record);
  const old = ros`/disk/find where slot=${slot} and comment=$old`;
  const isThere = fileIsThere(disk.filePath);
  const made = addItem(slot, disk.filePath, ros`$next`);
  const sameBoot = boot === undefined ? ros`` : ros`${requireBoot(boot)}; `;
  const script = ros`${sameBoot}:local old ${disk.comment}; :local next ${next}; :if ([:len [${old}]] != 1 || !(${isThere})) do={ :error "rds-csi:changed" }; /disk/remove [${old}]; :if ([:len [/disk/find where slot=${slot}]] = 0 && ${isThere}) do={ ${made} }`;
  const outcome = await changeDisk(context, what, "change", slot, script, signal);
  if (!outcome.ok) {
    const { reason } = outcome.failure;
    if (reason === "changed" || reason === RESTARTED) return undefined;
    throw commandFailure(what, outcome.failure);
  }
  const isReady = (found: typeof outcome.disk) => found?.comment !== next || found.size !== undefined;
  const now = await pollDisk(context, slot, signal, outcome.disk, isReady);
  if (now?.comment !== next) return undefined;
  if (now.size !== disk.size)
    throw failure("notVerified", { what, detail: `its size is ${now.size}, not ${disk.size}` });
  return now;
}

/** Expression: whether there is exactly this file. */
export function fileIsThere(path: string): Script {
  return ros`[:len [/file/find where name=${path}]] = 1`;
}

/** Statement: makes the item of a file that is there, not exported. @param comment expression */
export function addItem(slot: string, file: string, comment: Script): Script {
  const add = ros`/disk/add type=file slot=${slot} file-path=${file} mount-filesystem=no mount-read-only=no compress=no smb-sharing=no nfs-sharing=no media-sharing=no iscsi-export=no swap=no nvme-tcp-export=no comment=${comment}`;
  // The device may need a moment until a file is free of its former item.
  return ros`:onerror f in={ ${add} } do={ :delay 2s; :onerror g in={ ${add} } do={ :delay 5s; ${add} } }`;
}
