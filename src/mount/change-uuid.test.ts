import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { execFileSync, spawnSync } from "node:child_process";
import {
  closeSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hasTool } from "../../test/support/loop-node.ts";
import type { Filesystem } from "../domain/access-mode.ts";
import { filesystemUuidOf } from "../domain/filesystem-uuid.ts";
import { changeUuid, lookForUuid, type PageWrite, type ReadAt, uuidWrites } from "./change-uuid.ts";

const WANTED = filesystemUuidOf("csi-clone");
const MIB = 1024 * 1024;

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "rds-csi-uuid-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let count = 0;
const make = (filesystem: Filesystem, ...options: readonly string[]): string => {
  count += 1;
  const image = join(directory, `${count}.img`);
  writeFileSync(image, "");
  truncateSync(image, (filesystem === "xfs" ? 1_280 : 32) * MIB);
  execFileSync(`mkfs.${filesystem}`, ["-q", ...options, image], { stdio: "pipe" });
  return image;
};
const readerOf =
  (image: string): ReadAt =>
  (offset, length) => {
    const bytes = Buffer.alloc(length);
    const fd = openSync(image, "r");
    const got = readSync(fd, bytes, 0, length, offset);
    closeSync(fd);
    return bytes.subarray(0, got);
  };
const apply = (image: string, writes: Iterable<PageWrite>) => {
  const fd = openSync(image, "r+");
  for (const { offset, content } of writes) writeSync(fd, content, 0, content.length, offset);
  closeSync(fd);
};
const writesFor = (image: string, filesystem: Filesystem) => {
  const writes = uuidWrites(readerOf(image), filesystem, WANTED);
  if (typeof writes === "string") throw new Error(writes);
  return [...writes];
};
const superblockOf = (image: string) =>
  execFileSync("dumpe2fs", ["-h", image], { stdio: ["ignore", "pipe", "ignore"] }).toString();
const lacks = (...tools: readonly string[]) => tools.find((tool) => !hasTool(tool)) ?? "";

const noExt4 = lacks("mkfs.ext4", "e2fsck", "dumpe2fs", "tune2fs", "resize2fs");
describe.skipIf(noExt4 !== "")(`ext4 ${noExt4}`, () => {
  test.each([
    ["as the driver makes it", []],
    ["with blocks of 1 KiB", ["-b", "1024"]],
    ["without 64-bit numbers", ["-O", "^64bit"]],
    ["with the seed of its checksums already", ["-O", "metadata_csum_seed"]],
    ["without checksums", ["-O", "^metadata_csum,^uninit_bg"]],
    ["with large attributes", ["-O", "ea_inode"]],
    ["with quotas and projects", ["-O", "quota,project"]],
    ["without a journal", ["-O", "^has_journal"]],
  ])("%s: one write, and e2fsck and tune2fs take it", (_, options) => {
    const image = make("ext4", ...options);
    expect(lookForUuid(image, "ext4", WANTED)).toMatchObject({ kind: "changeable" });
    const writes = writesFor(image, "ext4");
    expect(writes).toHaveLength(1);
    apply(image, writes);
    expect(lookForUuid(image, "ext4", WANTED)).toEqual({ kind: "same" });
    expect(superblockOf(image)).toMatch(new RegExp(`UUID: +${WANTED}`));
    expect(spawnSync("e2fsck", ["-f", "-n", image]).status).toBe(0);
    expect(writesFor(image, "ext4")).toEqual([]);
    truncateSync(image, 40 * MIB);
    expect(spawnSync("resize2fs", [image]).status).toBe(0);
    expect(spawnSync("e2fsck", ["-f", "-n", image]).status).toBe(0);
    // A clone of the clone keeps the seed.
    const next = uuidWrites(readerOf(image), "ext4", filesystemUuidOf("csi-next"));
    if (typeof next === "string") throw new Error(next);
    apply(image, next);
    expect(spawnSync("e2fsck", ["-f", "-n", image]).status).toBe(0);
    // tune2fs reads and writes every checksum of the superblock.
    expect(spawnSync("tune2fs", ["-L", "clone", image]).status).toBe(0);
    expect(spawnSync("e2fsck", ["-f", "-n", image]).status).toBe(0);
  });

  test("is kept where more than the superblock depends on it", () => {
    const image = make("ext4", "-O", "^metadata_csum,uninit_bg");
    const found = lookForUuid(image, "ext4", WANTED);
    expect(found).toEqual({ kind: "kept", reason: "the checksums of its block groups depend on it" });
    const encrypted = make("ext4", "-O", "stable_inodes");
    expect(lookForUuid(encrypted, "ext4", WANTED)).toEqual({
      kind: "kept",
      reason: "the keys of encrypted files depend on it",
    });
    const attributes = make("ext4", "-O", "^metadata_csum,^uninit_bg,ea_inode");
    expect(lookForUuid(attributes, "ext4", WANTED)).toEqual({
      kind: "kept",
      reason: "the checksums of its large attributes depend on it",
    });
  });

  test("not before its journal was replayed", () => {
    const image = make("ext4");
    execFileSync("debugfs", ["-w", "-R", "feature needs_recovery", image], { stdio: "ignore" });
    const reason = "its journal has to be replayed first";
    expect(lookForUuid(image, "ext4", WANTED)).toMatchObject({ kind: "changeable", unsettled: reason });
    expect(uuidWrites(readerOf(image), "ext4", WANTED)).toBe(reason);
  });
});

