import { readFile } from "node:fs/promises";

/** The p-th quantile (0 to 1) of the samples, nearest rank. */
export function quantile(samples: readonly number[], p: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const value = sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(p * sorted.length) - 1))];
  if (value === undefined) throw new RangeError("no samples");
  return value;
}

export const median = (samples: readonly number[]): number => quantile(samples, 0.5);

/** Resident memory of a process in MB (10^6 bytes), as proc(5) reports it in VmRSS. */
export const residentMb = (pid: number): Promise<number> => memoryMb(pid, "status", "VmRSS");

/** The largest that its resident memory has been, MB. */
export const peakMb = (pid: number): Promise<number> => memoryMb(pid, "status", "VmHWM");

/** Its memory with shared pages divided by their users, MB. */
export const proportionalMb = (pid: number): Promise<number> => memoryMb(pid, "smaps_rollup", "Pss");

async function memoryMb(pid: number, file: string, field: string): Promise<number> {
  const text = await readFile(`/proc/${pid}/${file}`, "utf8");
  return (Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(text)?.[1]) * 1024) / 1e6;
}

/** Processor time that a process has used, seconds: utime and stime of proc(5), counted in hundredths. */
export async function processorSeconds(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Milliseconds that `work` takes. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}
