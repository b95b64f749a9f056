import type { FilesystemFinding, MkfsMark } from "../../host/helper-answers.ts";

import { uuidOf } from "../../mount/mkfs-mark.ts";
import type { FilesystemWish } from "./ensure-filesystem.ts";

/**
 * Whether what lies on a device without a whole filesystem is the work of an mkfs that did not end, and nobody's data.
 *
 * The proof has three parts. The driver writes its mark only onto a device that it has proven to be blank, and takes it
 * away before the first mount: while the mark is there, no driver has mounted the filesystem. Both mkfs programs write
 * the superblock, or the word that it is whole, as the very last: in its place are zeros, or one that says itself that
 * it is unfinished and has the UUID of the mark; so no kernel can have mounted it either. And the mark is of this
 * attachment, or of the one directly before it: in between, no other node had the volume, nor anybody as a block device.
 *
 * @returns `ours`: proven; any other text: unfinished, and why that is not proven; undefined: no sign of an mkfs
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

/** Whether nobody but the nodes of these two attachments, each alone, can have had the volume since the mark. */
function isRecent(mark: MkfsMark, { state, epoch }: Pick<FilesystemWish, "state" | "epoch">): boolean {
  if (state === "new") return mark.epoch === epoch;
  // Without epochs one attachment cannot be told from another.
  return epoch > 0 && mark.epoch > 0 && (mark.epoch === epoch || mark.epoch === epoch - 1);
}
