import { describe, expect, test } from "bun:test";
import { type LimitConfig, migrationLimit, START_SLACK_SECONDS } from "./time-limit.ts";

const GIB = 1n << 30n;
const limit = (memoryBytes: bigint, config: Partial<LimitConfig> = {}, volumeBytes = 0n) =>
  migrationLimit(
    { memoryBytes, volumeBytes },
    {
      completionTimeoutPerGiB: undefined,
      allowPostCopy: false,
      allowWorkloadDisruption: false,
      ...config,
    },
  );

describe("KubeVirt's time limit", () => {
  test("is 150 s per decimal GB, rounded up, and 15 minutes for the start of the target", () => {
    expect(limit(1_000_000_000n)).toBe(150 + START_SLACK_SECONDS);
    expect(limit(1_000_000_001n)).toBe(300 + START_SLACK_SECONDS);
    expect(limit(8n * GIB)).toBe(9 * 150 + 900);
    expect(limit(64n * GIB, { completionTimeoutPerGiB: 20 })).toBe(69 * 20 + 900);
  });

  test("counts the disks of a storage migration, rounded up together with the memory", () => {
    expect(limit(500_000_000n, {}, 500_000_000n)).toBe(150 + 900);
    expect(limit(8n * GIB, {}, 100n * GIB)).toBe(116 * 150 + 900);
  });

  test("is none with 0, and with post-copy; twice where the guest is paused rather than given up", () => {
    expect(limit(GIB, { completionTimeoutPerGiB: 0 })).toBe(0);
    expect(limit(GIB, { completionTimeoutPerGiB: 0, allowWorkloadDisruption: true })).toBe(0);
    expect(limit(GIB, { allowPostCopy: true, allowWorkloadDisruption: true })).toBe(0);
    expect(limit(GIB, { allowWorkloadDisruption: true })).toBe(2 * 300 + 900);
  });
});
