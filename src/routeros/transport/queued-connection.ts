import { type BackoffLimits, backoffDelay } from "../../domain/backoff.ts";
import type { Clock } from "../../domain/clock.ts";
import { type DriverError, failure } from "../../domain/errors/driver-error.ts";
import type { Logger } from "../../observability/log.ts";
import { currentRequest } from "../../observability/request-scope.ts";
import type { ChannelOutcome } from "./channel.ts";
import {
  abortError,
  type Command,
  DEFAULT_WHAT,
  newCommand,
  rejectAll,
  settleAll,
  waitFor,
} from "./command.ts";
import { CommandQueue } from "./command-queue.ts";
import type { ConnectFailure, Connection } from "./connection.ts";
import { watchIdle } from "./idle-watch.ts";
import { outcomeError } from "./outcome-error.ts";
import type { ExecOptions, ExecResult, Purpose, TransportObserver } from "./transport.ts";

const SIGN_OF_LIFE = { priority: "background", what: "sign of life" } as const;

/** Limits of the wait between connection attempts, in milliseconds. */
export interface ConnectBackoff extends BackoffLimits {
  /** Longest wait after a failure that only a person can cure: short, so that a call notices the cure. */
  readonly maxFatalMs: number;
}

export interface QueuedConnectionOptions {
  readonly purpose: Purpose;
  readonly address: string;
  readonly queueLimit: number;
  readonly backoff: ConnectBackoff;
  /** How long a command waits for a connection that cannot be made, in milliseconds. */
  readonly patienceMs: number;
  /** After so long without a command an open connection is asked for a sign of life, which may take as long as the next. */
  readonly idleCheckMs: number;
  readonly idleAnswerMs: number;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly logger: Logger;
  readonly observer: TransportObserver;
  readonly connect: (signal: AbortSignal) => Promise<Connection | ConnectFailure>;
  readonly onReconnect: () => void;
}

/**
 * One connection with its queue: at most one command in flight, opened by the first command, opened again with
 * back-off while somebody waits. A command that provably was not sent goes back to the head of the queue.
 */
export class QueuedConnection {
  readonly #options: QueuedConnectionOptions;
  readonly #queue: CommandQueue<Command>;
  readonly #stop = new AbortController();
  #connection: Connection | undefined;
  #running: Command | undefined;
  #connecting: Promise<void> | undefined;
  #failures = 0;
  #notBefore = 0;
  #lastFailure: ConnectFailure | undefined;
  #wasConnected = false;
  /** When the latest command ended, on the monotonic clock. */
  #usedAt = 0;

  constructor(options: QueuedConnectionOptions) {
    this.#options = options;
    this.#queue = new CommandQueue(options.queueLimit);
  }

  get connected(): boolean {
    return this.#connection?.open === true;
  }

