import { spawn } from "node:child_process";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";

export interface RunOptions {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds, a minute if not given. */
  readonly timeoutMs?: number;
}

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, whatever its exit code; it is killed at the deadline. */
export function attempt(program: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { input = "", env = {}, timeoutMs = 60_000 } = options;
  return new Promise((resolve) => {
    const child = spawn(program, [...args], {
      env: { ...process.env, ...env },
      stdio: ["pipe", "pipe", "pipe"],
      timeout: timeoutMs,
      killSignal: "SIGKILL",
    });
    const output = { stdout: "", stderr: "" };
    child.stdout.setEncoding("utf8").on("data", (data: string) => {
      output.stdout += data;
    });
    child.stderr.setEncoding("utf8").on("data", (data: string) => {
      output.stderr += data;
    });
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    child.on("error", (error) => resolve({ code: 127, stdout: "", stderr: error.message }));
    child.on("close", (code) => resolve({ code: code ?? 128, ...output }));
  });
}

/** Runs a program that has to succeed. @returns its standard output */
export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { code, stdout, stderr } = await attempt(program, args, options);
  if (code !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${code}: ${stderr.trim()}`);
  return stdout;
}

export interface UntilOptions {
  /** Milliseconds, two minutes if not given: a busy computer takes its time. */
  readonly timeoutMs?: number;
  readonly pauseMs?: number;
  /** Says what was there at the end. */
  readonly explain?: () => Promise<string> | string;
}

/**
 * Asks until there is an answer other than undefined and false. An error counts as no answer; the last one is in the message.
 * @throws after the time
 */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined | false> | T | undefined | false,
  { timeoutMs = 120_000, pauseMs = 100, explain }: UntilOptions = {},
): Promise<T> {
  let last = "";
  for (const end = Date.now() + timeoutMs; ; await delay(pauseMs)) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
      last = "";
    } catch (error) {
      last = `: ${String(error)}`;
    }
    if (Date.now() > end) {
      const more = explain === undefined ? "" : `\n${await explain()}`;
      throw new Error(`gave up waiting for ${what} after ${timeoutMs / 1000} s${last}${more}`);
    }
  }
}
