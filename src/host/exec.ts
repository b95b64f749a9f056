import { Buffer } from "node:buffer";
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { clearTimeout, setTimeout } from "node:timers";
import { cancelledBy, DriverError, failure } from "../domain/errors/driver-error.ts";
import { TOOL_PATH, type ToolName } from "./tools.ts";

/** A program run, without a shell. */
export interface Command<Program extends string = ToolName> {
  /** Looked up in a fixed PATH, or an absolute path. */
  readonly program: Program;
  readonly args: readonly string[];
  /** After so many milliseconds the whole process group is killed and the call settles. */
  readonly deadlineMs: number;
  /** It is killed as well after so many milliseconds without output. */
  readonly quietMs?: number;
  readonly signal?: AbortSignal | undefined;
  /** Largest kept output per stream in bytes (default 1 MiB); the rest is dropped and `truncated` is set. */
  readonly maxOutputBytes?: number;
}

/** How a program ended. `code` is null if a signal ended it. */
export interface ExecResult {
  readonly code: number | null;
  /** The signal that ended it, e.g. `SIGKILL`. */
  readonly signal?: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly truncated: boolean;
}

/**
 * Runs a program. A non-zero exit code is a result, not an error.
 * @throws toolMissing; deadlineExceeded; the signal's reason if that is a DriverError, else cancelled
 */
export type Exec = (command: Command) => Promise<ExecResult>;

/** The only environment that programs see: a fixed language, as their texts are parsed, and a fixed PATH. */
const ENVIRONMENT = { LC_ALL: "C", PATH: TOOL_PATH.join(":") };
const DEFAULT_MAX_OUTPUT = 1024 * 1024;
/** Longest wait for the end of a killed process; then it is left behind. */
const KILL_GRACE_MS = 300;
/** Longest wait for the output of an ended process: a grandchild may hold the pipe open. */
const DRAIN_MS = 300;

/**
 * The real Exec. A process in uninterruptible sleep cannot be killed, not even by SIGKILL; the call settles at its
 * deadline anyway and leaves the process to the kernel.
 */
export const exec = async (command: Command<string>): Promise<ExecResult> => {
  const { signal } = command;
  if (signal?.aborted) throw cancelledBy(signal, describe(command));
  const child = startProgram(command, "ignore");
  const stdout = collect(child.stdout, command.maxOutputBytes ?? DEFAULT_MAX_OUTPUT);
  const stderr = collect(child.stderr, command.maxOutputBytes ?? DEFAULT_MAX_OUTPUT);
  return await bounded<ExecResult>(child, command, (call) => {
    const ended = (code: number | null, endedBy: string | null) => {
      const [out, err] = [stdout(), stderr()];
      const truncated = out.truncated || err.truncated;
      const by = endedBy === null ? {} : { signal: endedBy };
      call.settle({ code, ...by, stdout: out.text, stderr: err.text, truncated });
    };
    for (const stream of [child.stdout, child.stderr]) stream?.on("data", call.signOfLife);
    child.once("error", (error) => call.settle(notStarted(command, error)));
    child.once("close", (code, by) => ended(code, by));
    child.once("exit", (code, by) => call.settleWithin(DRAIN_MS, () => ended(code, by)));
  }).finally(() => {
    child.stdout?.destroy();
    child.stderr?.destroy();
    child.unref();
  });
};

/** A program that was started. */
export type Child = ChildProcess;

/**
 * Starts a program as the leader of a process group of its own, its output in pipes.
 * @throws toolMissing, nodeCommandFailed: some errors of the start come at once, others as the event `error`
 */
export function startProgram(
  command: Pick<Command<string>, "program" | "args">,
  stdin: "ignore" | "pipe",
): Child {
  try {
    return spawn(command.program, [...command.args], {
      cwd: "/",
      env: ENVIRONMENT,
      detached: true,
      stdio: [stdin, "pipe", "pipe"],
    });
  } catch (error) {
    throw notStarted(command, error as NodeJS.ErrnoException);
  }
}

/** The side of a process in a call that ends in time whatever the process does. */
export interface BoundedCall<T> {
  /** Ends the call; later calls have no effect. A call that was stopped ends with the reason for that. */
  settle(result: T | DriverError): void;
  /** The process has ended: `settle` is called at once if the call was stopped, else after so many milliseconds, without a deadline. */
  settleWithin(ms: number, settle: () => void): void;
  /** Begins `quietMs` anew. */
  signOfLife(): void;
}

