import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { execFileSync } from "node:child_process";
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
import { noDevices } from "../../test/support/loop-node.ts";
import { lookForData } from "./blank.ts";
import { openDirect } from "./direct-reader.ts";

const MIB = 1024 * 1024;
let directory: string;
const attached: string[] = [];
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "rds-csi-direct-"));
});
afterAll(() => {
  for (const device of attached) execFileSync("losetup", ["--detach", device]);
  rmSync(directory, { recursive: true, force: true });
});

function loop(mib: number, sector: number): { image: string; device: string } {
  const image = join(directory, `image-${attached.length}`);
  writeFileSync(image, "");
  truncateSync(image, mib * MIB);
  const args = ["--find", "--show", "--direct-io=off", `--sector-size=${sector}`, "--", image];
  const device = execFileSync("losetup", args).toString().trim();
  attached.push(device);
  return { image, device };
}

function write(path: string, offset: number, text: string): void {
  const fd = openSync(path, "r+");
  writeSync(fd, text, offset);
  closeSync(fd);
}

describe.skipIf(noDevices !== "").each([512, 4096])(
  `O_DIRECT, logical sectors of %d bytes ${noDevices}`,
  (sector) => {
    test("reads of every length are accepted wherever the buffer begins", () => {
      const { image, device } = loop(24, sector);
      write(image, 20 * MIB + sector, "here");
      for (let round = 0; round < 20; round += 1) {
        // From page-aligned to anything but: the search has to move on.
        const reader = openDirect(device, MIB, (round * 216) % 4096);
        expect(reader.direct).toBe(true);
        for (const length of [sector, MIB, 4096, 64 * 1024, 8192]) {
          expect(reader.read(20 * MIB, length)).toHaveLength(length);
          expect(reader.read(16 * MIB, length).every((byte) => byte === 0)).toBe(true);
        }
        expect(reader.read(20 * MIB, MIB).toString("latin1", sector, sector + 4)).toBe("here");
        expect(reader.read(24 * MIB - sector, sector)).toHaveLength(sector);
        expect(reader.read(24 * MIB, MIB)).toHaveLength(0);
        reader.close();
      }
    });

    test("blank means blank on the device, whatever the page cache remembers", () => {
      const { image, device } = loop(24, sector);
      // The node has read the device before, and keeps it open, so that nothing drops what it remembers.
      const fd = openSync(device, "r");
      try {
        const remembered = Buffer.alloc(64 * 1024);
        readSync(fd, remembered, 0, remembered.length, 0);
        expect(lookForData(device, 24 * MIB, true)).toEqual({ kind: "blank", bytesRead: expect.any(Number) });
        // Another node writes.
        write(image, 4096 + 100, "foreign");
        readSync(fd, remembered, 0, remembered.length, 0);
        expect(remembered.includes("foreign")).toBe(false);
        expect(lookForData(device, 24 * MIB, false)).toEqual({ kind: "data", offset: 4096 + 100 });
      } finally {
        closeSync(fd);
      }
    });

    test("the last sector is looked at", () => {
      const { image, device } = loop(24, sector);
      write(image, 24 * MIB - 1, "x");
      expect(lookForData(device, 24 * MIB, false)).toEqual({ kind: "data", offset: 24 * MIB - 1 });
    });

    test("a device that cannot be read to its end is unreadable, not blank", () => {
      const { image, device } = loop(64, sector);
      // The kernel goes on with 64 MiB; beyond the end of the file it answers EIO.
      truncateSync(image, 32 * MIB);
      expect(lookForData(device, 64 * MIB, false)).toEqual({
        kind: "unreadable",
        detail: expect.stringContaining("EIO"),
      });
      expect(lookForData(device, 128 * MIB, false).kind).toBe("unreadable");
    });
  },
);

test("a plain file is read without O_DIRECT", () => {
  const path = join(directory, "plain");
  writeFileSync(path, "abc");
  const reader = openDirect(path, 4096);
  expect(reader.direct).toBe(false);
  expect(reader.read(0, 4096).toString()).toBe("abc");
  reader.close();
});
