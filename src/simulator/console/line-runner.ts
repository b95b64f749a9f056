import { setImmediate } from "node:timers/promises";
import { commandOf, grammarOf } from "../commands/grammar.ts";
import type { Device } from "../device/device.ts";
import type { Policy } from "../device/users.ts";
import { LineCut, ParseFailure, RunFailure } from "../errors.ts";
import type { FaultAction } from "../faults.ts";
import type { Block } from "../language/ast.ts";
import { type Boundary, Interpreter, type MenuCall, type Runtime } from "../language/interpreter.ts";
import { Parser } from "../language/parser.ts";
import type { Value } from "../language/values.ts";
import type { Mutex, Turns } from "../mutex.ts";
import { wrap } from "./render.ts";

/** Statements that one line may run; an endless loop ends here. */
const STATEMENT_LIMIT = 200_000;

/** The device and the session in which a line runs. */
export interface LineContext {
  readonly device: Device;
  readonly mutex: Mutex;
  readonly policies: ReadonlySet<Policy>;
  /** Who it is, for the log: `ssh:csi@192.0.2.7`. */
  readonly who: string;
  /** Columns of the terminal; 0 means unlimited. */
  readonly width: number;
  /** The faults of this line. */
  readonly faults: readonly FaultAction[];
  /** Aborted when the client has left and lines end with their client. */
  readonly signal: AbortSignal;
  /** Resolves when the faults let hanging lines go on, or the device goes down. */
  released(): Promise<void>;
  /** Lets lines of other sessions run a part of theirs; the mutex is free meanwhile. */
  readonly turns: Turns;
  /** Runs a task later, when no line runs. */
  background(milliseconds: number, task: () => Promise<void>): void;
}

export type LineOutcome = "ok" | "runtime-error" | "parse-error" | "cut";

export interface LineResult {
  readonly outcome: LineOutcome;
  /** Lines printed, without line ends. */
  readonly output: readonly string[];
  /** Error text that the console prints at the end; undefined when none. */
  readonly error: string | undefined;
  /** Whether the line changed the state of the device. */
  readonly mutated: boolean;
}

/** Text of the failure with the suffix of `:onerror` (facts section 1). */
function describe(device: Device, error: RunFailure): string {
  if (device.switches().onerrorSuffix === "none") return error.message;
  return `${error.message} (${error.origin === undefined ? "" : `${error.origin}; `}line ${error.line ?? 1})`;
}

/** The error of a command as the console reports it: a host without space is a pool without space. */
function asFailure(error: unknown, device: Device): Error {
  if (error instanceof RunFailure || error instanceof LineCut) return error;
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOSPC" || code === "EDQUOT") return new RunFailure(device.switches().noSpaceText);
  return new RunFailure(
    `failure: the simulator failed: ${error instanceof Error ? error.message : String(error)}`,
  );
}

/**
 * Runs one line: parses all of it, then runs it statement by statement. Lines are atomic to each other except while
 * one of them waits (`:delay`, copies), and where the switch `interleaving` and the fault `hangMidway` let others in.
 */
