import { failure } from "../domain/errors/driver-error.ts";
import { SLOT_PREFIX, type VolumeId } from "../domain/volume-id.ts";
import { payload } from "../routeros/envelope.ts";
import { ros } from "../routeros/script.ts";
import { commandFailure, type RdsContext } from "./context.ts";
import { fileIsBacking, volumeFilePattern } from "./file-pattern.ts";
import type { Layout } from "./layout.ts";
import type { RdsVolume } from "./volume.ts";

/** `changed`: the item is not the one that was looked at, so nothing was removed. */
export type RemoveResult = "removed" | "changed";

/**
 * Removes a volume: export off, item, file; in this order, in one RouterOS command that acts only on the item
 * whose comment is still the one that was read. Each step that was done before is skipped, so an interrupted
 * call is finished by the next.
 */
export async function removeVolume(
  context: RdsContext,
  volume: RdsVolume,
  signal: AbortSignal,
): Promise<RemoveResult> {
  const { id, disk } = volume;
  const path = disk.filePath;
  const mine = ros`[/disk/find where slot=${id} and comment=${disk.comment} and type="file"]`;
  return remove(context, {
    id,
    signal,
    body: ros`:local mine ${mine}; :if ([:len $mine] = 1) do={ /disk/set $mine nvme-tcp-export=no; /disk/remove $mine }; :if ([:len [/disk/find where slot=${id}]] > 0) do={ :error "rds-csi:changed" }; :if (${fileIsBacking(path)}) do={ :error "rds-csi:file-in-use" }; :if ([:len [/file/find where name=${path}]] > 0) do={ /file/remove [/file/find where name=${path}] }; ${payload("left", ros`[:len [/file/find where name=${path}]]`)}`,
  });
}

/**
 * Removes the file of a volume whose item is gone, in our folder of whatever pool: what an interrupted
 * delete or a failed create leaves. Files of adopted volumes are never touched without their item.
 */
export async function removeFileOnly(
  context: RdsContext,
  id: VolumeId,
  layout: Layout,
  signal: AbortSignal,
): Promise<RemoveResult> {
  if (!id.startsWith(SLOT_PREFIX)) return "removed";
  const pattern = volumeFilePattern(layout, id);
  return remove(context, {
    id,
    signal,
    body: ros`:if ([:len [/disk/find where slot=${id}]] > 0) do={ :error "rds-csi:changed" }; :if ([:len [/disk/find where file-path~${pattern}]] > 0) do={ :error "rds-csi:file-in-use" }; :if ([:len [/file/find where name~${pattern}]] > 0) do={ /file/remove [/file/find where name~${pattern}] }; ${payload("left", ros`[:len [/file/find where name~${pattern}]]`)}`,
  });
}

/** Removes what a failed create left, item or not. @throws notVerified (UNAVAILABLE) if something stays */
export async function removeLeftover(
  context: RdsContext,
  id: VolumeId,
  layout: Layout,
  volume: RdsVolume | undefined,
  signal: AbortSignal,
): Promise<void> {
  const result =
    volume === undefined
      ? await removeFileOnly(context, id, layout, signal)
      : await removeVolume(context, volume, signal);
  if (result === "changed") {
    throw failure("notVerified", {
      what: `removing the unfinished volume ${id}`,
      detail: "it was changed meanwhile",
    });
  }
}

async function remove(
  context: RdsContext,
  { id, body, signal }: { id: VolumeId; body: ReturnType<typeof ros>; signal: AbortSignal },
): Promise<RemoveResult> {
  const what = `delete volume ${id}`;
  const outcome = await context.client.run({ what, purpose: "mutate", body: () => body, signal });
  if (!outcome.ok) {
    if (outcome.failure.reason === "changed") return "changed";
    if (outcome.failure.reason === "file-in-use") {
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
