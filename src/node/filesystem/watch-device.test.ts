import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createNodeSystem, type NodeSystem } from "../../host/system.ts";
import { silentLogger } from "../../observability/log.ts";
import { watchDevice } from "./watch-device.ts";

const GONE = AbortSignal.abort();

describe("long work on a device", () => {
  let root: string;
  let seconds: number;
  let lines: Record<string, unknown>[];
  /** Runs at each look of the watch. */
  let each: () => void;
  let system: NodeSystem;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "rds-csi-watch-"));
    [seconds, lines, each] = [0, [], () => {}];
    const clock = {
      now: () => seconds * 1_000,
      monotonic: () => seconds * 1_000,
      sleep: async (ms: number, signal?: AbortSignal) => {
        signal?.throwIfAborted();
        seconds += ms / 1_000;
        each();
        await new Promise((resolve) => setImmediate(resolve));
      },
    };
    const info = (message: string, fields: object = {}) => lines.push({ message, ...fields });
    system = createNodeSystem({ sysRoot: root, clock, logger: { ...silentLogger, info } });
  });
  afterEach(() => rmSync(root, { recursive: true }));

  /** As the kernel shows it: write requests and sectors among the others. */
  const count = (device: string, requests: number) => {
    mkdirSync(join(root, "class/block", device), { recursive: true });
    const stat = `0 0 0 0 ${requests} 0 ${requests * 8} 0 0 0 0 0 0 0 0 0 0\n`;
    writeFileSync(join(root, "class/block", device, "stat"), stat);
  };
  const about = { program: "mkfs.ext4" };
  /** Work that ends at this second of the clock, or when it is given up. */
  const workUntil = (end: number) => (signal: AbortSignal) =>
    new Promise<string>((resolve, reject) => {
      const look = () => {
        if (signal.aborted) reject(signal.reason);
        else if (seconds >= end) resolve("done");
        else setImmediate(look);
      };
      look();
    });

  test("hours are fine while the device moves, and the log says how far it is", async () => {
    count("nvme0n1", 0);
    each = () => count("nvme0n1", seconds);
    expect(await watchDevice(system, "nvme0n1", about, GONE, workUntil(7_200))).toBe("done");
    expect(lines.length).toBeGreaterThan(400);
    expect(lines[3]).toEqual({
      message: "still at work",
      program: "mkfs.ext4",
      seconds: 60,
      writtenBytes: String(60 * 8 * 512),
    });
  });

  test("it stands still, but the caller waits: not given up", async () => {
    count("nvme0n1", 0);
    each = () => count("nvme0n1", Math.min(seconds, 300));
    const waiting = new AbortController().signal;
    expect(await watchDevice(system, "nvme0n1", about, waiting, workUntil(7_200))).toBe("done");
  });

  test("a device that has moved and stands still for ten minutes: given up", async () => {
    count("nvme0n1", 0);
    each = () => count("nvme0n1", Math.min(seconds, 300));
    const work = watchDevice(system, "nvme0n1", about, GONE, workUntil(100_000));
    await expect(work).rejects.toMatchObject({ id: "deadlineExceeded" });
    expect(seconds).toBeGreaterThanOrEqual(900);
    expect(seconds).toBeLessThan(1_000);
  });

  test("kernels that count only on the paths of a device: they are counted", async () => {
    count("nvme0n1", 0);
    count("nvme0n2", 0);
    each = () => {
      count("nvme0c1n1", Math.min(seconds, 300));
      count("nvme0n2", seconds);
    };
    const work = watchDevice(system, "nvme0n1", about, GONE, workUntil(100_000));
    await expect(work).rejects.toMatchObject({ id: "deadlineExceeded" });
    expect(lines.at(-1)).toMatchObject({ writtenBytes: String(300 * 8 * 512) });
  });

  test("a kernel that counts nothing: not given up", async () => {
    expect(await watchDevice(system, "nvme0n1", about, GONE, workUntil(7_200))).toBe("done");
  });

  test("what the work throws is passed on, and the watch ends", async () => {
    const work = watchDevice(system, "nvme0n1", about, GONE, () => Promise.reject(new Error("boom")));
    await expect(work).rejects.toThrow("boom");
    const before = lines.length;
    await new Promise((resolve) => setImmediate(resolve));
    expect(lines).toHaveLength(before);
  });
});
