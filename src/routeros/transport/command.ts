import type { Clock } from "../../domain/clock.ts";
import { cancelledBy, type DriverError } from "../../domain/errors/driver-error.ts";
import { currentRequest, isInBackground, type RequestScope } from "../../observability/request-scope.ts";
import type { ExecOptions, ExecResult, Priority } from "./transport.ts";

/** One caller of a command. */
interface Waiter {
  settle(result: ExecResult): void;
  reject(error: unknown): void;
  /** The command has been sent: its deadline begins. */
  sent(): void;
  /** The command was not sent after all, and waits again. */
  back(): void;
  /** A connection could not be made. */
  connectFailed(): void;
}

/** A command with everybody who waits for its answer. */
export interface Command {
  readonly line: string;
  readonly what: string;
  readonly key: string | undefined;
  readonly orderKey: string | undefined;
  readonly nonce: string | undefined;
  readonly sequence: number;
  /** The request of its first caller. */
  readonly request: RequestScope | undefined;
  /** How many commands of its lane were there before it, running or waiting. */
  readonly ahead: number;
  /** When it came into the queue, or came back, on the monotonic clock. */
  queuedAt: number;
  /** When it was sent; undefined while it waits. */
  sentAt: number | undefined;
  priority: Priority;
  readonly waiters: Set<Waiter>;
  /** Aborted when the last waiter has left a running command. */
  readonly abandon: AbortController;
}

/** Name of a command in messages if the caller gives none. */
export const DEFAULT_WHAT = "RouterOS command";

/** The reason of aborted timers: one error for all of them, as making an error costs more than the timer. */
const OVER = new Error("the wait is over");

let sequence = 0;

export function newCommand(
  line: string,
  options: ExecOptions,
  key: string | undefined,
  at: { readonly now: number; readonly ahead: number },
): Command {
  sequence += 1;
  return {
    line,
    nonce: options.nonce,
    sequence,
    request: currentRequest(),
    ahead: at.ahead,
    queuedAt: at.now,
    sentAt: undefined,
    what: options.what ?? DEFAULT_WHAT,
    key,
    orderKey: options.orderKey,
    priority: priorityOf(options),
    waiters: new Set(),
    abandon: new AbortController(),
  };
}

/** The priority that a caller asks for; that of background jobs is `background` unless they say otherwise. */
export function priorityOf({ priority }: ExecOptions): Priority {
  return priority ?? (isInBackground() ? "background" : "interactive");
}

/** The rules by which a caller stops waiting. Durations in milliseconds. */
export interface WaitRules {
  readonly clock: Clock;
  /** How long it waits for the command to be sent. */
  readonly queueMs: number;
  /** How long it waits for a connection that cannot be made. */
  readonly patienceMs: number;
  /** The error of a command that runs for too long. @param seconds since it was sent */
  late(seconds: number): DriverError;
  /** The error of a command that waited for `queueMs`. */
  notSent(seconds: number): DriverError;
  /** Why waiting longer is futile; undefined if it is not. */
  futile(seconds: number): DriverError | undefined;
  /** A caller has left early; the command may have no waiters then. */
  left(): void;
}

/** Waits for the command's answer until one of the rules ends it, or the caller's abort. */
export function waitFor(command: Command, options: ExecOptions, rules: WaitRules): Promise<ExecResult> {
  const { clock, queueMs, patienceMs } = rules;
  const since = clock.monotonic();
  return new Promise((resolve, reject) => {
    /** Ends with each phase: waiting, running. */
    let phase = new AbortController();
    const end = (): void => {
      phase.abort(OVER);
      options.signal.removeEventListener("abort", onAbort);
      command.waiters.delete(waiter);
    };
    const waited = (): number => clock.monotonic() - since;
    const giveUp = (error: DriverError | undefined): void => {
      if (error === undefined) return;
      waiter.reject(error);
      rules.left();
    };
    const after = (ms: number, act: () => void): void => {
      const { signal } = phase;
      clock.sleep(ms, signal).then(
        () => signal.aborted || act(),
        () => {},
      );
    };
    const wait = (): void => {
      after(Math.max(0, queueMs - waited()), () => giveUp(rules.notSent(waited() / 1000)));
      after(Math.max(0, patienceMs - waited()), () => giveUp(rules.futile(waited() / 1000)));
    };
    const waiter: Waiter = {
      settle: (result) => {
        end();
        resolve(result);
      },
      reject: (error) => {
        end();
        reject(error);
      },
      sent: () => {
        phase.abort(OVER);
        phase = new AbortController();
        after(options.timeoutMs, () => giveUp(rules.late(options.timeoutMs / 1000)));
      },
      back: () => {
        phase.abort(OVER);
        phase = new AbortController();
        wait();
      },
      connectFailed: () => {
        if (command.sentAt === undefined && waited() >= patienceMs) giveUp(rules.futile(waited() / 1000));
      },
    };
    const onAbort = (): void => {
      waiter.reject(cancelledBy(options.signal, command.what));
      rules.left();
    };
    options.signal.addEventListener("abort", onAbort, { once: true });
    command.waiters.add(waiter);
    wait();
  });
}

export function settleAll(command: Command, result: ExecResult): void {
  for (const waiter of [...command.waiters]) waiter.settle(result);
}

export function rejectAll(command: Command, error: DriverError): void {
  for (const waiter of [...command.waiters]) waiter.reject(error);
}

/** The command leaves the queue. */
export function markSent(command: Command, now: number): void {
  command.sentAt = now;
  for (const waiter of command.waiters) waiter.sent();
}

/** The command was provably not sent, and waits again. */
export function markQueued(command: Command, now: number): void {
  command.sentAt = undefined;
  command.queuedAt = now;
  for (const waiter of [...command.waiters]) waiter.back();
}

/** A connection for a waiting command could not be made. */
export function markUnconnected(command: Command): void {
  for (const waiter of [...command.waiters]) waiter.connectFailed();
}
