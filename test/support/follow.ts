import { spawn } from "node:child_process";
import process from "node:process";
import { emitted } from "./canary.ts";
import { noteProcess } from "./leftovers.ts";

/** A program whose output is read while it runs. */
export interface Followed {
  readonly pid: number;
  /** What it wrote so far. */
  stdout(): string;
  stderr(): string;
  /** The complete lines of its standard output so far. */
  lines(): string[];
  /** Exit code, or signal name; undefined while it runs. */
  ended(): string | undefined;
  /** Sends a signal and waits for the end, which SIGKILL brings about after 10 s; exit code, or signal name. */
  end(signal: NodeJS.Signals): Promise<string>;
}

/**
 * Starts a program with nothing but PATH in its environment.
 * @param directory of the stand that it is used with, where it is noted: what a test leaves behind is ended later
 */
export async function follow(program: string, args: readonly string[], directory: string): Promise<Followed> {
  const child = spawn(program, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env.PATH ?? "" },
  });
  const [written, ended] = [{ out: "", err: "" }, { how: undefined as string | undefined }];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    written.out += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    written.err += text;
  });
  const end = new Promise<string>((resolve) => {
    const finish = (how: string) => {
      ended.how = how;
      emitted("programs", `${written.out}${written.err}`);
      resolve(how);
    };
    child.on("error", (error) => finish(error.message));
    child.on("close", (code, signal) => finish(signal ?? String(code)));
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${program} cannot be started: ${await end}`);
  await noteProcess(directory, pid);
  return {
    pid,
    stdout: () => written.out,
    stderr: () => written.err,
    lines: () => written.out.split("\n").slice(0, -1),
    ended: () => ended.how,
    end: async (signal) => {
      if (ended.how === undefined) child.kill(signal);
      const force = setTimeout(() => child.kill("SIGKILL"), 10_000);
      const how = await end;
      clearTimeout(force);
      return how;
    },
  };
}
