import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { hasTool, toolPath } from "../../test/support/loop-node.ts";
import { blankRegions, lookForData } from "./blank.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
let directory: string;
let count = 0;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "rds-csi-blank-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** A sparse file with `text` at each of `offsets`. */
function image(size: number, offsets: readonly number[] = [], text = "\x01"): string {
  count += 1;
  const path = join(directory, `image-${count}`);
  const fd = openSync(path, "w");
  for (const offset of offsets) writeSync(fd, text, offset, "latin1");
  closeSync(fd);
  truncateSync(path, size);
  return path;
}

const LUKS = "LUKS\xba\xbe";
const ZFS = "\x00\xba\xb1\x0c";

/** Magic numbers at the offsets where their specifications put them, in a device of 1 GiB. */
const SUPERBLOCKS: readonly [string, number, string][] = [
  ["ext4 (1024 + 0x38)", 1024 + 0x38, "\x53\xef"],
  ["ext4 backup of 1 KiB blocks", 8193 * 1024 + 0x38, "\x53\xef"],
  ["ext4 backup of 2 KiB blocks", 16384 * 2048 + 0x38, "\x53\xef"],
  ["ext4 backup of 4 KiB blocks", 32768 * 4096 + 0x38, "\x53\xef"],
  ["XFS", 0, "XFSB"],
  ["XFS, second of 4 allocation groups", GIB / 4, "XFSB"],
  ["XFS, last of 4 allocation groups", (GIB / 4) * 3, "XFSB"],
  ["Btrfs", 65_536 + 64, "_BHRfS_M"],
  ["Btrfs copy", 64 * MIB + 64, "_BHRfS_M"],
  ["LVM2 label", 512, "LABELONE"],
  ["LVM2 label in sector 3", 1536, "LABELONE"],
  ["MD 1.1", 0, "\xfc\x4e\x2b\xa9"],
  ["MD 1.2", 4096, "\xfc\x4e\x2b\xa9"],
  ["MD 1.0", GIB - 8192, "\xfc\x4e\x2b\xa9"],
  ["MD 0.90", GIB - 65_536, "\xfc\x4e\x2b\xa9"],
  ["GPT, 512-byte sectors", 512, "EFI PART"],
  ["GPT, 4096-byte sectors", 4096, "EFI PART"],
  ["GPT backup", GIB - 512, "EFI PART"],
  ["MBR", 510, "\x55\xaa"],
  ["swap", 4096 - 10, "SWAPSPACE2"],
  ["swap of 64 KiB pages", 65_536 - 10, "SWAPSPACE2"],
  ["LUKS", 0, LUKS],
  ["LUKS2 second header", 0x4000, "SKUL\xba\xbe"],
  ["LUKS2 second header, largest", 0x40_0000, "SKUL\xba\xbe"],
  ["F2FS", 1024, "\x10\x20\xf5\xf2"],
  ["bcache", 4096 + 24, "\xc6\x85\x73\xf6"],
  ["ISO 9660", 32_769, "CD001"],
  ["ReiserFS", 65_536 + 52, "ReIsErFs"],
  ["NTFS", 3, "NTFS    "],
  ["ZFS label", 128 * 1024, ZFS],
  ["ZFS label at the end", GIB - 512 * 1024 + 128 * 1024, ZFS],
];

describe("blank", () => {
  test.each(SUPERBLOCKS)("a device with %s is not blank", (_, offset, magic) => {
    const found = lookForData(image(GIB, [offset], magic), GIB, false);
    const first = [...magic].findIndex((char) => char !== "\0");
    expect(found).toEqual({ kind: "data", offset: offset + first });
  });

  for (const [tool, args, mib] of [
    ["mkfs.ext4", ["-q", "-F"], 64],
    ["mkfs.xfs", ["-q"], 320],
    ["mkfs.btrfs", ["-q"], 256],
    ["mkswap", ["-q"], 16],
  ] as const) {
    test.skipIf(!hasTool(tool))(`what ${tool} makes is not blank (needs ${tool})`, () => {
      const path = image(mib * MIB);
      expect(lookForData(path, mib * MIB, true)).toMatchObject({ kind: "blank" });
      execFileSync(toolPath(tool) ?? tool, [...args, path], { stdio: "ignore" });
      expect(lookForData(path, mib * MIB, false)).toMatchObject({ kind: "data" });
    });
  }

  test.skipIf(!hasTool("mkfs.ext4"))(
    "an ext4 whose first 256 MiB were wiped is found by the deep look (mkfs.ext4)",
    () => {
      const path = image(2 * GIB);
      execFileSync(toolPath("mkfs.ext4") ?? "", ["-q", "-F", "-b", "4096", path]);
      execFileSync("dd", ["if=/dev/zero", `of=${path}`, "bs=1M", "count=256", "conv=notrunc", "status=none"]);
      expect(lookForData(path, 2 * GIB, true)).toMatchObject({ kind: "data" });
    },
  );

  test("data in the middle of a block group is found by the deep look only", () => {
    const path = image(GIB, [128 * MIB * 3 + 64 * MIB + 100]);
    expect(lookForData(path, GIB, false).kind).toBe("blank");
    expect(lookForData(path, GIB, true)).toEqual({ kind: "data", offset: 128 * MIB * 3 + 64 * MIB + 100 });
  });

  test("unreadable is not blank: absent, a directory, shorter than it should be, empty", () => {
    for (const path of [join(directory, "none"), directory, image(16 * MIB), image(0)]) {
      expect(lookForData(path, 32 * MIB, false).kind).toBe("unreadable");
    }
  });

  test("small and odd sizes are read wholly", () => {
    for (const size of [512, 4096, MIB - 512, 9 * MIB + 512]) {
      const path = image(size);
      expect(lookForData(path, size, false)).toEqual({ kind: "blank", bytesRead: size });
      expect(lookForData(image(size, [size - 1]), size, false)).toEqual({ kind: "data", offset: size - 1 });
    }
  });

  test("property: regions are ascending, disjoint, inside, cover both ends; deep covers quick", () => {
    const sectors = fc.integer({ min: 1, max: 2 ** 36 });
    fc.assert(
      fc.property(sectors, (n) => {
        const size = n * 512;
        const quick = blankRegions(size, false);
        const deep = blankRegions(size, true);
        for (const regions of [quick, deep]) {
          let end = -1;
          const wrong = regions.filter(({ offset, length }) => {
            const ok = offset > end && length > 0 && offset % 512 === 0 && length % 512 === 0;
            end = offset + length;
            return !ok;
          });
          expect(wrong).toEqual([]);
          expect(regions[0]?.offset).toBe(0);
          expect(end).toBe(size);
          expect(regions.length).toBeLessThan(33_000);
        }
        for (const { offset, length } of quick) {
          expect(deep.some((d) => d.offset <= offset && d.offset + d.length >= offset + length)).toBe(true);
        }
      }),
      { numRuns: 30 },
    );
  });
});
