import { DriverError, failure } from "../../domain/errors/driver-error.ts";
import type { BlockDevice } from "../../host/data-path.ts";
import { complaint, type ExecResult } from "../../host/exec.ts";
import { type Devices, proveUnused, verifyDevice } from "../device-proofs.ts";

/** A check reads every inode, which may take hours. */
const CHECK_DEADLINE_MS = 12 * 3_600_000;
/**
 * Bits of the exit code: 1 = errors corrected; 2 = corrected, and a reboot is advised, which is about a mounted root; 4 =
 * errors left uncorrected. Every other bit says that e2fsck itself could not work: 8 = operational error (memory, I/O,
 * a feature that it does not know), 16 = usage, 32 = cancelled, 128 = shared library. Source: e2fsck(8).
 */
const CORRECTED = 1 | 2;
const UNCORRECTED = 4;

/**
 * Runs `e2fsck -p` on an ext4 whose superblock is marked with errors: after a mount every write may spread the damage. A mere
 * crash leaves a journal, which the mount replays, and no mark. `-p` makes only the repairs that are safe without a question;
 * `-f` makes it check the whole filesystem, as the marks alone do not always.
 *
 * It is proven first that nothing on this node uses the device. A check goes on when its caller has gone, as a repair that is
 * killed leaves more damage than there was. Until it has ended, further calls for the volume are answered ABORTED.
 * @throws filesystemDamaged, deviceInUse (FAILED_PRECONDITION); filesystemNotChecked, deviceUnreadable (UNAVAILABLE);
 *   deviceChanged (ABORTED); toolMissing
 */
export async function checkExt4(
  node: Devices,
  wish: { readonly volume: string; readonly device: BlockDevice; readonly sizeBytes: bigint },
  signal?: AbortSignal,
): Promise<void> {
  const { system } = node;
  const { volume, device } = wish;
  const marked = async () => {
    const state = await system.helper.ext4State(device.path, signal);
    if (state.kind === "unreadable") {
      throw failure("deviceUnreadable", { device: device.path, detail: state.detail });
    }
    return state.kind === "ext4" && state.needsCheck ? state : undefined;
  };
  if ((await marked()) === undefined) return;
  await proveUnused(node, volume, device, signal);
  // A check that outlived the driver may have ended just now.
  const state = await marked();
  if (state === undefined) return;
  await verifyDevice(node, device, wish.sizeBytes, signal);
  const about = { volume, device: device.path, nqn: device.nqn };
  system.logger.warn("checking an ext4 that is marked with errors", {
    ...about,
    errorCount: state.errorCount,
  });
  // Its journal is on this device, or ensure-filesystem.ts would have refused it. A backup of the superblock, or one that lies in
  // the journal, may say otherwise: then e2fsck finds no journal in /dev/null, and opens no device of another volume.
  const args = ["-f", "-p", "-j", "/dev/null", "--", device.path];
  const notChecked = (detail: string, cause?: unknown) =>
    failure("filesystemNotChecked", { volume, device: device.path, filesystem: "ext4", detail }, cause);
  const result = await system
    .exec({ program: "e2fsck", args, deadlineMs: CHECK_DEADLINE_MS })
    .catch((error: unknown) => {
      if (!(error instanceof DriverError) || error.id === "toolMissing") throw error;
      throw notChecked(error.summary, error);
    });
  const outcome = outcomeOf(result);
  const detail = `e2fsck -p: ${complaint(result)}`;
  if (outcome === "not checked") throw notChecked(detail);
  if (outcome === "damaged") {
    throw failure("filesystemDamaged", { volume, device: device.path, filesystem: "ext4", detail });
  }
  system.logger.warn("the ext4 is sound again", {
    ...about,
    exitCode: result.code,
    said: result.stdout.trim().slice(-2_000),
  });
}

/** The exit code of a check that could not work says nothing about the filesystem, also if it has the bit for errors. */
function outcomeOf({ code }: ExecResult): "sound" | "damaged" | "not checked" {
  if (code === null || (code & ~(CORRECTED | UNCORRECTED)) !== 0) return "not checked";
  return (code & UNCORRECTED) === 0 ? "sound" : "damaged";
}
