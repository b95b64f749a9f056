import { failure } from "../../domain/errors/driver-error.ts";
import type { UuidFinding } from "../../host/helper-answers.ts";
import { type Devices, proveUnused, verifyDevice } from "../device-proofs.ts";
import type { FilesystemWish } from "./make-filesystem.ts";

type Wish = Pick<FilesystemWish, "volume" | "device" | "filesystem" | "sizeBytes">;
type Readable = Exclude<UuidFinding, { kind: "unreadable" }>;

/**
 * Whether a filesystem that was not made here has the UUID that it is to have, or another one, which may be its origin's.
 * @throws deviceUnreadable (UNAVAILABLE), nodeStateUnknown
 */
export async function lookForUuid(
  { system }: Pick<Devices, "system">,
  { device, filesystem }: Pick<Wish, "device" | "filesystem">,
  uuid: string,
  signal?: AbortSignal,
): Promise<Readable> {
  const found = await system.helper.lookForUuid(device.path, filesystem, uuid, signal);
  if (found.kind !== "unreadable") return found;
  throw failure("deviceUnreadable", { device: device.path, detail: found.detail });
}

/**
 * Gives the filesystem of a clone a UUID of its own, once. The driver writes it itself, as each state between two of its writes can be mounted
 * (change-uuid.ts): a killed tune2fs leaves a superblock with a wrong checksum, and a killed xfs_db a log that neither the
 * kernel nor xfs_db accepts.
 *
 * It is proven that nothing uses the device. A journal or log that holds changes, as a copy of a mounted filesystem does, is emptied
 * first: its replay would bring back the old superblock, and the kernel refuses a log with another UUID.
 * @param settle mounts the filesystem for writing and unmounts it
 * @returns whether it has that UUID; else it keeps the one that it has, for a reason that was logged
 * @throws filesystemUuidNotSet, deviceUnreadable (UNAVAILABLE); deviceInUse; deviceChanged; the errors of `settle`
 */
export async function giveOwnUuid(
  node: Devices,
  wish: Wish,
  uuid: string,
  settle: () => Promise<void>,
  signal?: AbortSignal,
): Promise<boolean> {
  const { system } = node;
  const { volume, device, filesystem } = wish;
  const about = { volume, device: device.path, filesystem };
  const keeps = (reason: string): false => {
    system.logger.warn("the filesystem of a clone keeps the UUID of its origin", { ...about, reason });
    return false;
  };
  let found = await lookForUuid(node, wish, uuid, signal);
  if (found.kind === "changeable" && found.unsettled !== undefined) {
    await proveUnused(node, volume, device, signal);
    system.logger.info("emptying the journal of a clone", { ...about, reason: found.unsettled });
    await settle();
    found = await lookForUuid(node, wish, uuid, signal);
  }
  if (found.kind === "same") return true;
  if (found.kind === "kept") return keeps(found.reason);
  if (found.unsettled !== undefined) return keeps(found.unsettled);
  await proveUnused(node, volume, device, signal);
  await verifyDevice(node, device, wish.sizeBytes, signal);
  const outcome = await system.helper.changeUuid(device.path, device.number, filesystem, uuid);
  if (outcome.kind === "kept") return keeps(outcome.reason);
  if (outcome.kind !== "done") throw failure("filesystemUuidNotSet", { ...about, detail: outcome.detail });
  system.logger.info("the filesystem of a clone has a UUID of its own", {
    ...about,
    origin: found.uuid,
    uuid,
  });
  return true;
}
