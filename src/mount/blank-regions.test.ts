import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { blankRegions, lookForData } from "./blank.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
const SAMPLE = 4 * KIB;
let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "rds-csi-regions-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Offset and length of each region, in bytes. */
const regions = (size: number, deep = false) =>
  blankRegions(size, deep).map(({ offset, length }) => [offset, length]);

describe("the places that are read", () => {
  test("of a disk of 1 TiB: both ends, ext4's first backups, Btrfs's copies, XFS's groups", () => {
    expect(regions(1024 * GIB)).toEqual([
      [0, 8 * MIB + SAMPLE],
      [32 * MIB, SAMPLE],
      [64 * MIB, SAMPLE],
      [128 * MIB, SAMPLE],
      [32 * GIB, SAMPLE],
      [256 * GIB - 64 * KIB, 128 * KIB],
      [512 * GIB - 64 * KIB, 128 * KIB],
      [768 * GIB - 64 * KIB, 128 * KIB],
      [1024 * GIB - MIB, MIB],
    ]);
  });

  test("of a larger disk: Btrfs's last copy, at 256 GiB, is no head of a group", () => {
    expect(regions(2000 * GIB)).toContainEqual([256 * GIB, SAMPLE]);
  });

  test("of an odd size: groups begin at multiples of 64 KiB, and nothing lies outside", () => {
    const size = 100 * MIB + 512;
    const head = (quarter: number) => Math.floor(((size / 4) * quarter) / (64 * KIB)) * 64 * KIB - 64 * KIB;
    expect(regions(size)).toEqual([
      [0, 8 * MIB + SAMPLE],
      [head(1), 128 * KIB],
      [32 * MIB, SAMPLE],
      [head(2), 128 * KIB],
      [64 * MIB, SAMPLE],
      [head(3), 128 * KIB],
      [size - MIB, MIB],
    ]);
  });

  test("deep: every group of 128 MiB at its start and its middle, and the groups with a backup", () => {
    const size = GIB;
    const found = regions(size, true);
    for (let offset = 0; offset < size; offset += 64 * MIB)
      expect([
        offset,
        found.some(([at = 0, length = 0]) => at <= offset && offset + SAMPLE <= at + length),
      ]).toEqual([offset, true]);
    expect(found.reduce((sum, [, length = 0]) => sum + length, 0)).toBe(
      // The ends; ext4's backup at 32 MiB; the heads of groups, around a sample each; the other samples.
      8 * MIB + SAMPLE + MIB + SAMPLE + 3 * 128 * KIB + 12 * SAMPLE,
    );
  });

  test("deep, on a large disk: 16384 groups evenly, and each backup of ext4", () => {
    const group = 128 * MIB;
    const size = 3 * 16_384 * group;
    const found = new Map(regions(size, true).map(([offset = 0, length = 0]) => [offset, length]));
    const [covered, sample] = [(offset: number) => found.get(offset), SAMPLE];
    // Three groups apart.
    expect([3, 6, 9, 300].map((at) => covered(at * group))).toEqual([sample, sample, sample, sample]);
    expect([2, 4, 301].map((at) => covered(at * group))).toEqual([undefined, undefined, undefined]);
    expect(covered(3 * group + group / 2)).toBe(sample);
    // Powers of 5 and 7 are not among these.
    expect([5, 7, 25, 49, 125, 343, 16_807, 15_625].map((at) => covered(at * group))).toEqual(
      Array(8).fill(sample),
    );
    expect(regions(size + group, true).length).toBeLessThan(33_000);
    const fourth = new Map(regions(size + group, true).map(([offset = 0, length = 0]) => [offset, length]));
    expect([4, 8].map((at) => fourth.get(at * group))).toEqual([sample, sample]);
    expect(fourth.get(6 * group)).toBeUndefined();
  });
});

describe("a look", () => {
  const image = (size: number, data: readonly number[] = []) => {
    const path = join(directory, `image-${size}-${data.join("-")}`);
    writeFileSync(path, "");
    truncateSync(path, size);
    const fd = openSync(path, "r+");
    for (const offset of data) writeSync(fd, "x", offset);
    closeSync(fd);
    return path;
  };

  test("reads these places, each byte once, and nothing else", () => {
    const size = 300 * MIB;
    const sum = regions(size).reduce((bytes, [, length = 0]) => bytes + length, 0);
    expect(lookForData(image(size), size, false)).toEqual({ kind: "blank", bytesRead: sum });
    for (const [offset = 0, length = 0] of regions(size)) {
      const last = offset + length - 1;
      expect(lookForData(image(size, [offset]), size, false)).toEqual({ kind: "data", offset });
      expect(lookForData(image(size, [last]), size, false)).toEqual({ kind: "data", offset: last });
      if (last + 1 < size) expect(lookForData(image(size, [last + 1]), size, false).kind).toBe("blank");
    }
  });

  test("finds the first byte that is not zero", () => {
    const size = 20 * MIB;
    expect(lookForData(image(size, [3 * MIB + 7, 3 * MIB + 9, 5 * MIB]), size, false)).toEqual({
      kind: "data",
      offset: 3 * MIB + 7,
    });
  });

  test("of a device that ends too early says where", () => {
    expect(lookForData(image(16 * MIB), 32 * MIB, false)).toEqual({
      kind: "unreadable",
      detail: `it ends at byte ${16 * MIB} instead of ${32 * MIB}`,
    });
  });
});
