import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import process from "node:process";
import type { Io } from "./io.ts";

/** An Io that keeps what is written. */
export interface TestIo extends Io {
  readonly written: { out: string; err: string };
}

export function testIo(more: Partial<Io> = {}): TestIo {
  const written = { out: "", err: "" };
  return {
    env: {},
    out: (text) => {
      written.out += text;
    },
    err: (text) => {
      written.err += text;
    },
    columns: undefined,
    colour: false,
    stop: new AbortController().signal,
    ...more,
    written,
  };
}

/** A run of the program from source in a process of its own. */
export interface Run {
  readonly child: ChildProcess;
  readonly output: { out: string; err: string };
  /** Resolves with the exit code, or the signal's name. */
  readonly exit: Promise<number | string>;
}

/** The program's source. */
export const MAIN = join(import.meta.dirname, "../main.ts");

export function startProgram(args: readonly string[], env: Readonly<Record<string, string>> = {}): Run {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { PATH: process.env.PATH ?? "", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = { out: "", err: "" };
  child.stdout.on("data", (chunk) => {
    output.out += String(chunk);
  });
  child.stderr.on("data", (chunk) => {
    output.err += String(chunk);
  });
  const exit = once(child, "close").then(([code, signal]) => (code as number | null) ?? String(signal));
  return { child, output, exit };
}

/** Waits for a condition; the error shows the program's output. */
export async function eventually(
  run: Run,
  condition: () => boolean | Promise<boolean>,
  what: string,
): Promise<void> {
  const end = performance.now() + 20_000;
  while (!(await condition())) {
    if (performance.now() > end || run.child.exitCode !== null) {
      throw new Error(
        `${what} did not happen; exit ${run.child.exitCode}\n${run.output.out}\n${run.output.err}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
