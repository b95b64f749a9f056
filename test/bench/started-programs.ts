import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { hasProgram } from "../support/executable.ts";
import { until } from "../support/until.ts";

/** Why the kernel's count of started programs cannot be had; "" if it can. */
export const noStrace: string = hasProgram("strace") ? "" : "(skipped: strace not installed)";

/**
 * The programs that a process and its descendants start while `work` runs, as the kernel sees it: strace shows each execve(2) that
 * succeeded. `work` is slower meanwhile. Counting begins when the process has no children: a helper process that waits would be
 * used again.
 * @returns base names, in the order of their start
 */
export async function startedPrograms(pid: number, work: () => Promise<unknown>): Promise<string[]> {
  await until(`process ${pid} has no children`, async () => !(await hasChildren(pid)));
  const directory = await mkdtemp(join(tmpdir(), "rb-"));
  const file = join(directory, "trace");
  const strace = spawn(
    "strace",
    ["-f", "-e", "trace=execve", "-e", "signal=none", "-o", file, "-p", `${pid}`],
    {
      stdio: ["ignore", "ignore", "pipe"],
    },
  );
  const ended = once(strace, "close");
  try {
    let said = "";
    await new Promise<void>((resolve, reject) => {
      strace.on("error", reject);
      strace.on("close", () => reject(new Error(`strace ended: ${said}`)));
      strace.stderr.setEncoding("utf8").on("data", (text: string) => {
        said += text;
        if (said.includes(`Process ${pid} attached`)) resolve();
      });
    });
    await work();
  } finally {
    strace.kill("SIGINT");
    await ended;
  }
  const trace = await readFile(file, "utf8");
  await rm(directory, { recursive: true });
  return programsOf(trace);
}

/** Whether a process has children, by the field ppid of proc(5). */
async function hasChildren(pid: number): Promise<boolean> {
  for (const name of (await readdir("/proc")).filter((entry) => /^\d+$/.test(entry))) {
    const text = await readFile(`/proc/${name}/stat`, "utf8").catch(() => "");
    if (text.slice(text.lastIndexOf(")") + 2).split(" ")[1] === String(pid)) return true;
  }
  return false;
}

/** Reads the output of `strace -f -o`: a call that another thread interrupts is on two lines. */
export function programsOf(trace: string): string[] {
  const begun = new Map<string, string>();
  const found: string[] = [];
  for (const line of trace.split("\n")) {
    const [, thread = "", path] = /^(\d+) +execve\("([^"]+)"/.exec(line) ?? /^(\d+) /.exec(line) ?? [];
    if (path !== undefined) begun.set(thread, path);
    // The thread that executes takes the number of its process: strace says so on the line that resumes.
    if (/\) += 0$/.test(line) && line.includes("execve")) found.push(basename(begun.get(thread) ?? "?"));
  }
  return found;
}
