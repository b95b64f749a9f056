import { DriverError } from "../domain/errors/driver-error.ts";
import { ros, type Script } from "../routeros/script.ts";
import { disksOf, type RdsContext, runChecked } from "./context.ts";
import { disks } from "./disk.ts";
import { isSafePath } from "./layout.ts";
import { isMountedPool } from "./pool.ts";
import { readSum, sumBelow } from "./space.ts";

/** The space of a mounted pool. Bytes. */
export interface PoolReport {
  readonly slot: string;
  /** Label of its filesystem. */
  readonly label: string;
  readonly fs: string;
  readonly sizeBytes: bigint;
  readonly freeBytes: bigint;
  /** Sizes of the file disks on it together, of any installation; undefined: not known. */
  readonly promisedBytes: bigint | undefined;
}

/** Most pools whose file disks are added up: the line stays below 4 KiB. */
const MOST_SUMS = 6;
/** How long a device that could not add up is not asked for it. Milliseconds. */
const REST_MS = 10 * 60_000;

type PoolContext = Pick<RdsContext, "client" | "clock" | "defaultPool">;

/** Reports the space of every mounted pool, again and again. */
export class PoolReporter {
  readonly #context: PoolContext;
  readonly #ready: (signal: AbortSignal) => Promise<unknown>;
  /** Mount points as of the last report: the command has to name them. */
  #mountPoints: readonly string[];
  #sumsFrom = 0;

  /** @param ready awaited before each report */
  constructor(context: PoolContext, ready: (signal: AbortSignal) => Promise<unknown>) {
    this.#context = context;
    this.#ready = ready;
    // The mount point of a pool is its slot, unless somebody has changed it.
    this.#mountPoints = context.defaultPool === undefined ? [] : [context.defaultPool];
  }

  /**
   * Every mounted pool, by slot. One command; a second one on a device that cannot add up, at most every ten minutes. The promised bytes of a pool
   * that was not mounted at the last report are not known yet.
   */
  async report(signal: AbortSignal): Promise<readonly PoolReport[]> {
    await this.#ready(signal);
    const { clock } = this.#context;
    const wanted = clock.monotonic() < this.#sumsFrom ? [] : this.#mountPoints;
    const mountPoints = wanted.filter((each) => isSafePath(each)).slice(0, MOST_SUMS);
    const found = await this.#read(mountPoints, signal).catch((error: unknown) => {
      // The command with sums is answered by no other error on a device that cannot run it.
      if (mountPoints.length === 0 || !(error instanceof DriverError) || !FALLS_BACK.has(error.id))
        throw error;
      this.#sumsFrom = clock.monotonic() + REST_MS;
      return this.#read([], signal);
    });
    this.#mountPoints = found.map(({ mountPoint }) => mountPoint);
    return found.map(({ mountPoint: _, ...report }) => report);
  }

  async #read(
    mountPoints: readonly string[],
    signal: AbortSignal,
  ): Promise<(PoolReport & { readonly mountPoint: string })[]> {
    // Each in a scope of its own, as they use the same names.
    const sums = mountPoints.map(
      (mountPoint, at): Script => ros`:if (true) do={ ${sumBelow(mountPoint, [], `-${at}`)} }; `,
    );
    const outcome = await runChecked(this.#context, {
      what: "read the pools",
      purpose: "read",
      listing: disks(ros`mounted`),
      body: (rows) => ros`${sums.reduce((all, each) => ros`${all}${each}`, ros``)}${rows}`,
      signal,
      coalesceKey: `pools:${mountPoints.join("|")}`,
    });
    return disksOf(outcome)
      .filter(isMountedPool)
      .toSorted((a, b) => (a.slot < b.slot ? -1 : 1))
      .map(({ slot, fsLabel: label, fs, size: sizeBytes, free: freeBytes, mountPoint }) => {
        const at = mountPoints.indexOf(mountPoint);
        const files = at < 0 ? undefined : readSum(outcome.reply, new Set(), 0, `-${at}`);
        return { slot, label, fs, sizeBytes, freeBytes, promisedBytes: files?.allocated, mountPoint };
      });
  }
}

/** Errors of a device that cannot add up, or takes too long for it. */
const FALLS_BACK: ReadonlySet<string> = new Set(["commandRejected", "rdsSilent"]);
