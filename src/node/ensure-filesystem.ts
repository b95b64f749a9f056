import type { Filesystem } from "../domain/access-mode.ts";
import { failure } from "../domain/errors/driver-error.ts";
import type { FilesystemState } from "../domain/publish-context.ts";
import { probe } from "../mount/probe.ts";
import type { BlockDevice, DataPath } from "./data-path.ts";
import { complaint } from "./exec.ts";
import { proveUnused } from "./prove-unused.ts";
import type { NodeSystem } from "./system.ts";
import { verifyDevice } from "./verify-device.ts";

/** mkfs writes little, as nothing is discarded; a slow link is given this long. */
const MKFS_DEADLINE_MS = 110_000;
const FLUSH_DEADLINE_MS = 20_000;

/** What is to be found, or made, on a device. */
export interface FilesystemWish {
  readonly volume: string;
  readonly device: BlockDevice;
  readonly filesystem: Filesystem;
  /** What the volume's record says; `keep` never leads to mkfs. */
  readonly state: FilesystemState;
  /** Smallest acceptable size of the device in bytes. */
  readonly sizeBytes: bigint;
}

/**
 * Makes sure that the device holds the wanted filesystem. mkfs runs only if three proofs agree: the record allows it,
 * every place where data would show reads as zeros, and blkid knows nothing; and only while nothing uses the device,
 * and its identity and size still hold at that moment.
 * @returns whether a filesystem was made
 * @throws filesystemMismatch, filesystemMissing, deviceNotBlank, signatureUnclear, deviceInUse (FAILED_PRECONDITION);
 *   deviceUnreadable, deviceChanged
 */
export async function ensureFilesystem(
  system: NodeSystem,
  dataPath: DataPath,
  wish: FilesystemWish,
  signal?: AbortSignal,
): Promise<boolean> {
  const { volume, device, filesystem, state } = wish;
  if (await holdsWanted(system, wish, signal)) return false;
  if (state === "keep") {
    throw failure("filesystemMissing", { volume, device: device.path, wanted: filesystem });
  }
  // An mkfs that outlived the driver may be at work: only what is read after its end tells what is there.
  await proveUnused(system, dataPath, volume, device, signal);
  if (await holdsWanted(system, wish, signal)) return false;
  const finding = await system.helper.lookForData(device.path, device.sizeBytes, state === "used", signal);
  if (finding.kind === "unreadable") {
    throw failure("deviceUnreadable", { device: device.path, detail: finding.detail });
  }
  if (finding.kind === "data") {
    throw failure("deviceNotBlank", { volume, device: device.path, offset: finding.offset });
  }
  await proveUnused(system, dataPath, volume, device, signal);
  await verifyDevice(system, dataPath, device, wish.sizeBytes, signal);
  await makeFilesystem(system, device, filesystem);
  return true;
}

/**
 * Whether the device holds the wanted filesystem; false means that blkid finds nothing at all.
 * @throws filesystemMismatch, signatureUnclear (FAILED_PRECONDITION); deviceUnreadable
 */
async function holdsWanted(
  system: NodeSystem,
  { volume, device, filesystem }: FilesystemWish,
  signal?: AbortSignal,
): Promise<boolean> {
  await dropCache(system, device.path, signal);
  const signature = await probe(system.exec, device.path, signal);
  switch (signature.kind) {
    case "filesystem":
    case "other":
      if (signature.kind === "filesystem" && signature.type === filesystem) return true;
      throw failure("filesystemMismatch", {
        volume,
        device: device.path,
        wanted: filesystem,
        found: signature.type,
      });
    case "ambiguous":
      throw failure("signatureUnclear", { volume, device: device.path, detail: signature.detail });
    case "none":
      return false;
  }
}

/**
 * Without the caller's signal: an mkfs that is killed half-way leaves a device that is neither blank nor a filesystem,
 * and that nobody may format again.
 */
async function makeFilesystem(
  system: NodeSystem,
  device: BlockDevice,
  filesystem: Filesystem,
): Promise<void> {
  // Blank by proof, so nothing is discarded; and no force flag: mkfs itself is the last to refuse.
  const args =
    filesystem === "ext4"
      ? ["-q", "-m", "0", "-E", "nodiscard", "--", device.path]
      : ["-q", "-K", "--", device.path];
  const program = `mkfs.${filesystem}` as const;
  system.logger.info("making a filesystem", { program, device: device.path, nqn: device.nqn });
  const result = await system.exec({ program, args, deadlineMs: MKFS_DEADLINE_MS });
  if (result.code !== 0) {
    throw failure("nodeCommandFailed", { what: `${program} on ${device.path}`, detail: complaint(result) });
  }
}

/** So that what is read next comes from the device: another node may have written it since. */
async function dropCache(system: NodeSystem, device: string, signal?: AbortSignal): Promise<void> {
  const args = ["--flushbufs", device];
  const result = await system.exec({ program: "blockdev", args, deadlineMs: FLUSH_DEADLINE_MS, signal });
  if (result.code !== 0) throw failure("deviceUnreadable", { device, detail: complaint(result) });
}
