import { readFileSync } from "node:fs";

/** Longest time that a process may not answer, milliseconds. */
const FREEZE_MS = 1_000;
const EVERY_MS = 50;
/** A busy machine lets a process wait; then it does not compute either. Milliseconds of processor time. */
const BUSY_MS = 700;
/** An answer that takes longer than so many pauses of this process is one that does not come. A busy machine makes them longer. */
const DEAD_TICKS = 200;

/** Processor time of a process so far, milliseconds. Source: proc(5), /proc/PID/stat, utime and stime in 1/100 s. */
function processorMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** Watches whether a process answers, as long as it is asked to. */
export interface FreezeWatch {
  /** Ends it; the freezes that were seen, in words. */
  end(): Promise<readonly string[]>;
}

/**
 * Asks again and again, with a pause between. A late answer is a freeze only if the process was computing meanwhile, or if it is
 * very late: other processes of a busy machine must not make the test fail.
 * @param ask resolves when the process has answered
 */
export function watchFreezes(name: string, pid: number, ask: () => Promise<unknown>): FreezeWatch {
  const seen: string[] = [];
  let ended = false;
  let ticks = 0;
  const ticking = setInterval(() => (ticks += 1), EVERY_MS);
  const run = async () => {
    while (!ended) {
      const [begun, used, from] = [performance.now(), processorMs(pid), ticks];
      await ask();
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
      // The pause is measured too: it shows the freezes of this process itself.
      const took = performance.now() - begun - EVERY_MS;
      const computed = processorMs(pid) - used;
      if ((took > FREEZE_MS && computed > BUSY_MS) || ticks - from > DEAD_TICKS)
        seen.push(`${name} did not answer for ${Math.round(took)} ms, of which it computed ${computed} ms`);
    }
  };
  const running = run();
  return {
    end: async () => {
      ended = true;
      await running;
      clearInterval(ticking);
      return seen;
    },
  };
}
