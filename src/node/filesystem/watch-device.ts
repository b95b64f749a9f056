import { readdir } from "node:fs/promises";
import { failure } from "../../domain/errors/driver-error.ts";
import { readAttribute } from "../../host/block-device.ts";
import type { NodeSystem } from "../../host/system.ts";

/** Between two looks, milliseconds. */
const LOOK_MS = 15_000;
/** A device that has moved and then stands still for so long is not coming back soon. */
const STALLED_MS = 600_000;
const SECTOR = 512n;

interface Counters {
  /** Requests that have ended: reads, writes, discards, flushes. */
  readonly requests: bigint;
  readonly writtenBytes: bigint;
}

/**
 * Runs long work on a device and logs its progress. The work is given up once the caller has gone and the device has stood
 * still for ten minutes, as it does while its connection is down. Where a kernel counts no requests it is never given up.
 * @param name kernel name of the device, e.g. `nvme0n1`
 * @param about fields of the log lines
 * @param caller the signal of the call; its abort alone ends nothing
 * @param work gets the signal by which it is given up
 * @throws deadlineExceeded when given up; the errors of the work
 */
export async function watchDevice<T>(
  system: NodeSystem,
  name: string,
  about: Readonly<Record<string, string>>,
  caller: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { clock, logger } = system;
  const [ended, givenUp] = [new AbortController(), new AbortController()];
  const watch = async () => {
    const began = clock.monotonic();
    const first = await countersOf(system.sysRoot, name);
    let [last, lastMoved, moved] = [first, began, false];
    while (!ended.signal.aborted) {
      await clock.sleep(LOOK_MS, ended.signal);
      const now = await countersOf(system.sysRoot, name);
      const time = clock.monotonic();
      if (now.requests !== last.requests) [lastMoved, moved] = [time, true];
      last = now;
      const seconds = Math.round((time - began) / 1_000);
      const writtenBytes = String(now.writtenBytes - first.writtenBytes);
      logger.info("still at work", { ...about, seconds, writtenBytes });
      if (!moved || time - lastMoved < STALLED_MS || caller?.aborted !== true) continue;
      const what = `${about.program ?? "the work"} on a device that has stood still for ${STALLED_MS / 1_000} s`;
      return givenUp.abort(failure("deadlineExceeded", { what, seconds }));
    }
  };
  // An error of the watch, also the end of its sleep, is no failure of the work.
  const watching = watch().catch(() => {});
  try {
    return await work(givenUp.signal);
  } finally {
    ended.abort();
    await watching;
  }
}

/**
 * The kernel's counters of a device and, with several paths, of its paths: kernels before 6.4 count only there. Source: kernel documentation, block/stat; nvme multipath names its paths `nvme0c1n1`.
 */
async function countersOf(sysRoot: string, name: string): Promise<Counters> {
  const directory = `${sysRoot}/class/block`;
  const head = /^nvme(\d+)n(\d+)$/.exec(name);
  const path = head === null ? undefined : new RegExp(`^nvme${head[1]}c\\d+n${head[2]}$`);
  const names = await readdir(directory).catch(() => []);
  let [requests, writtenBytes] = [0n, 0n];
  for (const each of names.filter((found) => found === name || path?.test(found))) {
    const fields = ((await readAttribute(`${directory}/${each}/stat`)) ?? "").trim().split(/\s+/);
    const at = (index: number) => (/^\d+$/.test(fields[index] ?? "") ? BigInt(fields[index] ?? 0) : 0n);
    requests += at(0) + at(4) + at(11) + at(15);
    const written = at(6) * SECTOR;
    if (written > writtenBytes) writtenBytes = written;
  }
  return { requests, writtenBytes };
}