/**
 * Waits for a process, but at most until the command's deadline, until the caller goes, or until the process has been silent for too
 * long. Then its process group is killed. A process that is still there a moment later is left behind.
 * @throws deadlineExceeded; the signal's reason if that is a DriverError, else cancelled; the error that settle() gets
 */
export function bounded<T>(
  child: ChildProcess,
  command: Command<string>,
  watch: (call: BoundedCall<T>) => void,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const { signal, quietMs } = command;
    let stopped: DriverError | undefined;
    let settled = false;
    const late = (ms: number) => () =>
      stop(failure("deadlineExceeded", { what: describe(command), seconds: round(ms / 1000) }));
    let timer = setTimeout(late(command.deadlineMs), command.deadlineMs);
    let quiet: ReturnType<typeof setTimeout> | undefined;
    const signOfLife = () => {
      clearTimeout(quiet);
      if (quietMs !== undefined && stopped === undefined && !settled)
        quiet = setTimeout(late(quietMs), quietMs);
    };
    signOfLife();
    const onAbort = () => signal !== undefined && stop(cancelledBy(signal, describe(command)));
    signal?.addEventListener("abort", onAbort, { once: true });

    const settle = (result: T | DriverError) => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      clearTimeout(quiet);
      signal?.removeEventListener("abort", onAbort);
      const end = stopped ?? result;
      if (end instanceof DriverError) reject(end);
      else resolve(end);
    };
    const stop = (reason: DriverError) => {
      if (stopped !== undefined || settled) return;
      stopped = reason;
      killGroup(child);
      clearTimeout(timer);
      clearTimeout(quiet);
      timer = setTimeout(() => settle(reason), KILL_GRACE_MS);
    };
    const settleWithin = (ms: number, end: () => void) => {
      if (stopped !== undefined || settled) return end();
      clearTimeout(timer);
      timer = setTimeout(end, ms);
    };
    watch({ settle, settleWithin, signOfLife });
  });
}

/** The error of a program that could not be started. */
export function notStarted(
  command: Pick<Command<string>, "program" | "args">,
  error: NodeJS.ErrnoException,
): DriverError {
  return error.code === "ENOENT"
    ? failure("toolMissing", { tool: command.program }, error)
    : failure("nodeCommandFailed", { what: describe(command), detail: error.message }, error);
}

/**
 * Runs a program that has to succeed.
 * @param failed makes the error from the complaint of a program that ended otherwise than with 0
 * @throws what `failed` makes; as Exec
 */
export async function succeed(
  run: Exec,
  command: Command,
  failed: (detail: string) => DriverError,
): Promise<ExecResult> {
  const result = await run(command);
  if (result.code !== 0) throw failed(complaint(result));
  return result;
}

/** Name and first operands of a command, for messages. The node's commands hold no secrets. */
export function describe(command: Pick<Command<string>, "program" | "args">): string {
  return `\`${[command.program, ...command.args].join(" ").slice(0, 200)}\``;
}

/**
 * The output of a failed program, for messages; of a long one the beginning and the end. Some programs give the reason first and
 * then their usage, which is left out, others end with the reason.
 */
export function complaint(result: ExecResult): string {
  const all = result.stderr.trim() || result.stdout.trim();
  // First cut, then searched: a megabyte of blanks would take minutes.
  const ends = all.length <= 8_192 ? all : `${all.slice(0, 4_096)}\n${all.slice(-4_096)}`;
  const said = ends.replace(/(?<=\S)\s*\nusage:[\s\S]*$/i, "");
  const line = said.replace(/\s*\n\s*/g, " / ");
  const text = line.length <= 500 ? line : `${line.slice(0, 250)} … ${line.slice(-250)}`;
  const end = result.code === null ? `ended by ${result.signal ?? "a signal"}` : `exit code ${result.code}`;
  return `${text || "no message"} (${end})`;
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // It ended by itself in this moment.
  }
}

function collect(stream: ChildProcess["stdout"], limit: number): () => { text: string; truncated: boolean } {
  const chunks: Buffer[] = [];
  let size = 0;
  let truncated = false;
  stream?.on("data", (chunk: Buffer) => {
    const room = limit - size;
    if (chunk.length > room) truncated = true;
    if (room > 0) chunks.push(chunk.subarray(0, room));
    size += Math.min(chunk.length, Math.max(room, 0));
  });
  stream?.on("error", () => {
    truncated = true;
  });
  return () => ({ text: Buffer.concat(chunks).toString("utf8"), truncated });
}

function round(seconds: number): number {
  return Math.round(seconds * 10) / 10;
}
