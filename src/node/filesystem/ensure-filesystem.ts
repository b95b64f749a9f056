import { failure } from "../../domain/errors/driver-error.ts";
import { succeed } from "../../host/exec.ts";
import type { FilesystemFinding, MkfsMark } from "../../host/helper-answers.ts";
import type { NodeSystem } from "../../host/system.ts";
import { uuidOf } from "../../mount/mkfs-mark.ts";
import { probe } from "../../mount/probe.ts";
import { type Devices, proveUnused, verifyDevice } from "../device-proofs.ts";
import { eraseMarks, type FilesystemWish, makeFilesystem } from "./make-filesystem.ts";

const FLUSH_DEADLINE_MS = 20_000;

/**
 * `there`: the wanted filesystem; `nothing`: no signature. Only the work of an interrupted mkfs of ours: `remains` without
 * a signature, `unfinished` with that of its own filesystem.
 */
type Content = "there" | "nothing" | "remains" | "unfinished";

/**
 * Makes sure that the device holds the wanted filesystem. The filesystem's own superblock decides whether it is there:
 * any other signature that a program finds may be the content of a file. mkfs runs only while nothing uses the device,
 * its identity and size still hold, and either of two proofs is there:
 * - the record allows it, every place where data would show reads as zeros, and blkid knows nothing;
 * - the device has the driver's mark of an mkfs that did not end, nobody can have used it since (judgeUnfinished), and blkid
 *   knows nothing, or exactly that filesystem.
 * @returns whether a filesystem was made
 * @throws filesystemMismatch, filesystemMissing, filesystemUnfinished, filesystemDamaged, filesystemUnsafe, deviceNotBlank,
 *   signatureUnclear, deviceInUse (FAILED_PRECONDITION); filesystemNotMade, deviceUnreadable (UNAVAILABLE); deviceChanged
 */
export async function ensureFilesystem(
  node: Devices,
  wish: FilesystemWish,
  signal?: AbortSignal,
): Promise<boolean> {
  const { volume, device, state } = wish;
  if ((await contentOf(node, wish, "superblock", signal)) === "there") return false;
  // An mkfs that outlived the driver may be at work: only a look after its end counts.
  await proveUnused(node, volume, device, signal);
  const content = await contentOf(node, wish, "everything", signal);
  if (content === "there") return false;
  if (content === "nothing") {
    const finding = await node.system.helper.lookForData(
      device.path,
      device.sizeBytes,
      state === "used",
      signal,
    );
    if (finding.kind === "data") {
      throw failure("deviceNotBlank", { volume, device: device.path, offset: finding.offset });
    }
    if (finding.kind !== "blank") {
      throw failure("deviceUnreadable", { device: device.path, detail: finding.detail });
    }
  }
  await proveUnused(node, volume, device, signal);
  await verifyDevice(node, device, wish.sizeBytes, signal);
  await makeFilesystem(node.system, wish, content === "unfinished", signal);
  return true;
}

/**
 * @param look with `superblock`, zeros in its place are enough for `nothing`: another look follows
 * @throws as ensureFilesystem, for a device without the wanted filesystem that may not be formatted
 */
async function contentOf(
  node: Devices,
  wish: FilesystemWish,
  look: "superblock" | "everything",
  signal?: AbortSignal,
): Promise<Content> {
  const { volume, device, filesystem, state } = wish;
  if (look === "everything") await dropCache(node.system, device.path, signal);
  // Its reads bypass the page cache.
  const found = await node.system.helper.findFilesystem(device.path, device.sizeBytes, filesystem, signal);
  if (found.kind === "unreadable") {
    throw failure("deviceUnreadable", { device: device.path, detail: found.detail });
  }
  const { superblock } = found;
  const there = (): Content => {
    if (found.danger === undefined) return "there";
    throw failure("filesystemUnsafe", { volume, device: device.path, filesystem, reason: found.danger });
  };
  // After zeros everything is looked at again. Any other answer rests on blkid, or leads to a mount, which read through the cache.
  if (look === "superblock" && superblock.kind !== "zeros") await dropCache(node.system, device.path, signal);
  if (superblock.kind === "whole") {
    there();
    await eraseOwnMark(node, wish, found, superblock.uuid, signal);
    return "there";
  }
  const unfinished = judgeUnfinished(found, wish);
  if (unfinished === "ours" && superblock.kind === "unfinished") return "unfinished";
  if (unfinished !== undefined && unfinished !== "ours") {
    throw failure("filesystemUnfinished", { volume, device: device.path, filesystem, reason: unfinished });
  }
  if (look === "superblock" && superblock.kind === "zeros") return "nothing";
  if (await holdsWanted(node.system, wish, signal)) return there();
  if (unfinished === "ours") return "remains";
  if (superblock.kind === "damaged") {
    const { detail } = superblock;
    throw failure("filesystemDamaged", { volume, device: device.path, filesystem, detail });
  }
  if (state === "keep") {
    throw failure("filesystemMissing", { volume, device: device.path, wanted: filesystem });
  }
  return "nothing";
}

