import { describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { crc32c } from "./superblock.ts";
import { LOG_BLOCK, recordWithUuid, unmountRecord, type XfsLog } from "./xfs-log.ts";

const UUID = "01234567-89ab-4def-8123-456789abcdef";
const OTHER = "11111111-2222-4333-8444-555555555555";
const BLOCKS = 2_048;

interface Shape {
  /** Circle of the header. */
  readonly cycle: number;
  /** Block of the header. */
  readonly at: number;
  /** Blocks of data. */
  readonly data?: number;
  /** Longest record, as mounted; beyond 32 KiB a header has several blocks. */
  readonly size?: number;
  /** false: as mkfs.xfs writes it. */
  readonly hasChecksum?: boolean;
  readonly change?: (record: Buffer) => void;
}

/** A log that ends with the record of an unmount. */
function logWith({ cycle, at, data = 1, size = 32_768, hasChecksum = true, change }: Shape): XfsLog {
  const headers = size / 32_768;
  const record = Buffer.alloc((headers + data) * LOG_BLOCK);
  record.writeUInt32BE(0xfeedbabe, 0);
  record.writeUInt32BE(cycle, 4);
  record.writeUInt32BE(2, 8);
  record.writeUInt32BE(data * LOG_BLOCK, 12);
  record.writeUInt32BE(cycle, 16);
  record.writeUInt32BE(at, 20);
  record.writeUInt32BE(1, 40);
  record.write(UUID.replaceAll("-", ""), 304, "hex");
  record.writeUInt32BE(size, 320);
  const circleOf = (block: number) => (at + block < BLOCKS ? cycle : cycle + 1);
  for (let block = 1; block < headers + data; block += 1)
    record.writeUInt32BE(circleOf(block), block * LOG_BLOCK);
  if (data > 0) record.writeUInt8(0xaa, headers * LOG_BLOCK + 8);
  if (data > 0) record.writeUInt8(0x20, headers * LOG_BLOCK + 9);
  change?.(record);
  // As xlog_cksum(): the header, the further headers that the length needs, the data.
  const parts = [record.subarray(0, 328)];
  for (let further = 1; further * 32_768 < data * LOG_BLOCK; further += 1)
    parts.push(record.subarray(further * LOG_BLOCK, further * LOG_BLOCK + 260));
  parts.push(record.subarray(headers * LOG_BLOCK));
  if (hasChecksum && record.readUInt32LE(32) === 0)
    record.writeUInt32LE(~crc32c(Buffer.concat(parts)) >>> 0, 32);
  const end = at + headers + data;
  const bytes = Buffer.alloc(BLOCKS * LOG_BLOCK);
  for (let block = 0; block < BLOCKS; block += 1) {
    const isNew = end > BLOCKS ? true : block < at;
    const newest = end > BLOCKS && block < end - BLOCKS ? cycle + 1 : cycle;
    bytes.writeUInt32BE(isNew ? newest : cycle - 1, block * LOG_BLOCK);
  }
  for (let block = 0; block < headers + data; block += 1)
    record.copy(bytes, ((at + block) % BLOCKS) * LOG_BLOCK, block * LOG_BLOCK, (block + 1) * LOG_BLOCK);
  return {
    blocks: BLOCKS,
    read: (block, count) => {
      expect(block + count).toBeLessThanOrEqual(BLOCKS);
      return bytes.subarray(block * LOG_BLOCK, (block + count) * LOG_BLOCK);
    },
  };
}

describe("the record of an unmount is found", () => {
  test.each<[string, Shape]>([
    ["at the start of a log that was never full", { cycle: 1, at: 0 }],
    ["as mkfs.xfs writes it", { cycle: 1, at: 0, hasChecksum: false }],
    ["in the middle", { cycle: 7, at: 1_000 }],
    ["at the very end", { cycle: 7, at: BLOCKS - 2 }],
    ["across the end", { cycle: 7, at: BLOCKS - 1 }],
    ["in the first circle", { cycle: 1, at: 1_500 }],
    ["with a stripe of 64 KiB", { cycle: 3, at: 640, data: 127, size: 65_536 }],
    ["with a stripe of 256 KiB, across the end", { cycle: 3, at: BLOCKS - 300, data: 504, size: 262_144 }],
    ["with a large header and little data", { cycle: 3, at: 9, size: 262_144 }],
  ])("%s", (_, shape) => {
    const record = unmountRecord(logWith(shape));
    if (typeof record === "string") throw new Error(record);
    expect(record).toMatchObject({ block: shape.at, uuid: UUID });
    expect(recordWithUuid(record, UUID)).toEqual(record.header);
    const changed = recordWithUuid(record, OTHER);
    const again = unmountRecord(logWith({ ...shape, change: (bytes) => void changed.copy(bytes) }));
    expect(again).toMatchObject({ block: shape.at, uuid: OTHER });
  });
});

describe("any other end of a log is not taken for one", () => {
  const at = 700;
  test.each<[string, (record: Buffer) => void]>([
    ["a record with changes", (record) => record.writeUInt32BE(2, 40)],
    ["an operation of a transaction", (record) => record.writeUInt8(0x69, LOG_BLOCK + 8)],
    ["no unmount", (record) => record.writeUInt8(0x01, LOG_BLOCK + 9)],
    ["an older format", (record) => record.writeUInt32BE(1, 8)],
    ["a record of another place", (record) => record.writeUInt32BE(at - 2, 20)],
    ["a record of another circle", (record) => record.writeUInt32BE(6, 16)],
    ["a header of another circle", (record) => record.writeUInt32BE(6, 4)],
    ["a length beyond its end", (record) => record.writeUInt32BE(2 * LOG_BLOCK, 12)],
    ["a length of no whole blocks", (record) => record.writeUInt32BE(LOG_BLOCK + 8, 12)],
    ["a wrong checksum", (record) => record.writeUInt32LE(1, 32)],
  ])("%s", (_, change) => {
    expect(unmountRecord(logWith({ cycle: 7, at, change }))).toMatch(
      /^the last record of its log is (damaged|not that of an unmount)$/,
    );
  });

  test("headers without data", () => {
    const change = (record: Buffer) => record.writeUInt32BE(0, 12);
    expect(unmountRecord(logWith({ cycle: 7, at, data: 0, size: 65_536, change }))).toBe(
      "the last record of its log is not that of an unmount",
    );
  });

  test("a log of zeros, one whose circles jump, one without a header", () => {
    const plain = (cycles: (block: number) => number): XfsLog => ({
      blocks: BLOCKS,
      read: (block) => {
        const bytes = Buffer.alloc(LOG_BLOCK);
        bytes.writeUInt32BE(cycles(block), 0);
        return bytes;
      },
    });
    expect(unmountRecord(plain(() => 0))).toBe("the end of its log was not found");
    expect(unmountRecord(plain((block) => (block < 9 ? 9 : 7)))).toBe("the end of its log was not found");
    expect(unmountRecord(plain((block) => (block < 900 ? 9 : 8)))).toBe("its log has no record at its end");
  });
});
