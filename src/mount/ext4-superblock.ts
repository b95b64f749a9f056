import type { Buffer } from "node:buffer";
import type { Ext4State } from "../host/helper-answers.ts";
import { openDirect } from "./direct-reader.ts";

const SUPERBLOCK = 1024;
const MAGIC = 0xef53;
const STATE_VALID = 1;
const STATE_ERRORS = 2;
const COMPAT_HAS_JOURNAL = 4;
const INCOMPAT_RECOVER = 4;

/**
 * Reads the primary superblock of an ext4 (or ext2, ext3), from the device itself. Blocks while the device does not
 * answer: for the helper process only.
 * Source: kernel documentation, filesystems/ext4, "Super Block".
 */
export function readExt4State(path: string): Ext4State {
  try {
    const device = openDirect(path, 4096);
    try {
      return parseExt4State(device.read(0, 4096));
    } finally {
      device.close();
    }
  } catch (error) {
    return { kind: "unreadable", detail: String(error) };
  }
}

/** @param start the first 4096 bytes of the device */
export function parseExt4State(start: Buffer): Ext4State {
  if (start.length < 4096) return { kind: "unreadable", detail: `only ${start.length} bytes could be read` };
  const at = (offset: number) => SUPERBLOCK + offset;
  if (start.readUInt16LE(at(0x38)) !== MAGIC) return { kind: "other" };
  const state = start.readUInt16LE(at(0x3a));
  const hasJournal = (start.readUInt32LE(at(0x5c)) & COMPAT_HAS_JOURNAL) !== 0;
  const errorCount = start.readUInt32LE(at(0x194));
  const unclean = !hasJournal && (state & STATE_VALID) === 0;
  return {
    kind: "ext4",
    needsCheck: (state & STATE_ERRORS) !== 0 || errorCount > 0 || unclean,
    errorCount,
    needsRecovery: (start.readUInt32LE(at(0x60)) & INCOMPAT_RECOVER) !== 0,
  };
}
