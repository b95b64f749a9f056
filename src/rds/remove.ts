import { failure } from "../domain/errors/driver-error.ts";
import { encodeChecked } from "../domain/record/record-codec.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import { nothing, ros, type Script } from "../routeros/script.ts";
import { removedFile, requireMounted } from "./backing-file.ts";
import { commandFailure, type RdsContext, randomNonce } from "./context.ts";
import { requireNoConversion } from "./conversion-slots.ts";
import type { Place } from "./place.ts";
import { removedSubvolume, requireOneLabel } from "./subvolume.ts";
import type { RdsVolume } from "./volume.ts";

/** `changed`: the RDS is not as it was looked at, so nothing was removed. */
export type RemoveResult = "removed" | "changed";

/**
 * Removes a volume: export off, item, file; in this order, in one RouterOS command that acts only on the item
 * whose comment is still the one that was read, and only while its pool is mounted. Each step that was done before is
 * skipped, so an interrupted call is finished by the next. One that a copy fills may be refused while a part is copied.
 * @throws filePoolNotMounted (UNAVAILABLE), foreignDisk, labelAmbiguous (FAILED_PRECONDITION), notVerified (UNAVAILABLE)
 */
export async function removeVolume(
  context: RdsContext,
  volume: RdsVolume,
  place: Place,
  signal: AbortSignal,
): Promise<RemoveResult> {
  const { id } = volume;
  const { comment, take } = claimed(context, volume);
  // Each command finds the item in its own argument: one that was attached meanwhile has another record.
  const mine = ros`[/disk/find where slot=${id} and comment=${comment} and type="file"]`;
  const item = ros`${take}/disk/set ${mine} nvme-tcp-export=no; /disk/remove ${mine}; `;
  return remove(context, id, place, item, signal);
}

/**
 * The record by which the item of a volume is found, and the statement that writes it. The record of one that a copy fills names this line first, as if it copied:
 * a process that copies part after part would change the record again and again, and the device may refuse to remove a disk that it copies into. So no
 * further part begins, and a repeated call removes the item when the present one has ended.
 */
function claimed(
  { nonce = randomNonce }: RdsContext,
  { id, disk, record }: RdsVolume,
): { readonly comment: string; readonly take: Script } {
  if (record.copy === undefined) return { comment: disk.comment, take: nothing };
  const copy = { ...record.copy, line: nonce(), isBusy: true };
  const comment = encodeChecked(id, { ...record, copy });
  const take = ros`/disk/set [/disk/find where slot=${id} and comment=${disk.comment}] comment=${comment}; `;
  return { comment, take };
}

/**
 * Removes the file of a volume whose item is gone, from exactly one place. One RouterOS command.
 * @throws as removeVolume
 */
export async function removeFile(
  context: RdsContext,
  id: VolumeId,
  place: Place,
  signal: AbortSignal,
): Promise<RemoveResult> {
  return remove(context, id, place, nothing, signal);
}

/** Removes the item and the file that a failed create left. @throws notVerified (UNAVAILABLE) if something stays */
export async function removeUnfinished(
  context: RdsContext,
  id: VolumeId,
  place: Place,
  volume: RdsVolume | undefined,
  signal: AbortSignal,
): Promise<void> {
  const result =
    volume === undefined
      ? await removeFile(context, id, place, signal)
      : await removeVolume(context, volume, place, signal);
  if (result === "changed") {
    throw failure("notVerified", {
      what: `removing the unfinished volume ${id}`,
      detail: "it was changed meanwhile",
    });
  }
}

async function remove(
  context: RdsContext,
  id: VolumeId,
  { pool, path, subvolume }: Place,
  item: Script,
  signal: AbortSignal,
): Promise<RemoveResult> {
  const what = `delete volume ${id}`;
  const gone = ros`:if ([:len [/disk/find where slot=${id}]] > 0) do={ :error "rds-csi:changed" }`;
  const file = subvolume === undefined ? removedFile(pool, path) : removedSubvolume(pool, subvolume, path);
  // A subvolume is named by its label: before the item goes, that must say which one it is.
  const label = subvolume === undefined ? nothing : ros`${requireOneLabel(subvolume.label)}; `;
  // While a conversion makes the item anew, another item has the record, and the file holds the data. Before the item goes: else that one would be the last.
  const converting = requireNoConversion(id);
  const body = ros`${requireMounted(pool)}; ${label}${converting}; ${item}${gone}; ${file}`;
  const outcome = await context.client.run({
    what,
    purpose: "change",
    orderKey: id,
    body: () => body,
    signal,
  });
  if (!outcome.ok) {
    const { reason } = outcome.failure;
    if (reason === "changed") return "changed";
    if (reason === "converting") throw failure("volumeConverting", { volume: id });
    if (reason === "pool-not-mounted") throw failure("filePoolNotMounted", { volume: id, pool });
    if (reason === "label-ambiguous")
      throw failure("labelAmbiguous", { pool, label: subvolume?.label ?? "" });
    if (reason === "file-in-use") {
      throw failure("foreignDisk", { slot: id, reason: "its file is used by another disk item of the RDS" });
    }
    throw commandFailure(what, outcome.failure);
  }
  const left = outcome.reply.flat("left")?.trim();
  if (left !== "0")
    throw failure("notVerified", {
      what: `deleting the file of volume ${id}`,
      detail: `${left ?? "?"} left`,
    });
  return "removed";
}