  /** See `Transport.exec`. */
  exec(line: string, options: ExecOptions): Promise<ExecResult> {
    if (this.#stop.signal.aborted) return Promise.reject(failure("shuttingDown", {}));
    if (options.signal.aborted) {
      return Promise.reject(abortError(options.signal, options.what ?? DEFAULT_WHAT));
    }
    const command = this.#admit(line, options);
    if (command === undefined) {
      return Promise.reject(failure("rdsQueueFull", { limit: this.#options.queueLimit }));
    }
    const answer = waitFor(
      command,
      options,
      this.#options.clock,
      () => this.#deadlineError(command, options.timeoutMs / 1000),
      () => this.#dropIfUnwanted(command),
      { ms: this.#options.patienceMs, error: () => this.#futile(command, this.#options.patienceMs / 1000) },
    );
    this.#pump();
    return answer;
  }

  async close(): Promise<void> {
    if (!this.#stop.signal.aborted) {
      this.#stop.abort();
      this.#failWaiting(failure("shuttingDown", {}));
      this.#running?.abandon.abort();
      if (this.#running !== undefined) rejectAll(this.#running, failure("shuttingDown", {}));
    }
    await this.#connecting;
    const connection = this.#connection;
    if (connection === undefined) return;
    connection.end();
    const timer = new AbortController();
    const cut = this.#options.clock.sleep(1_000, timer.signal).then(
      () => connection.drop("closed by the driver"),
      () => {},
    );
    await connection.closed;
    timer.abort();
    await cut;
  }

  /** The waiting command to join, or a new one in the queue; undefined if the queue is full. */
  #admit(line: string, options: ExecOptions): Command | undefined {
    const key = options.purpose === "read" ? (options.coalesceKey ?? line) : undefined;
    const waiting = key === undefined ? undefined : this.#queue.find(key);
    if (waiting !== undefined) {
      if ((options.priority ?? "interactive") === "interactive") this.#queue.raise(waiting);
      const { what, nonce, request } = waiting;
      const { logger, purpose } = this.#options;
      const sharedWith = request?.requestId;
      logger.debug("command joined", { ...currentRequest(), purpose, what, nonce, sharedWith });
      return waiting;
    }
    const command = newCommand(line, options, key, this.#options.clock.monotonic());
    if (!this.#queue.push(command)) return undefined;
    this.#reportQueue();
    return command;
  }

  #dropIfUnwanted(command: Command): void {
    if (command.waiters.size > 0) return;
    if (this.#queue.remove(command)) this.#reportQueue();
    else command.abandon.abort();
  }

  /**
   * Why waiting on makes no sense: the RDS cannot be reached. Callers have deadlines of their own and would otherwise
   * never learn the reason.
   */
  #futile(command: Command, seconds: number): DriverError | undefined {
    if (this.#running === command || this.connected || this.#lastFailure === undefined) return undefined;
    return this.#deadlineError(command, seconds);
  }

  /** What a caller is told whose time is over. */
  #deadlineError(command: Command, seconds: number): DriverError {
    if (this.#running === command) {
      return failure("rdsOutcomeUnknown", { what: command.what, reason: `no answer within ${seconds} s` });
    }
    if (this.connected) {
      return failure("rdsBusy", { what: command.what, detail: `${seconds} s in the command queue` });
    }
    if (this.#lastFailure?.fatal === true) return this.#lastFailure.error;
    const reason = this.#lastFailure?.reason ?? "still connecting";
    return failure("rdsUnreachable", {
      address: this.#options.address,
      reason: `${reason} (gave up after ${seconds} s)`,
    });
  }

  #pump(): void {
    if (this.#stop.signal.aborted || this.#running !== undefined || this.#queue.size === 0) return;
    if (this.#connection === undefined) {
      this.#connecting ??= this.#connectWhileWanted().finally(() => {
        this.#connecting = undefined;
        this.#pump();
      });
      return;
    }
    if (!this.#connection.open) return; // its end is being reported, which calls this again
    const command = this.#queue.take();
    if (command === undefined) return;
    this.#reportQueue();
    this.#running = command;
    void this.#run(command, this.#connection);
  }

  async #run(command: Command, connection: Connection): Promise<void> {
    const { clock, observer, purpose, logger } = this.#options;
    const started = clock.monotonic();
    const { what, nonce, request } = command;
    // The code that sends may run on behalf of another request, whose command has just ended.
    const fields = { ...request, purpose, what, nonce };
    observer.onSent(purpose, (started - command.queuedAt) / 1000);
    logger.debug("command sent", { ...fields, line: command.line });
    const outcome = await connection.run(command.line, command.abandon.signal);
    const seconds = (clock.monotonic() - started) / 1000;
    logger.debug("command ended", { ...fields, outcome: outcome.kind, seconds });
    this.#running = undefined;
    this.#usedAt = clock.monotonic();
    observer.onCommand(purpose, outcome.kind, seconds);
    this.#deliver(command, outcome, connection);
    this.#pump();
  }

  #deliver(command: Command, outcome: ChannelOutcome, connection: Connection): void {
    if (outcome.kind === "answered") {
      this.#failures = 0;
      settleAll(command, { ...outcome, line: command.line });
    } else if (outcome.kind === "notSent") {
      // The server has no channel for us, or the connection is gone: both are cured by a new connection only.
      connection.drop(outcome.reason);
      if (command.waiters.size > 0 && !this.#stop.signal.aborted) {
        command.queuedAt = this.#options.clock.monotonic();
        this.#queue.putBack(command);
        this.#reportQueue();
      }
    } else rejectAll(command, outcomeError(this.#options.address, command.what, outcome));
  }

  /** Connects, again and again with back-off, until it is up or nobody waits any more. */
  async #connectWhileWanted(): Promise<void> {
    const { clock, observer, purpose, logger, address } = this.#options;
    const stop = this.#stop.signal;
    while (!stop.aborted && this.#queue.size > 0) {
      const wait = this.#notBefore - clock.monotonic();
      if (wait > 0) await clock.sleep(wait, stop).catch(() => {});
      if (stop.aborted || this.#queue.size === 0) return;
      const started = clock.monotonic();
      const result = await this.#options.connect(stop);
      if (result.kind === "connected") {
        observer.onConnected(purpose, (clock.monotonic() - started) / 1000);
        logger.info("connected to the RDS", { purpose, address });
        this.#adopt(result);
        return;
      }
      this.#countFailure(result.fatal);
      if (stop.aborted) return;
      observer.onConnectFailed(purpose, result.reason, result.error);
      if (this.#lastFailure?.reason !== result.reason) {
        logger.warn("cannot connect to the RDS", {
          purpose,
          address,
          reason: result.reason,
          error: result.error.id,
        });
      }
      this.#lastFailure = result;
      if (result.fatal) return this.#failWaiting(result.error);
    }
  }

  #adopt(connection: Connection): void {
    const { purpose, observer, logger, address } = this.#options;
    this.#connection = connection;
    this.#lastFailure = undefined;
    const again = this.#wasConnected;
    this.#wasConnected = true;
    const ended = new AbortController();
    this.#usedAt = this.#options.clock.monotonic();
    void this.#watch(ended.signal);
    void connection.closed.then((reason) => {
      ended.abort();
      this.#connection = undefined;
      observer.onDisconnected(purpose, reason);
      if (!this.#stop.signal.aborted) {
        logger.warn("connection to the RDS lost", { purpose, address, reason });
        // Counts as a failure, or a server that accepts and hangs up would be called without pause.
        this.#countFailure(false);
      }
      this.#pump();
    });
    if (again) {
      observer.onReconnect(purpose);
      this.#options.onReconnect();
    }
  }

  #watch(ended: AbortSignal): Promise<void> {
    const { clock, purpose, idleCheckMs: idleMs, idleAnswerMs: timeoutMs } = this.#options;
    const signal = this.#stop.signal;
    return watchIdle(
      {
        clock,
        idleMs,
        idleSince: () => (this.#running === undefined && this.#queue.size === 0 ? this.#usedAt : undefined),
        check: () => this.exec(":put 1", { ...SIGN_OF_LIFE, signal, purpose, timeoutMs }),
      },
      AbortSignal.any([ended, signal]),
    );
  }

  #countFailure(fatal: boolean): void {
    const { backoff, random, clock } = this.#options;
    this.#failures += 1;
    const maxMs = fatal ? Math.min(backoff.maxFatalMs, backoff.maxMs) : backoff.maxMs;
    this.#notBefore = clock.monotonic() + backoffDelay(this.#failures, { ...backoff, maxMs }, random);
  }

  #failWaiting(error: DriverError): void {
    for (const command of this.#queue.drain()) rejectAll(command, error);
    this.#reportQueue();
  }

  #reportQueue(): void {
    this.#options.observer.onQueueLength(this.#options.purpose, this.#queue.size);
  }
}
