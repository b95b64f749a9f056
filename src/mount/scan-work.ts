import { processAt } from "./processes.ts";

/** The process with the most entries of a scan. */
export interface Heaviest {
  readonly pid: number;
  /** Descriptors, mappings and mounts of it that were looked at. */
  readonly entries: number;
}

/**
 * Counts the work of a scan. Pods decide on its size: each may have millions of descriptors, mappings or mounts, and none may
 * be left out, as any descriptor can be handed on to any process. So the scan reports its progress, its caller waits as long
 * as it moves, and a scan that gives up names the process with the most entries.
 */
export interface ScanWork {
  /**
   * Counts entries of a process before they are looked at.
   * @throws ScanOverrun when the time is over
   */
  count(pid: number, entries?: number): void;
  /** All entries so far. */
  total(): number;
  /** The reason for which the scan gave up, in words; undefined while it is within its time. */
  overrun(): string | undefined;
}

/** Thrown when a scan has to give up. */
export class ScanOverrun extends Error {}

/** Entries between two looks at the clock. */
const STRIDE = 16_384;

export interface ScanWorkOptions {
  readonly procRoot?: string;
  /** Milliseconds that the whole scan may take. */
  readonly limitMs?: number;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
  /** Entries between two looks at the clock. */
  readonly stride?: number;
  /** Called at each of these looks with the process that has the most so far, in words. */
  readonly progress?: (text: string) => void;
}

/** The work of one scan, or of several that share their time. */
export function createScanWork({
  procRoot = "/proc",
  limitMs = Number.POSITIVE_INFINITY,
  now = () => performance.now(),
  stride = STRIDE,
  progress = () => {},
}: ScanWorkOptions = {}): ScanWork {
  const began = now();
  const entriesOf = new Map<number, number>();
  let heaviest: Heaviest = { pid: 0, entries: 0 };
  let [all, next] = [0, stride];
  let overrun: string | undefined;
  const who = () => {
    const { command } = processAt(`${procRoot}/${heaviest.pid}`);
    return `process ${heaviest.pid} (${command}) has ${heaviest.entries} of ${all} descriptors, mappings and mounts so far`;
  };
  return {
    count: (pid, entries = 1) => {
      const sum = (entriesOf.get(pid) ?? 0) + entries;
      entriesOf.set(pid, sum);
      all += entries;
      if (sum > heaviest.entries) heaviest = { pid, entries: sum };
      if (all < next) return;
      next = all + stride;
      progress(who());
      if (now() - began <= limitMs) return;
      overrun ??= `they are too many to be looked at within ${limitMs / 1000} s: ${who()}; end it`;
      throw new ScanOverrun(overrun);
    },
    total: () => all,
    overrun: () => overrun,
  };
}
