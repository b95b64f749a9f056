import type { Clock } from "../../domain/clock.ts";
import { cancelledBy, type DriverError } from "../../domain/errors/driver-error.ts";
import { currentRequest, type RequestScope } from "../../observability/request-scope.ts";
import type { ExecOptions, ExecResult, Priority } from "./transport.ts";

/** One caller of a command. */
interface Waiter {
  settle(result: ExecResult): void;
  reject(error: unknown): void;
}

/** A command with everybody who waits for its answer. */
export interface Command {
  readonly line: string;
  readonly what: string;
  readonly key: string | undefined;
  readonly nonce: string | undefined;
  /** The request of its first caller. */
  readonly request: RequestScope | undefined;
  /** When it came into the queue, or came back, on the monotonic clock. */
  queuedAt: number;
  priority: Priority;
  readonly waiters: Set<Waiter>;
  /** Aborted when the last waiter has left a running command. */
  readonly abandon: AbortController;
}

/** Name of a command in messages if the caller gives none. */
export const DEFAULT_WHAT = "RouterOS command";

export function newCommand(
  line: string,
  options: ExecOptions,
  key: string | undefined,
  queuedAt: number,
): Command {
  return {
    line,
    nonce: options.nonce,
    request: currentRequest(),
    queuedAt,
    what: options.what ?? DEFAULT_WHAT,
    key,
    priority: options.priority ?? "interactive",
    waiters: new Set(),
    abandon: new AbortController(),
  };
}

/**
 * Waits for the command's answer until the caller's deadline or abort.
 * @param onDeadline makes the error of a caller whose time is over
 * @param patience after so many milliseconds the caller gets `error`, if there is one: a reason why it waits in vain
 * @param onLeave called after a caller has left early; the command may have no waiters then
 */
export function waitFor(
  command: Command,
  options: ExecOptions,
  clock: Clock,
  onDeadline: () => DriverError,
  onLeave: () => void,
  patience: { readonly ms: number; readonly error: () => DriverError | undefined },
): Promise<ExecResult> {
  return new Promise((resolve, reject) => {
    const done = new AbortController();
    const leave = (): void => {
      done.abort();
      options.signal.removeEventListener("abort", onAbort);
      command.waiters.delete(waiter);
    };
    const waiter: Waiter = {
      settle: (result) => {
        leave();
        resolve(result);
      },
      reject: (error) => {
        leave();
        reject(error);
      },
    };
    const onAbort = (): void => {
      waiter.reject(cancelledBy(options.signal, options.what ?? DEFAULT_WHAT));
      onLeave();
    };
    options.signal.addEventListener("abort", onAbort, { once: true });
    command.waiters.add(waiter);
    const after = (ms: number, error: () => DriverError | undefined): void => {
      clock.sleep(ms, done.signal).then(
        () => {
          const reason = done.signal.aborted ? undefined : error();
          if (reason === undefined) return;
          waiter.reject(reason);
          onLeave();
        },
        () => {},
      );
    };
    after(options.timeoutMs, onDeadline);
    if (patience.ms < options.timeoutMs) after(patience.ms, patience.error);
  });
}

export function settleAll(command: Command, result: ExecResult): void {
  for (const waiter of [...command.waiters]) waiter.settle(result);
}

export function rejectAll(command: Command, error: DriverError): void {
  for (const waiter of [...command.waiters]) waiter.reject(error);
}
