import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readSuperblock, SUPERBLOCK_SPAN } from "./superblock.ts";

const UUID = "0b2c6a3e-6f0e-4a5b-9a43-2f1f0c8f7d11";
const PROGRAMS = { ext4: "/usr/sbin/mkfs.ext4", xfs: "/usr/sbin/mkfs.xfs" } as const;
const OPTIONS = { ext4: ["-q", "-F", "-U", UUID], xfs: ["-q", "-m", `uuid=${UUID}`] } as const;

/** The start of a filesystem that its own program has made. */
const starts = new Map<string, Buffer>();
let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "rds-csi-superblock-"));
  for (const filesystem of ["ext4", "xfs"] as const) {
    if (!existsSync(PROGRAMS[filesystem])) continue;
    const image = join(directory, filesystem);
    writeFileSync(image, "");
    truncateSync(image, 512 * 1024 * 1024);
    execFileSync(PROGRAMS[filesystem], [...OPTIONS[filesystem], image]);
    const { buffer } = readFileSync(image);
    starts.set(filesystem, Buffer.from(buffer.slice(0, SUPERBLOCK_SPAN)));
  }
});
afterAll(() => rmSync(directory, { recursive: true }));

/** The verdict on a superblock that was changed. */
function changed(filesystem: "ext4" | "xfs", change: (bytes: Buffer) => unknown) {
  const bytes = Buffer.from(starts.get(filesystem) ?? "");
  change(filesystem === "ext4" ? bytes.subarray(1024) : bytes);
  return readSuperblock(bytes, filesystem);
}
const damaged = (detail: string) => ({ kind: "damaged" as const, detail });

describe.skipIf(!existsSync(PROGRAMS.ext4))("the superblock of an ext4", () => {
  test("is whole as mkfs has made it, and nothing else is", () => {
    expect(changed("ext4", () => {})).toEqual({ kind: "whole", uuid: UUID });
    expect(readSuperblock(starts.get("ext4") ?? Buffer.alloc(0), "xfs")).toEqual({ kind: "other" });
    expect(changed("ext4", (sb) => sb.writeUInt16LE(0, 0x38))).toEqual({ kind: "other" });
    // A journal device, and a filesystem with the features of ext3 only.
    expect(changed("ext4", (sb) => sb.writeUInt32LE(sb.readUInt32LE(0x60) | 8, 0x60)).kind).toBe("other");
    expect(changed("ext4", (sb) => [sb.writeUInt32LE(2, 0x60), sb.writeUInt32LE(1, 0x64)]).kind).toBe(
      "other",
    );
  });

  test("with a wrong checksum is unfinished if it was never mounted, else damaged", () => {
    const tear = (sb: Buffer) => sb.writeUInt8(sb.readUInt8(0x200) ^ 1, 0x200);
    expect(changed("ext4", tear)).toEqual({ kind: "unfinished", uuid: UUID });
    for (const mounted of [
      (sb: Buffer) => sb.writeUInt32LE(1, 0x2c),
      (sb: Buffer) => sb.writeUInt16LE(1, 0x34),
    ])
      expect(changed("ext4", (sb) => [tear(sb), mounted(sb)])).toEqual(
        damaged("the checksum of its superblock is wrong"),
      );
    expect(changed("ext4", (sb) => sb.writeUInt8(2, 0x175)).kind).toBe("unfinished");
  });

  test("that cannot be true is damaged, and the reason says what is wrong", () => {
    for (const [change, detail] of [
      [(sb: Buffer) => sb.writeUInt32LE(7, 0x18), "its superblock names blocks of 131072 bytes"],
      [(sb: Buffer) => sb.writeUInt32LE(0, 0x4c), "its superblock has revision 0"],
      [(sb: Buffer) => sb.writeUInt32LE(0, 0x00), "its superblock names no inodes"],
      [(sb: Buffer) => sb.writeUInt32LE(0, 0x28), "its superblock names no inodes"],
      [
        (sb: Buffer) => [sb.writeUInt32LE(0, 0x04), sb.writeUInt32LE(0, 0x150)],
        "its superblock names no blocks",
      ],
      [(sb: Buffer) => sb.writeUInt32LE(0, 0x20), "its superblock names groups without blocks"],
      [(sb: Buffer) => sb.writeUInt16LE(64, 0x58), "its superblock names inodes of 64 bytes"],
      [(sb: Buffer) => sb.writeUInt16LE(384, 0x58), "its superblock names inodes of 384 bytes"],
      [(sb: Buffer) => sb.writeUInt16LE(8_192, 0x58), "its superblock names inodes of 8192 bytes"],
    ] as const)
      expect(changed("ext4", change)).toEqual(damaged(detail));
  });
});

describe.skipIf(!existsSync(PROGRAMS.xfs))("the superblock of an XFS", () => {
  test("is whole as mkfs has made it; unfinished while mkfs has not cleared its flag", () => {
    expect(changed("xfs", () => {})).toEqual({ kind: "whole", uuid: UUID });
    // The checksum of version 5 covers the flag; version 4 has none.
    const older = (sb: Buffer) => sb.writeUInt16BE((sb.readUInt16BE(100) & ~0xf) | 4, 100);
    expect(changed("xfs", older)).toEqual({ kind: "whole", uuid: UUID });
    expect(changed("xfs", (sb) => [older(sb), sb.writeUInt8(1, 126)])).toEqual({
      kind: "unfinished",
      uuid: UUID,
    });
    expect(changed("xfs", (sb) => sb.writeUInt8(1, 126))).toEqual(
      damaged("the checksum of its superblock is wrong"),
    );
  });

  test("that cannot be true is damaged, and the reason says what is wrong", () => {
    const flags = (starts.get("xfs") ?? Buffer.alloc(200)).readUInt16BE(100) & ~0xf;
    for (const [change, detail] of [
      [(sb: Buffer) => sb.writeUInt32BE(3_000, 4), "its superblock names blocks of 3000 bytes"],
      [(sb: Buffer) => sb.writeUInt32BE(256, 4), "its superblock names blocks of 256 bytes"],
      [(sb: Buffer) => sb.writeUInt32BE(131_072, 4), "its superblock names blocks of 131072 bytes"],
      [(sb: Buffer) => sb.writeUInt16BE(500, 102), "its superblock names sectors of 500 bytes"],
      [(sb: Buffer) => sb.writeUInt16BE(0, 102), "its superblock names sectors of 0 bytes"],
      [(sb: Buffer) => sb.writeUInt16BE(flags | 6, 100), "its superblock has version 6"],
      [(sb: Buffer) => sb.writeBigUInt64BE(0n, 8), "its superblock names no blocks"],
      [(sb: Buffer) => sb.writeUInt32BE(0, 84), "its superblock names no blocks"],
      [(sb: Buffer) => sb.writeUInt32BE(0, 88), "its superblock names no blocks"],
      [(sb: Buffer) => sb.writeUInt8(sb.readUInt8(300) ^ 1, 300), "the checksum of its superblock is wrong"],
    ] as const)
      expect(changed("xfs", change)).toEqual(damaged(detail));
  });
});