export async function runLine(line: string, context: LineContext): Promise<LineResult> {
  const { device, mutex } = context;
  const output: string[] = [];
  let mutated = false;
  const finish = (outcome: LineOutcome, error?: string): LineResult => ({ outcome, output, error, mutated });
  const grammar = grammarOf(device.switches());
  let block: Block;
  try {
    block = new Parser(line, grammar).parse();
  } catch (error) {
    if (error instanceof ParseFailure) return finish("parse-error", error.message);
    throw error;
  }

  const missing = new Set(
    context.faults.flatMap((one) => (one.kind === "permissionMissing" ? [one.policy] : [])),
  );
  const cutAfter = context.faults.find((one) => one.kind === "cutMidway")?.statement;
  const full = context.faults.some((one) => one.kind === "diskFull");
  let release = await mutex.acquire();
  let statements = 0;
  let changes = 0;

  async function enter(): Promise<void> {
    release = await mutex.acquire();
    device.full = full;
  }
  let reconciled = device.mutations;
  async function leave(goesOn = false): Promise<void> {
    device.full = false;
    // Between statements only changes matter: a look at all exports takes as long as there are many.
    if (!goesOn || device.mutations !== reconciled) await device.exports.reconcile(goesOn);
    reconciled = device.mutations;
    release();
  }
  async function sleep(milliseconds: number): Promise<void> {
    await leave();
    try {
      await device.clock.sleep(milliseconds, context.signal);
    } catch (error) {
      if (!context.signal.aborted) throw error;
    } finally {
      await enter();
    }
    checkpoint();
  }
  function checkpoint(): void {
    if (context.signal.aborted) throw new LineCut("the client has left");
    statements += 1;
    if (statements > STATEMENT_LIMIT) throw new RunFailure("action timed out");
  }
  let boundaries = 0;
  const held = context.faults.find((one) => one.kind === "hangMidway")?.boundary;
  async function boundary(kind: Boundary): Promise<void> {
    const { interleaving } = device.switches();
    if (kind === "argument" && interleaving !== "arguments") return;
    boundaries += 1;
    const hangs = boundaries === held;
    const turns = interleaving === "none" ? 0 : context.turns.draw(device.switches().interleavingSeed);
    if (!hangs && turns === 0) return;
    await leave(true);
    if (hangs) await context.released();
    for (let turn = 0; turn < turns; turn++) {
      // Between statements there is time for a line that arrives; between a find and its set for one that runs.
      if (kind === "statement") await setImmediate();
      else (await mutex.acquire())();
    }
    await enter();
    await device.fileStore.refresh();
  }
  async function command(call: MenuCall): Promise<Value> {
    const { run, policy } = commandOf(call.node.spec) ?? {};
    if (run === undefined) throw new RunFailure("failure: not simulated");
    const wanted = (typeof policy === "function" ? policy(device.switches()) : policy) ?? [];
    if ([wanted].flat().some((one) => !context.policies.has(one) || missing.has(one))) {
      throw new RunFailure("not enough permissions (9)");
    }
    const before = device.mutations;
    const write = (text: string) => void output.push(text);
    const { width, background, policies, who } = context;
    const audit = (what: string, detail: string) =>
      device.management.journal.note("system,info", `${what} by ${who} (${detail})`);
    const invocation = { ...call, device, policies, width, write, audit, sleep, background };
    const settled = await run(invocation).then(
      (value) => ({ value }),
      (error: unknown) => ({ failure: asFailure(error, device) }),
    );
    if (device.mutations !== before) {
      mutated = true;
      changes += 1;
      if (changes === cutAfter) throw new LineCut("fault cutMidway");
    }
    if ("failure" in settled) throw settled.failure;
    return settled.value;
  }
  const runtime: Runtime = {
    grammar,
    write: (text) => {
      const width = device.switches().wrapPut === "yes" ? context.width : 0;
      // :put cuts anywhere and drops nothing, so that joining the lines restores the text.
      output.push(...(width === 0 ? [text] : (text.match(new RegExp(`[^]{1,${width}}`, "g")) ?? [""])));
    },
    evaluator: (syntax) => commandOf(syntax)?.evaluate,
    command,
    checkpoint,
    boundary,
    sleep,
    timestamp: () => device.time.timestamp(),
    describe: (error) => describe(device, error),
    script: (name) => device.management.flash.read(name)?.toString("latin1"),
  };

  device.full = full;
  try {
    await device.fileStore.refresh();
    await new Interpreter(runtime).runLine(block);
    return finish("ok");
  } catch (error) {
    if (error instanceof RunFailure) return finish("runtime-error", error.message);
    if (error instanceof ParseFailure) return finish("parse-error", error.message);
    if (error instanceof LineCut) return finish("cut");
    throw error;
  } finally {
    await leave();
  }
}

/** Error text wrapped as a line of its own. */
export function errorLines(text: string, width: number): readonly string[] {
  return wrap(text, width, 0);
}
