import { describe, expect, test } from "bun:test";
import { FILE_DISK } from "../../test/support/records.ts";
import type { Disk } from "../rds/disk.ts";
import { arrayTroubles, isTroubled } from "./array-health.ts";

describe("the state of an array", () => {
  test.each([
    ["", false],
    ["clean", false],
    ["active", false],
    ["write-pending", false],
    ["clean, sync:check, resync = 3.1%", false],
    ["clean, sync:repair, resync = 3.1% (1/2) finish=8.0min", false],
    ["clean, degraded", true],
    ["active, degraded, sync:recover, recovery = 12.0%", true],
    ["clean, sync:recover", true],
    ["inactive", true],
    ["readonly", true],
    ["a word of the next version", true],
  ])("%j: troubled %p", (state, troubled) => {
    expect(isTroubled(state)).toBe(troubled);
  });
});

const disk = (slot: string, more: Partial<Disk> = {}): Disk => ({ ...FILE_DISK, slot, ...more });
const pool = disk("raid10", { type: "raid", state: "clean", mounted: true, mountPoint: "raid10" });

test("an array below the pool's, and a member that failed, are the pool's troubles; those of another pool are not", () => {
  const arrays = [
    pool,
    disk("raid10-m0", { type: "raid", state: "clean, degraded", raidMaster: "raid10" }),
    disk("raid10-m1", { type: "raid", state: "clean", raidMaster: "raid10" }),
    disk("nvme2", { type: "hardware", memberFailed: true, raidMaster: "raid10-m0" }),
    disk("other", { type: "raid", state: "clean, degraded" }),
    disk("nvme9", { type: "hardware", memberFailed: true, raidMaster: "other" }),
  ];
  expect(arrayTroubles(pool, arrays)).toEqual([
    'array raid10-m0 is "clean, degraded"',
    "member nvme2 has failed",
  ]);
  expect(arrayTroubles(pool, [pool])).toEqual([]);
});

test("masters in a circle end", () => {
  const circle = [disk("a", { raidMaster: "b" }), disk("b", { raidMaster: "a" })];
  expect(arrayTroubles(pool, circle)).toEqual([]);
});

test("the state of what is no array says nothing", () => {
  expect(arrayTroubles(disk("nvme1", { type: "hardware", state: "unknown" }), [])).toEqual([]);
});
