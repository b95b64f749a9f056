import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { writeImage } from "../../test/support/images.ts";
import {
  EXT4,
  hasTool,
  Lab,
  type LabNode,
  noDevices,
  toolPath,
  type Volume,
} from "../../test/support/loop-node.ts";
import type { Capability } from "../domain/access-mode.ts";

const KIB = 1024;
const FILESYSTEMS: readonly { capability: Capability; mib: number; tool: string }[] = [
  { capability: EXT4, mib: 72, tool: "mkfs.ext4" },
  { capability: { ...EXT4, fsType: "xfs" }, mib: 320, tool: "mkfs.xfs" },
];

interface Signature {
  readonly name: string;
  readonly places: (size: number) => readonly number[];
  readonly bytes: (offset: number) => Buffer;
}

const text = (content: string) => () => Buffer.from(content, "latin1");
const ends = (distance: number) => (size: number) => [size - distance];
const SIGNATURES: readonly Signature[] = [
  { name: "NVIDIA RAID", places: ends(2 * 512), bytes: text("NVIDIA  the best graphics card") },
  {
    name: "ZFS",
    places: (size) => Array.from({ length: 128 }, (_, index) => size - 256 * KIB + (128 + index) * KIB),
    bytes: text("\x0c\xb1\xba\x00\x00\x00\x00\x00\x88\x13\x00\x00"),
  },
  {
    name: "MD RAID 1.0",
    places: ends(8 * KIB),
    bytes: (offset) => {
      const superblock = Buffer.alloc(256);
      superblock.writeUInt32LE(0xa92b4efc, 0);
      superblock.writeUInt32LE(1, 4);
      superblock.writeBigUInt64LE(BigInt(offset / 512), 144);
      return superblock;
    },
  },
];

describe.skipIf(noDevices !== "")(`what files hold is no signature of the volume ${noDevices}`, () => {
  let lab: Lab;
  let node: LabNode;
  let count = 0;
  beforeAll(() => {
    lab = new Lab();
    node = lab.node("node-a");
  });
  afterAll(() => lab.cleanUp());

  const stage = async (
    volume: Volume,
    filesystemState: "new" | "used" | "keep",
    capability: Capability,
  ): Promise<string> => {
    count += 1;
    const path = lab.path(`staging-${count}`);
    mkdirSync(path);
    await node.service.stage({
      volumeId: volume.volumeId,
      publishContext: volume.context(node, { filesystemState }),
      stagingTargetPath: path,
      capability,
      volumeContext: {},
    });
    return path;
  };
  const unstage = (volume: Volume, stagingTargetPath: string) =>
    node.service.unstage({ volumeId: volume.volumeId, stagingTargetPath });
  const digest = (path: string) => execFileSync("sha256sum", ["--", path]).toString().slice(0, 64);
  /** Everything that is free becomes one file of zeros. */
  const fill = (path: string) => {
    spawnSync("dd", ["if=/dev/zero", `of=${path}/data`, "bs=64K", "status=none"]);
    execFileSync("sync", ["-f", path]);
  };
  const write = (volume: Volume, { places, bytes }: Signature) => {
    for (const offset of places(volume.size)) writeImage(volume.image, offset, bytes(offset));
  };
  /** What blkid alone would say of the volume. */
  const blkid = (volume: Volume): string => {
    const { status, stdout } = spawnSync(toolPath("blkid") ?? "", ["-p", "-o", "export", "--", volume.image]);
    return status === 8 ? "ambiguous" : (/^TYPE=(.*)$/m.exec(stdout.toString())?.[1] ?? `exit ${status}`);
  };

  for (const { capability, mib, tool } of FILESYSTEMS) {
    for (const signature of SIGNATURES) {
      test.skipIf(!hasTool(tool))(
        `${signature.name} in a file: ${tool.replace("mkfs.", "")} is staged whatever the record says, and the file stays (${tool})`,
        async () => {
          const volume = lab.volume(mib).export();
          const first = await stage(volume, "new", capability);
          fill(first);
          await unstage(volume, first);
          write(volume, signature);
          expect(blkid(volume)).not.toBe(tool.replace("mkfs.", ""));
          const sums = new Set<string>();
          for (const state of ["new", "used", "keep"] as const) {
            const path = await stage(volume, state, capability);
            sums.add(digest(`${path}/data`));
            await unstage(volume, path);
          }
          expect(sums.size).toBe(1);
        },
      );
    }
  }

  test("a volume of another filesystem stays refused, whatever its files hold", async () => {
    const volume = lab.volume(32).export();
    execFileSync("mkfs.ext4", ["-q", "-F", "-t", "ext3", volume.image]);
    for (const signature of SIGNATURES) {
      write(volume, signature);
      const error = await stage(volume, "used", EXT4).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 9 });
      expect(["filesystemMismatch", "signatureUnclear"]).toContain((error as { id: string }).id);
    }
  });

  test("what stands before the superblock of an ext4 is no file's content: refused", async () => {
    const volume = lab.volume(32).export();
    execFileSync("mkfs.ext4", ["-q", "-F", volume.image]);
    write(volume, { name: "LUKS", places: () => [0], bytes: text("LUKS\xba\xbe\x00\x01aes") });
    const error = await stage(volume, "used", EXT4).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 9 });
    expect(["filesystemMismatch", "signatureUnclear"]).toContain((error as { id: string }).id);
  });

  test("an ext4 whose superblock is torn is damaged, and not formatted", async () => {
    const volume = lab.volume(32).export();
    const path = await stage(volume, "new", EXT4);
    await unstage(volume, path);
    write(volume, { name: "", places: () => [KIB + 0x78], bytes: text("another label") });
    const before = digest(volume.image);
    for (const state of ["new", "used", "keep"] as const) {
      await expect(stage(volume, state, EXT4)).rejects.toMatchObject({ id: "filesystemDamaged", code: 9 });
    }
    expect(digest(volume.image)).toBe(before);
  });
});
