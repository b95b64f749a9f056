import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { emitted } from "./canary.ts";
import { noteProcess } from "./leftovers.ts";

/** One running `rds-csi` process. */
export interface Running {
  readonly name: string;
  readonly pid: number;
  /** Exit code, or signal name; undefined while it runs. */
  ended(): string | undefined;
  /** SIGTERM and wait; the exit code. */
  stop(): Promise<string>;
  /** SIGKILL and wait. */
  kill(): Promise<void>;
  /** Waits for its end; the exit code. */
  wait(): Promise<string>;
  signal(which: NodeJS.Signals): void;
}

/** The surroundings of a program; `env` is all of its environment, PATH by default. */
export interface Surroundings {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** Runs a program to its end. */
export function capture(
  program: string,
  args: readonly string[],
  { env = { PATH: process.env.PATH ?? "" }, cwd }: Surroundings = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env, cwd });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (data) => (stdout += data));
    child.stderr.on("data", (data) => (stderr += data));
    child.on("error", reject);
    child.on("close", (code) => {
      emitted("programs", `${stdout}${stderr}`);
      resolve({ code: code ?? -1, stdout, stderr });
    });
  });
}

/** Starts a process of the stand; its output goes to `<directory>/<name>.log`. */
export async function launch(
  executable: string,
  name: string,
  args: readonly string[],
  directory: string,
): Promise<Running> {
  const log = createWriteStream(join(directory, `${name}.log`), { flags: "a" });
  const child: ChildProcess = spawn(executable, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env.PATH ?? "", TMPDIR: directory },
  });
  child.stdout?.pipe(log, { end: false });
  child.stderr?.pipe(log, { end: false });
  let ended: string | undefined;
  const end = new Promise<string>((resolve) => {
    const finish = (how: string) => {
      ended = how;
      resolve(how);
    };
    child.on("error", (error) => finish(error.message));
    child.on("exit", (code, signal) => finish(signal ?? String(code)));
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${executable} cannot be started: ${await end}`);
  await noteProcess(directory, pid);
  const signal = (which: NodeJS.Signals) => {
    if (ended === undefined) process.kill(pid, which);
  };
  return {
    name,
    pid,
    ended: () => ended,
    stop: async () => {
      signal("SIGTERM");
      const force = setTimeout(() => signal("SIGKILL"), 10_000);
      const result = await end;
      clearTimeout(force);
      log.end();
      return result;
    },
    kill: async () => {
      signal("SIGKILL");
      await end;
    },
    wait: () => end,
    signal,
  };
}