/**
 * Whether blkid takes the device for the wanted filesystem, although the driver does not; false means that blkid finds
 * nothing at all.
 * @throws filesystemMismatch, signatureUnclear (FAILED_PRECONDITION); deviceUnreadable
 */
async function holdsWanted(
  system: NodeSystem,
  { volume, device, filesystem }: FilesystemWish,
  signal?: AbortSignal,
): Promise<boolean> {
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
 * Erases the mark of an mkfs that ended after its driver, before the filesystem is mounted for the first time. The UUID,
 * which is derived from the mark, proves that it is the mark of this very filesystem.
 */
async function eraseOwnMark(
  node: Devices,
  wish: FilesystemWish,
  { marks }: Extract<FilesystemFinding, { kind: "read" }>,
  uuid: string,
  signal?: AbortSignal,
): Promise<void> {
  const { volume, device } = wish;
  if (!marks.some((mark) => mark.volume === volume && uuidOf(mark) === uuid)) return;
  await proveUnused(node, volume, device, signal);
  await verifyDevice(node, device, wish.sizeBytes, signal);
  await eraseMarks(node.system, wish);
}

/** Makes the next read come from the device: another node may have written it since. */
async function dropCache(system: NodeSystem, device: string, signal?: AbortSignal): Promise<void> {
  const args = ["--flushbufs", device];
  const command = { program: "blockdev" as const, args, deadlineMs: FLUSH_DEADLINE_MS, signal };
  await succeed(system.exec, command, (detail) => failure("deviceUnreadable", { device, detail }));
}

/**
 * Whether a device without a whole filesystem holds the work of an mkfs that did not end, and nobody's data.
 *
 * The proof has three parts. The driver writes its mark only onto a device that it has proven to be blank, and takes it
 * away before the first mount: while the mark is there, no driver has mounted the filesystem. Both mkfs programs write
 * the superblock, or its flag for "whole", as the very last. In its place are zeros, or a superblock that is flagged as
 * unfinished and has the UUID of the mark: so no kernel can have mounted it. And the mark is of this attachment, or of the one
 * directly before it: in between no other node had the volume, and no pod had it as a block device.
 *
 * @returns `ours`: proven; any other text: an unfinished mkfs, and the gap in the proof; undefined: no sign of an mkfs
 */
export function judgeUnfinished(
  { superblock, marks }: Extract<FilesystemFinding, { kind: "read" }>,
  wish: Pick<FilesystemWish, "volume" | "filesystem" | "state" | "epoch">,
): "ours" | string | undefined {
  const { volume, filesystem, state } = wish;
  if (superblock.kind !== "zeros" && superblock.kind !== "unfinished") return undefined;
  const own = marks.filter((mark) => mark.volume === volume && mark.filesystem === filesystem);
  const fitting = own.filter((mark) => superblock.kind === "zeros" || uuidOf(mark) === superblock.uuid);
  if (state !== "keep" && fitting.some((mark) => isRecent(mark, wish))) return "ours";
  if (superblock.kind === "zeros" && (own.length === 0 || state === "keep")) return undefined;
  if (state === "keep") return "the volume holds data for sure, so another program began it";
  if (own.length === 0) return "the driver's mark is missing, so another program may have begun it";
  if (fitting.length === 0) return "the driver's mark belongs to another filesystem";
  return "the volume was attached again since, so others may have used it";
}

/** Whether only the nodes of these two attachments, one after the other, can have had the volume since the mark. */
function isRecent(mark: MkfsMark, { state, epoch }: Pick<FilesystemWish, "state" | "epoch">): boolean {
  if (state === "new") return mark.epoch === epoch;
  // Without epochs all attachments look the same.
  return epoch > 0 && mark.epoch > 0 && (mark.epoch === epoch || mark.epoch === epoch - 1);
}
