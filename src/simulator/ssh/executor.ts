import { Buffer } from "node:buffer";
import type { Clock } from "../../domain/clock.ts";
import { type LineResult, runLine } from "../console/line-runner.ts";
import type { Device } from "../device/device.ts";
import type { FaultAction, Faults } from "../faults.ts";
import { Mutex, Turns } from "../mutex.ts";
import { windowOf } from "./connection.ts";
import type { ExecRequest } from "./server.ts";

/** One exec request as the simulator saw it. */
export interface CommandLogEntry {
  /** From 1, in the order of arrival. */
  readonly sequence: number;
  /** Number of the TCP connection and of the channel in it, both from 1. */
  readonly connection: number;
  readonly channel: number;
  readonly user: string;
  readonly line: string;
  /** Milliseconds since the epoch; `finishedAt` is undefined while the line runs. */
  readonly startedAt: number;
  readonly finishedAt: number | undefined;
  /** The text that was sent, both streams together. */
  readonly output: string;
  readonly outcome: "running" | "ok" | "runtime-error" | "parse-error" | "cut" | "refused";
  /** Whether the line changed the state of the device. */
  readonly mutated: boolean;
}

export interface ExecutorOptions {
  readonly device: Device;
  readonly faults: Faults;
  readonly clock: Clock;
  /** Aborted when the device goes down, which ends running lines. */
  down(): AbortSignal;
  readonly latencyMs: number;
  /** Called when an entry is complete. */
  logged(entry: CommandLogEntry): void;
  /** Makes the new state durable; awaited before the answer is sent. */
  saved(): Promise<void>;
  background(task: () => Promise<void>): void;
}

/** A narrower terminal than this is taken for one of this width. */
const MIN_WIDTH = 20;
/** Entries that the command log holds; the oldest go first. */
const LOG_LIMIT = 20_000;

type Entry = { -readonly [K in keyof CommandLogEntry]: CommandLogEntry[K] };

/** Runs exec requests: faults, limits, the line itself, and the answer in the form that the switches ask for. */
export class Executor {
  readonly commands: CommandLogEntry[] = [];
  readonly #options: ExecutorOptions;
  readonly #mutex = new Mutex();
  readonly #turns = new Turns();
  #sequence = 0;

  constructor(options: ExecutorOptions) {
    this.#options = options;
  }

  async exec(request: ExecRequest): Promise<void> {
    const { connection, line } = request;
    const { device, faults, clock } = this.#options;
    this.#sequence += 1;
    const entry: Entry = {
      sequence: this.#sequence,
      connection: connection.number,
      channel: request.channelNumber,
      user: connection.user?.name ?? "",
      line,
      startedAt: clock.now(),
      finishedAt: undefined,
      output: "",
      outcome: "running",
      mutated: false,
    };
    this.commands.push(entry);
    if (this.commands.length > LOG_LIMIT) this.commands.shift();
    const blocking = device.switches().parallelChannels === "second-blocks";
    const done = blocking ? await connection.turn.acquire() : () => {};
    try {
      const struck = faults.takeForLine(line);
      const result = await this.#run(request, struck);
      entry.mutated = result.mutated;
      entry.outcome = result.outcome;
      if (result.mutated) await this.#options.saved();
      const cut = result.outcome === "cut" || struck.some((one) => one.kind === "cutAfter");
      if (cut) entry.outcome = "cut";
      else entry.output = await this.#answer(request, result, struck);
      // The entry is complete before the client can see the end of its command.
      entry.finishedAt = clock.now();
      this.#options.logged(entry);
      if (cut) connection.drop();
      else this.#send(request, result, entry.output, struck);
    } finally {
      done();
    }
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    if (ms > 0 && !signal.aborted) await this.#options.clock.sleep(ms, signal).catch(() => {});
  }

