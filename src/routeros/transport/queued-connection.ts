import { cancelledBy, type DriverError, failure } from "../../domain/errors/driver-error.ts";
import { currentRequest } from "../../observability/request-scope.ts";
import type { ChannelOutcome } from "./channel.ts";
import { type Command, DEFAULT_WHAT, newCommand, rejectAll, settleAll, waitFor } from "./command.ts";
import { lateError, outcomeError } from "./command-errors.ts";
import { CommandQueue } from "./command-queue.ts";
import { type Connection, endConnection } from "./connection.ts";
import { Connector, type ConnectorOptions } from "./connector.ts";
import type { ExecOptions, ExecResult } from "./transport.ts";

const SIGN_OF_LIFE = { priority: "background", what: "sign of life" } as const;

export interface QueuedConnectionOptions extends ConnectorOptions {
  readonly queueLimit: number;
  /** How long a command waits for a connection that cannot be made, in milliseconds. */
  readonly patienceMs: number;
  /** Idle time after which the connection is asked for a sign of life, and the time for its answer. Milliseconds. */
  readonly idleCheckMs: number;
  readonly idleAnswerMs: number;
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
  readonly #connector: Connector;
  #connection: Connection | undefined;
  #running: Command | undefined;
  #connecting: Promise<void> | undefined;
  #wasConnected = false;
  /** When the latest command ended, on the monotonic clock. */
  #usedAt = 0;

  constructor(options: QueuedConnectionOptions) {
    this.#options = options;
    this.#queue = new CommandQueue(options.queueLimit);
    this.#connector = new Connector(options);
  }

  get connected(): boolean {
    return this.#connection?.open === true;
  }

  /** See `Transport.exec`. */
  exec(line: string, options: ExecOptions): Promise<ExecResult> {
    if (this.#stop.signal.aborted) return Promise.reject(failure("shuttingDown", {}));
    if (options.signal.aborted) {
      return Promise.reject(cancelledBy(options.signal, options.what ?? DEFAULT_WHAT));
    }
    const command = this.#admit(line, options);
    if (command === undefined) {
      return Promise.reject(failure("rdsQueueFull", { limit: this.#options.queueLimit }));
    }
    const answer = waitFor(
      command,
      options,
      this.#options.clock,
      () => this.#lateError(command, options.timeoutMs / 1000),
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
    await endConnection(connection, this.#options.clock);
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

  /** The error of a caller whose time is over. */
  #lateError(command: Command | undefined, seconds: number): DriverError {
    const { address } = this.#options;
    const isRunning = this.#running === command;
    return lateError(address, command?.what, seconds, {
      isRunning,
      isOpen: this.connected,
      failure: this.#connector.lastFailure,
    });
  }

  /**
   * Why waiting longer is futile: the RDS cannot be reached. Callers have deadlines of their own and would otherwise never
   * learn the reason.
   */
  #futile(command: Command, seconds: number): DriverError | undefined {
    const hasFailed =
      this.#running !== command && !this.connected && this.#connector.lastFailure !== undefined;
    return hasFailed ? this.#lateError(command, seconds) : undefined;
  }

  /** See `Transport.whyNoAnswer`; undefined: no command runs, and none waits for a connection. */
  whyNoAnswer(seconds: number): DriverError | undefined {
    if (this.#running !== undefined) return this.#lateError(this.#running, seconds);
    return this.connected || this.#queue.size === 0 ? undefined : this.#lateError(undefined, seconds);
  }

  #pump(): void {
    if (this.#stop.signal.aborted || this.#running !== undefined || this.#queue.size === 0) return;
    if (this.#connection === undefined) {
      this.#connecting ??= this.#connect().finally(() => {
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
      this.#connector.worked();
      settleAll(command, { ...outcome, line: command.line });
    } else if (outcome.kind === "notSent") {
      // The server has no channel for us, or the connection is gone: both are cured by a new connection only.
      connection.drop(outcome.reason);
      if (command.waiters.size > 0 && !this.#stop.signal.aborted) {
        command.queuedAt = this.#options.clock.monotonic();
        this.#queue.putBack(command);
        this.#reportQueue();
      }
    } else rejectAll(command, outcomeError(command.what, outcome));
  }

  async #connect(): Promise<void> {
    const result = await this.#connector.connect(() => this.#queue.size > 0, this.#stop.signal);
    if (result?.kind === "connected") this.#adopt(result);
    else if (result !== undefined) this.#failWaiting(result.error);
  }

  #adopt(connection: Connection): void {
    const { purpose, observer, logger, address } = this.#options;
    this.#connection = connection;
    const again = this.#wasConnected;
    this.#wasConnected = true;
    const ended = new AbortController();
    this.#usedAt = this.#options.clock.monotonic();
    void this.#watch(AbortSignal.any([ended.signal, this.#stop.signal]));
    void connection.closed.then((reason) => {
      ended.abort();
      this.#connection = undefined;
      observer.onDisconnected(purpose, reason);
      if (!this.#stop.signal.aborted) {
        logger.warn("connection to the RDS lost", { purpose, address, reason });
        // Counts as a failure, else a server that accepts and hangs up would be called without pause.
        this.#connector.failed(false);
      }
      this.#pump();
    });
    if (again) {
      observer.onReconnect(purpose);
      this.#options.onReconnect();
    }
  }

  /**
   * Asks the idle connection for a sign of life, again and again, until it ends. RouterOS does not answer SSH keepalives, so a command
   * that costs nothing takes their place: a peer that does not answer it loses the connection. A running command has a deadline of its own.
   */
  async #watch(ended: AbortSignal): Promise<void> {
    const { clock, purpose, idleCheckMs, idleAnswerMs: timeoutMs } = this.#options;
    const options = { ...SIGN_OF_LIFE, signal: this.#stop.signal, purpose, timeoutMs };
    while (!ended.aborted) {
      const isIdle = this.#running === undefined && this.#queue.size === 0;
      const left = isIdle ? this.#usedAt + idleCheckMs - clock.monotonic() : idleCheckMs;
      if (left <= 0) await this.exec(":put 1", options).catch(() => {});
      // After a check that failed the connection is being closed, which may take a moment.
      await clock.sleep(left > 0 ? left : idleCheckMs, ended).catch(() => {});
    }
  }

  #failWaiting(error: DriverError): void {
    for (const command of this.#queue.drain()) rejectAll(command, error);
    this.#reportQueue();
  }

  #reportQueue(): void {
    this.#options.observer.onQueueLength(this.#options.purpose, this.#queue.size);
  }
}
