import type { Clock } from "../../src/domain/clock.ts";
import { silentLogger } from "../../src/observability/log.ts";
import type { Backend } from "../../src/simulator/backend/backend.ts";
import { memoryBackend } from "../../src/simulator/backend/memory.ts";
import { type LineResult, runLine } from "../../src/simulator/console/line-runner.ts";
import { Device } from "../../src/simulator/device/device.ts";
import { DEFAULT_POOL, type PoolOptions } from "../../src/simulator/device/pools.ts";
import { DRIVER_POLICIES, type Policy } from "../../src/simulator/device/users.ts";
import type { FaultAction } from "../../src/simulator/faults.ts";
import { Mutex, Turns } from "../../src/simulator/mutex.ts";
import { DEFAULT_SWITCHES, type Switches } from "../../src/simulator/switches.ts";

/** A clock that stands still until it is told to go on; sleeping advances it. */
export class TestClock implements Clock {
  #now = Date.UTC(2026, 10, 22);
  now(): number {
    return this.#now;
  }
  monotonic(): number {
    return this.#now;
  }
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.#now += ms;
  }
  advance(ms: number): void {
    this.#now += ms;
  }
}

export interface TestConsole {
  readonly device: Device;
  readonly clock: TestClock;
  readonly switches: Switches;
  readonly background: Promise<void>[];
  /** Runs a line and gives everything about it. */
  line(
    text: string,
    more?: { policies?: readonly Policy[]; faults?: readonly FaultAction[] },
  ): Promise<LineResult>;
  /** Runs a line that must succeed; its output with "\n" between the lines. */
  put(text: string): Promise<string>;
  /** Runs a line that must fail; its error text. */
  fail(text: string): Promise<string>;
  /** The rows of /disk, through the console. */
  rows(where: string): Promise<Record<string, unknown>[]>;
}

/** A console without SSH around it. */
export async function testConsole(
  options: {
    switches?: Partial<Switches>;
    pools?: readonly PoolOptions[];
    backend?: Backend;
    width?: number;
  } = {},
): Promise<TestConsole> {
  const switches: Switches = { ...DEFAULT_SWITCHES, ...options.switches };
  const clock = new TestClock();
  const device = new Device({
    clock,
    backend: options.backend ?? memoryBackend(),
    logger: silentLogger,
    switches: () => switches,
    changed: () => {},
  });
  for (const pool of options.pools ?? [DEFAULT_POOL]) await device.openPool(pool);
  const mutex = new Mutex();
  const background: Promise<void>[] = [];
  const line: TestConsole["line"] = (text, more = {}) =>
    runLine(text, {
      device,
      mutex,
      policies: new Set(more.policies ?? DRIVER_POLICIES),
      who: "ssh:csi@192.0.2.7",
      width: options.width ?? switches.wrapWidth,
      faults: more.faults ?? [],
      signal: new AbortController().signal,
      turns: new Turns(),
      released: async () => {},
      background: (ms, task) => void background.push(clock.sleep(ms).then(task)),
    });
  const put = async (text: string): Promise<string> => {
    const { outcome, error, output } = await line(text);
    if (outcome !== "ok") throw new Error(`${outcome}: ${error} (${text})`);
    return output.join("\n");
  };
  return {
    device,
    clock,
    switches,
    background,
    line,
    put,
    fail: async (text) => {
      const { outcome, error, output } = await line(text);
      if (outcome === "ok") throw new Error(`did not fail: ${text}: ${output.join("\n")}`);
      return error ?? "";
    },
    rows: async (where) =>
      JSON.parse(
        await put(
          `:put [:serialize to=json options=json.no-string-conversion value=[/disk/print detail as-value where ${where}]]`,
        ),
      ) as Record<string, unknown>[],
  };
}

/** A line that adds a disk of 1 MiB in the root of the default pool. */
export function addLine(slot: string, more = ""): string {
  const path = `file-path="storage-pool/${slot}.img"`;
  return `/disk/add type=file slot="${slot}" ${path} file-size=1048576 mount-filesystem=no ${more}`;
}