  async #run(
    request: ExecRequest,
    struck: readonly FaultAction[],
  ): Promise<Omit<LineResult, "outcome"> & { outcome: CommandLogEntry["outcome"] }> {
    const { device, faults, latencyMs } = this.#options;
    const { connection } = request;
    const down = this.#options.down();
    const gone = connection.closed.signal;
    const nothing = { output: [], error: undefined, mutated: false };
    if (struck.some((one) => one.kind === "cutBefore")) return { ...nothing, outcome: "cut" };
    const released = (): Promise<void> => {
      const ended = new Promise<void>((resolve) =>
        down.addEventListener("abort", () => resolve(), { once: true }),
      );
      return Promise.race([faults.untilReleased(), ended]);
    };
    if (struck.some((one) => one.kind === "hang")) await released();
    await this.#pause(latencyMs, down);
    const switches = device.switches();
    const aborts = switches.clientDisconnect === "aborted";
    const signal = aborts ? AbortSignal.any([down, gone]) : down;
    if (signal.aborted) return { ...nothing, outcome: "cut" };
    let line = request.line;
    if (line.startsWith("-"))
      return { ...nothing, outcome: "refused", error: "bad command name - (line 1 column 1)" };
    if (switches.commandLimit > 0 && line.length > switches.commandLimit) {
      return {
        ...nothing,
        outcome: "refused",
        error: `syntax error (line 1 column ${switches.commandLimit + 1})`,
      };
    }
    const lineEnd = line.search(/[\r\n]/);
    if (lineEnd >= 0) {
      if (switches.multiLine === "syntax-error") {
        return { ...nothing, outcome: "parse-error", error: `syntax error (line 1 column ${lineEnd + 1})` };
      }
      line = line.slice(0, lineEnd);
    }
    const result = await runLine(line, {
      device,
      mutex: this.#mutex,
      turns: this.#turns,
      released,
      policies: connection.user?.policies ?? new Set(),
      who: `ssh:${connection.user?.name ?? ""}@${connection.user?.address ?? ""}`,
      width: this.#width(request),
      faults: struck,
      signal,
      background: (ms, task) => this.#background(ms, task),
    });
    return result;
  }

  #background(ms: number, task: () => Promise<void>): void {
    const { device, clock, background, down, saved } = this.#options;
    background(async () => {
      await clock.sleep(ms, down());
      const release = await this.#mutex.acquire();
      try {
        await task();
        await device.exports.reconcile();
      } finally {
        release();
      }
      await saved();
    });
  }

  #width(request: ExecRequest): number {
    const { wrapWidth, loginSuffix } = this.#options.device.switches();
    const asked = request.connection.user?.width;
    const width = asked !== undefined && loginSuffix === "honoured" ? asked : wrapWidth;
    return width === 0 ? 0 : Math.max(width, MIN_WIDTH);
  }

  /** The text of the answer, after the faults that change or delay it. */
  async #answer(
    request: ExecRequest,
    result: { output: readonly string[]; error: string | undefined },
    struck: readonly FaultAction[],
  ): Promise<string> {
    const end = this.#options.device.switches().lineEnding === "crlf" ? "\r\n" : "\n";
    for (const fault of struck) {
      if (fault.kind === "delay") await this.#pause(fault.ms, request.connection.closed.signal);
    }
    const lines = result.error === undefined ? result.output : [...result.output, result.error];
    return lines.map((line) => line.replace(/\n/g, end) + end).join("");
  }

  #send(
    request: ExecRequest,
    result: { outcome: CommandLogEntry["outcome"]; error: string | undefined },
    text: string,
    struck: readonly FaultAction[],
  ): void {
    const { channel } = request;
    const switches = this.#options.device.switches();
    if (request.connection.closed.signal.aborted || channel.destroyed) return;
    const window = switches.execOutputLimit === "window" ? windowOf(channel) : Number.POSITIVE_INFINITY;
    const fault = struck.find((one) => one.kind === "truncateOutput")?.bytes;
    const truncated = fault ?? (text.length > window ? window : undefined);
    if (truncated !== undefined) {
      channel.write(Buffer.from(text, "latin1").subarray(0, truncated));
      channel.end();
      return;
    }
    const errorText =
      result.error === undefined ? "" : result.error + (switches.lineEnding === "crlf" ? "\r\n" : "\n");
    const split = switches.errorStream === "stderr" ? text.length - errorText.length : text.length;
    if (split > 0) channel.write(Buffer.from(text.slice(0, split), "latin1"));
    if (split < text.length) channel.stderr.write(Buffer.from(text.slice(split), "latin1"));
    const failed =
      result.outcome === "runtime-error" ? switches.exitOnRuntimeError : switches.exitOnParseError;
    channel.exit(result.outcome === "ok" ? 0 : failed);
    channel.end();
  }
}
