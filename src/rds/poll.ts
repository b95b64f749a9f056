import { backoffDelay } from "../domain/backoff.ts";
import type { Clock } from "../domain/clock.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { Purpose } from "../routeros/transport/transport.ts";
import type { RdsContext } from "./context.ts";
import type { Disk } from "./disk.ts";
import { findDisk } from "./lookup.ts";

/** How long the RDS may take until a change shows; milliseconds. */
export const SETTLE_LIMIT_MS = 12_000;
const PAUSES = { firstMs: 50, maxMs: 1_000 };

/**
 * Reads until a condition holds, with growing pauses.
 * @param first the value of an earlier read
 * @returns the last value; the caller checks it again, as the time may have run out
 */
export async function pollUntil<T>(
  clock: Clock,
  signal: AbortSignal,
  first: T,
  read: () => Promise<T>,
  settled: (value: T) => boolean,
  limitMs = SETTLE_LIMIT_MS,
): Promise<T> {
  const end = clock.monotonic() + limitMs;
  let value = first;
  for (let reads = 1; !settled(value) && clock.monotonic() < end; reads += 1) {
    await clock.sleep(backoffDelay(reads, PAUSES), signal);
    value = await read();
  }
  return value;
}

/** As pollUntil, for the disk with a slot. @param lane as of `findDisk` @param limitMs milliseconds */
export function pollDisk(
  context: RdsContext,
  id: VolumeId,
  signal: AbortSignal,
  first: Disk | undefined,
  settled: (disk: Disk | undefined) => boolean,
  lane?: Purpose,
  limitMs?: number,
): Promise<Disk | undefined> {
  const read = () => findDisk(context, id, signal, lane);
  return pollUntil(context.clock, signal, first, read, settled, limitMs);
}
