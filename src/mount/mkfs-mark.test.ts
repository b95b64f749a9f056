import { describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hasTool, toolPath } from "../../test/support/loop-node.ts";
import type { MkfsMark } from "../host/helper-answers.ts";
import { blankRegions } from "./blank.ts";
import { findFilesystem } from "./device-mark.ts";
import { decodeMark, encodeMark, MARK_LENGTH, markOffsets, newMark, uuidOf } from "./mkfs-mark.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const MARK: MkfsMark = { volume: "csi-x", epoch: 7, filesystem: "ext4", token: "0123456789abcdef".repeat(2) };

test("a mark reads back as itself; its form is fixed, as other versions of the driver read it", () => {
  expect(decodeMark(encodeMark(MARK))).toEqual(MARK);
  expect(encodeMark(MARK).toString("latin1").split("\0")[0]).toBe(
    `rds-csi mkfs 1 csi-x 7 ext4 ${MARK.token} 07c6839f417522cc280a756174a570dc\n`,
  );
  expect(uuidOf(MARK)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test("the UUID of a token is fixed, as another version of the driver compares it", () => {
  const digits = ["0123456789abcdef", "1111111111111111", "2222222222222222", "3333333333333333"];
  expect(digits.map((half) => uuidOf({ token: half + half }))).toEqual([
    "c6831a3e-9637-41e0-bbe8-54689019cab2",
    "f44b1bdb-d02d-4247-9b0a-f4fdf9a1b303",
    "d00ea5b7-3518-4348-b732-44d3f001667f",
    "9f15833c-8cab-46b7-9e71-892b077b5f53",
  ]);
});

test("its places are counted from the end in steps of 64 KiB; a device below 4 MiB has none", () => {
  const places = [16 * MIB - 960 * 1024, 16 * MIB - 512 * 1024];
  expect([16 * MIB, 16 * MIB + 65_535].map(markOffsets)).toEqual([places, places]);
  expect(markOffsets(4 * MIB)).toEqual([4 * MIB - 960 * 1024, 4 * MIB - 512 * 1024]);
  expect(markOffsets(4 * MIB - 1)).toEqual([]);
});

test("any epoch and volume reads back; text before a mark, or a filesystem that no driver makes, is none", () => {
  for (const epoch of [0, 1, 12, 123_456_789]) {
    const mark = { ...MARK, epoch, volume: "~!".repeat(64) };
    expect(decodeMark(encodeMark(mark))).toEqual(mark);
  }
  const shifted = Buffer.concat([Buffer.from("x"), encodeMark(MARK)]).subarray(0, MARK_LENGTH);
  expect(decodeMark(shifted)).toBeUndefined();
  expect(decodeMark(encodeMark({ ...MARK, filesystem: "btrfs" as "ext4" }))).toBeUndefined();
});

test("no two marks are the same, and a changed or cut one is none", () => {
  expect(newMark("v", 1, "xfs").token).not.toBe(newMark("v", 1, "xfs").token);
  const good = encodeMark(MARK);
  for (let at = 0; at < 120; at += 1) {
    const bad = Buffer.from(good);
    bad.writeUInt8(bad.readUInt8(at) ^ 1, at);
    expect(decodeMark(bad)).toBeUndefined();
  }
  expect(decodeMark(good.subarray(0, 512))).toBeUndefined();
  expect(decodeMark(Buffer.alloc(MARK_LENGTH))).toBeUndefined();
  expect(decodeMark(Buffer.alloc(MARK_LENGTH, 0xff))).toBeUndefined();
});

test("its places are ones that every look for data reads", () => {
  for (const size of [16 * MIB, 17 * MIB + 512, 3 * GIB + 7 * 512, 5 * 1024 * GIB]) {
    for (const offset of markOffsets(size)) {
      const regions = blankRegions(size, false);
      const covers = ({ offset: from, length }: { offset: number; length: number }) =>
        from <= offset && offset + MARK_LENGTH <= from + length;
      expect(regions.some(covers)).toBe(true);
      expect(offset % MARK_LENGTH).toBe(0);
    }
  }
  expect(markOffsets(MIB)).toEqual([]);
});

describe("a mark outlives mkfs", () => {
  const sizes = [20, 32, 48, 63, 129, 256, 320, 383, 513, 1_025, 1_153, 3_457].map((mib) => mib * MIB);
  // The last group of blocks is dropped here, and mkfs.ext4 wipes the end of the group before it.
  const all = [...sizes, 10 * GIB + 37 * 512, 4 * 1024 * GIB + 7 * 65_536];
  for (const [program, smallest] of [
    ["mkfs.ext4", 0],
    ["mkfs.xfs", 300 * MIB],
  ] as const) {
    test.skipIf(!hasTool(program))(program, () => {
      const directory = mkdtempSync(join(tmpdir(), "rds-csi-mark-"));
      try {
        for (const size of all.filter((each) => each >= smallest)) {
          const filesystem = program === "mkfs.ext4" ? "ext4" : "xfs";
          const mark = newMark("csi-x", 1, filesystem);
          const path = join(directory, "image");
          rmSync(path, { force: true });
          writeFileSync(path, "");
          truncateSync(path, size);
          const fd = openSync(path, "r+");
          for (const offset of markOffsets(size)) writeSync(fd, encodeMark(mark), 0, MARK_LENGTH, offset);
          closeSync(fd);
          const uuid = uuidOf(mark);
          const args =
            filesystem === "ext4" ? ["-F", "-E", "nodiscard", "-U", uuid] : ["-K", "-m", `uuid=${uuid}`];
          execFileSync(toolPath(program) ?? "", ["-q", ...args, path], { stdio: "ignore" });
          expect(findFilesystem(path, size, filesystem)).toEqual({
            kind: "read",
            superblock: { kind: "whole", uuid },
            marks: expect.arrayContaining([mark]),
          });
        }
      } finally {
        rmSync(directory, { recursive: true });
      }
    });
  }
});
