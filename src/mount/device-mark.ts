import { Buffer } from "node:buffer";
import { constants, fstatSync, fsyncSync, writeSync } from "node:fs";
import type { Filesystem } from "../domain/access-mode.ts";
import { deviceNumber } from "../host/files.ts";
import type { FilesystemFinding, MarkOutcome, MkfsMark } from "../host/helper-answers.ts";
import { type DirectReader, openDirect, readDevice } from "./direct-reader.ts";
import { openExclusive } from "./exclusive.ts";
import { decodeMark, encodeMark, MARK_LENGTH, markOffsets } from "./mkfs-mark.ts";
import { readSuperblock, SUPERBLOCK_SPAN, superblockDanger } from "./superblock.ts";

/**
 * Reads the superblock of the wanted filesystem and the marks, from the device itself. Blocks while the device does not
 * answer: for the helper process only.
 * @param size of the device in bytes
 */
export function findFilesystem(path: string, size: number, wanted: Filesystem): FilesystemFinding {
  return readDevice(path, SUPERBLOCK_SPAN, (device) => {
    const start = device.read(0, SUPERBLOCK_SPAN);
    const superblock = readSuperblock(start, wanted);
    const danger = superblockDanger(start, wanted);
    const marks = markOffsets(size).flatMap((offset) => decodeMark(readAt(device, offset)) ?? []);
    return { kind: "read", superblock, marks, ...(danger === undefined ? {} : { danger }) };
  });
}

/**
 * Writes a mark, durably, where zeros are or a mark of the same volume, while nothing else has the device open
 * exclusively. For the helper process only.
 * @param number `major:minor` that the node must have
 */
export function writeMark(path: string, number: string, size: number, mark: MkfsMark): MarkOutcome {
  return change(path, number, size, encodeMark(mark), (found) => {
    const blank = found.every((byte) => byte === 0);
    return blank || decodeMark(found)?.volume === mark.volume ? "write" : "refuse";
  });
}

/** Overwrites the marks of a volume with zeros; other content in their places stays. For the helper process only. */
export function eraseMarks(path: string, number: string, size: number, volume: string): MarkOutcome {
  return change(path, number, size, Buffer.alloc(MARK_LENGTH), (found) =>
    decodeMark(found)?.volume === volume ? "write" : "leave",
  );
}

function change(
  path: string,
  number: string,
  size: number,
  content: Buffer,
  decide: (found: Buffer) => "write" | "leave" | "refuse",
): MarkOutcome {
  let begun = false;
  try {
    const device = openExclusive(path, constants.O_RDWR);
    try {
      const { fd } = device;
      const stat = fstatSync(fd);
      const found = stat.isBlockDevice() ? deviceNumber(stat.rdev) : "not a block device";
      if (found !== number) return { kind: "refused", detail: `${path} is ${found} instead of ${number}` };
      const reader = openDirect(path, MARK_LENGTH);
      try {
        const decisions = markOffsets(size).map(
          (offset) => [offset, decide(readAt(reader, offset))] as const,
        );
        const refused = decisions.find(([, decision]) => decision === "refuse");
        if (refused !== undefined) return { kind: "refused", detail: `byte ${refused[0]} is not blank` };
        const places = decisions.filter(([, decision]) => decision === "write").map(([offset]) => offset);
        begun = true;
        for (const offset of places) writeSync(fd, content, 0, content.length, offset);
        fsyncSync(fd);
        const wrong = places.find((offset) => readAt(reader, offset).compare(content) !== 0);
        if (wrong === undefined) return { kind: "done" };
        return { kind: "failed", detail: `byte ${wrong} does not read as it was written` };
      } finally {
        reader.close();
      }
    } finally {
      device.close();
    }
  } catch (error) {
    return { kind: begun ? "failed" : "refused", detail: String(error) };
  }
}

function readAt(device: DirectReader, offset: number): Buffer {
  const bytes = device.read(offset, MARK_LENGTH);
  if (bytes.length !== MARK_LENGTH) throw new Error(`only ${bytes.length} bytes could be read at ${offset}`);
  return bytes;
}