const noXfs = lacks("mkfs.xfs", "xfs_repair", "xfs_db");
describe.skipIf(noXfs !== "")(`XFS ${noXfs}`, () => {
  const repair = (image: string) => {
    const { status, stdout, stderr } = spawnSync("xfs_repair", ["-n", image], { encoding: "utf8" });
    return { status, said: `${stdout}${stderr}` };
  };
  const uuids = (image: string, group: number): string =>
    execFileSync("xfs_db", ["-r", "-c", `sb ${group}`, "-c", "print uuid meta_uuid", image]).toString();

  test.each([
    ["as the driver makes it", []],
    ["with sectors of 4 KiB", ["-s", "size=4096"]],
    ["with blocks of 1 KiB", ["-b", "size=1024"]],
    ["with a striped log", ["-l", "su=64k"]],
    ["with many allocation groups", ["-d", "agcount=16"]],
    ["without reverse mappings and reflinks", ["-m", "rmapbt=0,reflink=0"]],
    ["with 64-bit extent counters and times", ["-m", "bigtime=1", "-i", "nrext64=1"]],
  ])("%s: sound after each write, and the new UUID is everywhere at the end", (_, options) => {
    const image = make("xfs", ...options);
    const origin = /uuid = (\S+)/.exec(uuids(image, 0))?.[1] ?? "";
    expect(lookForUuid(image, "xfs", WANTED)).toEqual({ kind: "changeable", uuid: origin });
    const writes = writesFor(image, "xfs");
    const groups = writes.length - 2;
    for (const [index, write] of writes.entries()) {
      apply(image, [write]);
      const { status, said } = repair(image);
      // Until the last superblock is written, they differ; that is all.
      if (status !== 0)
        expect(said.match(/^would .*$/gm)?.join() ?? "").toMatch(
          /^(would fix incompat feature mismatch in AG \d+ super, [^,]*,?)+$/,
        );
      const isLast = index >= writes.length - 2;
      expect(lookForUuid(image, "xfs", WANTED).kind).toBe(isLast ? "same" : "changeable");
      // A later call goes on from here, and ends with the same superblocks.
      if (!isLast) expect(writesFor(image, "xfs")).toHaveLength(writes.length - index);
    }
    expect(repair(image).status).toBe(0);
    for (let group = 0; group < groups; group += 1)
      expect(uuids(image, group)).toBe(`uuid = ${WANTED}\nmeta_uuid = ${origin}\n`);
    // A clone of the clone keeps the first UUID in its metadata.
    const next = uuidWrites(readerOf(image), "xfs", filesystemUuidOf("csi-next"));
    if (typeof next === "string") throw new Error(next);
    apply(image, next);
    expect(uuids(image, 0)).toBe(`uuid = ${filesystemUuidOf("csi-next")}\nmeta_uuid = ${origin}\n`);
    expect(repair(image).status).toBe(0);
  });

  test("the record of the unmount goes first, the first superblock after the others, each made durable", () => {
    const image = make("xfs", "-d", "agcount=4");
    const writes = writesFor(image, "xfs");
    const [record, ...rest] = writes;
    expect(rest.map(({ offset }) => offset)).toEqual(
      [960, 640, 320, 0].map((mib) => mib * MIB).concat(record?.offset ?? -1),
    );
    expect(writes.map(({ flush }) => flush)).toEqual([false, true, false, false, true, true]);
  });

  test("a group whose superblock is damaged, or another end of the log: nothing is written", () => {
    const image = make("xfs", "-d", "agcount=4");
    const [record] = writesFor(image, "xfs");
    const zeros = Buffer.alloc(512);
    const damaged = openSync(image, "r+");
    writeSync(damaged, zeros, 0, 512, 320 * MIB);
    closeSync(damaged);
    expect(uuidWrites(readerOf(image), "xfs", WANTED)).toBe(
      "the superblock of its allocation group 1 is damaged",
    );
    const other = make("xfs");
    apply(other, [{ offset: record?.offset ?? 0, content: Buffer.alloc(4096), flush: false }]);
    expect(uuidWrites(readerOf(other), "xfs", WANTED)).toMatch(/its log/);
    expect(lookForUuid(other, "xfs", WANTED)).toMatchObject({
      kind: "changeable",
      unsettled: expect.stringMatching(/its log/),
    });
  });

  test("is kept by formats that may hold it elsewhere", () => {
    const image = make("xfs");
    const patched = Buffer.from(readerOf(image)(0, 4096));
    execFileSync("xfs_db", ["-x", "-c", "sb 0", "-c", "write -d features_incompat 0x10b", image], {
      stdio: "ignore",
    });
    expect(lookForUuid(image, "xfs", WANTED)).toEqual({
      kind: "kept",
      reason: "it has features that the driver does not know (0x100)",
    });
    apply(image, [{ offset: 0, content: patched, flush: false }]);
    expect(lookForUuid(image, "xfs", WANTED)).toMatchObject({ kind: "changeable" });
    const old = make("xfs", "-m", "crc=0,finobt=0,rmapbt=0,reflink=0,bigtime=0,inobtcount=0");
    expect(lookForUuid(old, "xfs", WANTED)).toEqual({
      kind: "kept",
      reason: "its format is older than version 5",
    });
  });
});

test("nothing is a filesystem that is not the wanted one, and a file is no device", () => {
  const image = join(directory, "blank.img");
  writeFileSync(image, Buffer.alloc(MIB));
  expect(lookForUuid(image, "ext4", WANTED)).toEqual({ kind: "kept", reason: "its superblock is zeros" });
  expect(lookForUuid(join(directory, "none"), "xfs", WANTED)).toMatchObject({ kind: "unreadable" });
  expect(changeUuid(image, "7:0", "xfs", WANTED)).toMatchObject({ kind: "refused" });
});
