import { cancelledBy, type DriverError, failure } from "../../domain/errors/driver-error.ts";
import { currentRequest } from "../../observability/request-scope.ts";
import type { ChannelOutcome, GivenUp } from "./channel.ts";
import {
  type Command,
  DEFAULT_WHAT,
  markQueued,
  markSent,
  markUnconnected,
  newCommand,
  priorityOf,
  rejectAll,
  settleAll,
  type WaitRules,
  waitFor,
} from "./command.ts";
import { outcomeError, unreachable } from "./command-errors.ts";
import { CommandQueue } from "./command-queue.ts";
import { SIGN_OF_LIFE, watchIdle } from "./idle-watch.ts";
import type { LaneOptions } from "./lane-options.ts";
import { Link } from "./link.ts";
import type { SharedConnection } from "./shared-connection.ts";
import type { ExecOptions, ExecResult } from "./transport.ts";

/** A command that nobody waits for any more after so many seconds in the queue is worth a warning. */
const LONG_WAIT_S = 5;

/**
 * The commands of one lane: their queue, and the connection on which several of them run at once. Background commands leave one
 * channel free if there are several. Where the connection is full, attaches run on channels that the other lanes do not need. A command
 * that provably was not sent goes back to its place in the queue.
 */
export class Lane {
  readonly #options: LaneOptions;
  readonly #queue: CommandQueue<Command>;
  readonly #running = new Map<Command, SharedConnection>();
  readonly #stop = new AbortController();
  readonly #link: Link;
  /** Whether several commands wanted to run at once while that was not proven to work. */
  #wantsMore = false;
  /** Why the latest command could not be sent, until the server has given a channel. */
  #trouble: { readonly reason: string } | undefined;
  /** When the latest command ended (monotonic). */
  #usedAt = 0;

  constructor(options: LaneOptions) {
    this.#options = options;
    this.#queue = new CommandQueue(options.queueLimit);
    this.#link = new Link(options, {
      isWanted: () => this.#queue.size > 0,
      changed: () => this.pump(),
      adopted: (ended) => this.#watch(ended),
      failed: (error, fatal) => {
        if (fatal) this.#failWaiting(error);
        else for (const command of this.#queue.items) markUnconnected(command);
      },
    });
  }

  get connected(): boolean {
    return this.#link.isOpen;
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
    const answer = waitFor(command, options, this.#rulesOf(command));
    this.pump();
    return answer;
  }

  /** Sends nothing from now on. */
  stop(): void {
    this.#stop.abort();
  }

  /** Ends the commands of a lane that has been stopped, and its connection. */
  async close(): Promise<void> {
    this.#failWaiting(failure("shuttingDown", {}));
    for (const command of this.#running.keys()) {
      command.abandon.abort();
      rejectAll(command, failure("shuttingDown", {}));
    }
    await this.#link.close();
  }

  /** See `Transport.whyNoAnswer`; undefined: no command runs, and none waits for a connection. */
  whyNoAnswer(seconds: number): DriverError | undefined {
    const [running] = this.#running.keys();
    if (running?.sentAt !== undefined) {
      const ran = Math.round((this.#options.clock.monotonic() - running.sentAt) / 100) / 10;
      return this.#silent(running, Math.min(seconds, ran));
    }
    return this.connected || this.#queue.size === 0 ? undefined : this.#unreachable(seconds);
  }

  /** The connection, while it has a channel for another lane. */
  get spare(): SharedConnection | undefined {
    const isIdle = this.#queue.size === 0 && this.#link.current?.hasSpare === true;
    return isIdle && !this.#stop.signal.aborted ? this.#link.current : undefined;
  }

  /** Sends as many commands as may be sent now. */
  pump(): void {
    while (!this.#stop.signal.aborted && this.#queue.size > 0) {
      const { neighbours, purpose } = this.#options;
      const current = this.#link.current;
      if (current === undefined) this.#link.open();
      else if (!current.hasRoom) this.#wantsMore ||= current.channels > 0 && current.isUnproven;
      else if (this.#wantsMore && current.channels === 0) {
        current.ask(() => neighbours.changed());
        this.#wantsMore = current.isUnproven;
      }
      // A lane whose own connection cannot be made uses the others' too: the server may have no session for it.
      const mayBorrow = purpose === "attach" || (purpose !== "copy" && this.#link.lastFailure !== undefined);
      const used = current?.hasRoom === true ? current : mayBorrow ? neighbours.spare() : undefined;
      if (used === undefined) return;
      const mayRunBackground = used === current && used.mayRunBackground;
      const command = this.#queue.take((one) => neighbours.order.isFirst(one), mayRunBackground);
      if (command === undefined) return;
      this.#reportQueue();
      void this.#run(command, used);
    }
  }

  /** The waiting command to join, or a new one in the queue; undefined if the queue is full. */
  #admit(line: string, options: ExecOptions): Command | undefined {
    const { clock, logger, purpose, neighbours } = this.#options;
    const key = options.purpose === "read" ? (options.coalesceKey ?? line) : undefined;
    const waiting = key === undefined ? undefined : this.#queue.find(key);
    if (waiting !== undefined) {
      if (priorityOf(options) === "interactive") this.#queue.raise(waiting);
      const { what, nonce, request } = waiting;
      const sharedWith = request?.requestId;
      logger.debug("command joined", { ...currentRequest(), purpose, what, nonce, sharedWith });
      return waiting;
    }
    const ahead = this.#queue.size + this.#running.size;
    const command = newCommand(line, options, key, { now: clock.monotonic(), ahead });
    if (!this.#queue.push(command)) return undefined;
    neighbours.order.enter(command);
    this.#reportQueue();
    return command;
  }

  #rulesOf(command: Command): WaitRules {
    const { clock, queueMs, patienceMs } = this.#options;
    return {
      clock,
      queueMs,
      patienceMs,
      late: (seconds) => this.#silent(command, seconds),
      notSent: (seconds) => {
        if (!this.connected) return this.#unreachable(seconds);
        const { what, ahead } = command;
        return failure("rdsQueueSlow", { what, seconds: Math.round(seconds * 10) / 10, ahead });
      },
      futile: (seconds) => {
        const isCut = !this.connected && this.#link.lastFailure !== undefined;
        return isCut || this.#trouble !== undefined ? this.#unreachable(seconds) : undefined;
      },
      left: () => this.#dropIfUnwanted(command),
    };
  }

  #dropIfUnwanted(command: Command): void {
    if (command.waiters.size > 0) return;
    if (!this.#queue.remove(command)) {
      command.abandon.abort();
      return;
    }
    const { clock, logger, purpose } = this.#options;
    const queueSeconds = (clock.monotonic() - command.queuedAt) / 1000;
    const { what, nonce, request } = command;
    const fields = { ...request, purpose, what, nonce, queueSeconds, ahead: command.ahead };
    const isHeldUp = queueSeconds >= LONG_WAIT_S && command.ahead > 0 && this.connected;
    if (!isHeldUp) logger.debug("command left the queue unsent", fields);
    else
      logger.warn(
        "command left the queue unsent: its callers gave up, as the commands before it take long",
        fields,
      );
    this.#reportQueue();
    this.#leaveOrder(command);
  }

  #leaveOrder(command: Command): void {
    const { neighbours } = this.#options;
    if (neighbours.order.leave(command)) neighbours.changed();
  }

  #silent({ what }: Command, seconds: number): DriverError {
    return failure("rdsSilent", { address: this.#options.address, what, seconds });
  }

  #unreachable(seconds: number): DriverError {
    return unreachable(this.#options.address, this.#link.lastFailure ?? this.#trouble, seconds);
  }

  async #run(command: Command, current: SharedConnection): Promise<void> {
    const { clock, observer, purpose, logger, neighbours } = this.#options;
    const started = clock.monotonic();
    const { what, nonce, request } = command;
    this.#running.set(command, current);
    markSent(command, started);
    // The code that sends may run on behalf of another request, whose command has just ended.
    const fields = { ...request, purpose, what, nonce };
    const queueSeconds = (started - command.queuedAt) / 1000;
    observer.onSent(purpose, queueSeconds);
    logger.debug("command sent", { ...fields, line: command.line, queueSeconds });
    const { outcome, others } = await current.run(command.line, command.priority, {
      abandon: command.abandon.signal,
      onOpened: () => {
        this.#trouble = undefined;
        // The channel may be another lane's, which has one more now.
        neighbours.changed();
      },
      onStuck: (given, reason) => this.#stuck(command, current, given, reason),
    });
    const seconds = (clock.monotonic() - started) / 1000;
    logger.debug("command ended", { ...fields, outcome: outcome.kind, seconds });
    this.#running.delete(command);
    this.#usedAt = clock.monotonic();
    observer.onCommand(purpose, outcome.kind, seconds);
    if (!this.#deliver(command, outcome, current, others)) this.#leaveOrder(command);
    this.pump();
    // The channel may be another lane's, or one that an attach waits for.
    neighbours.changed();
  }

  /** A command that was given up does not end: the others go on, new ones need another connection. */
  #stuck(command: Command, current: SharedConnection, outcome: GivenUp, reason: string): void {
    if (outcome.kind === "tooLong") rejectAll(command, outcomeError(command.what, outcome));
    current.owner.replace(current, reason, command.line === SIGN_OF_LIFE ? "silent" : "hangs");
  }

  /** @returns whether the command waits again */
  #deliver(command: Command, outcome: ChannelOutcome, shared: SharedConnection, others: number): boolean {
    const { clock } = this.#options;
    switch (outcome.kind) {
      case "answered": {
        shared.owner.worked();
        const { stdout, stderr, exitCode } = outcome;
        settleAll(command, { stdout, stderr, exitCode, line: command.line });
        return false;
      }
      case "notSent":
        if (!outcome.isRefused || others === 0) {
          // The server has no channel for us, or the connection is gone: both are cured by a new connection only.
          if (shared.owner === this.#link) this.#trouble = { reason: outcome.reason };
          // Commands that have a channel go on.
          if (outcome.isRefused) shared.owner.replace(shared, outcome.reason, "refused");
          else shared.connection.drop(outcome.reason);
        }
        if (command.waiters.size === 0 || this.#stop.signal.aborted) return false;
        this.#queue.putBack(command);
        this.#reportQueue();
        markQueued(command, clock.monotonic());
        return true;
      case "abandoned":
        return false;
      default:
        rejectAll(command, outcomeError(command.what, outcome));
        return false;
    }
  }

  #watch(ended: AbortSignal): void {
    const { clock, purpose, idleCheckMs, idleAnswerMs: timeoutMs } = this.#options;
    const options = { what: "sign of life", priority: "background", purpose, timeoutMs } as const;
    const { signal } = this.#stop;
    this.#usedAt = clock.monotonic();
    const usedAt = () => (this.#running.size + this.#queue.size === 0 ? this.#usedAt : undefined);
    const ask = () => this.exec(SIGN_OF_LIFE, { ...options, signal });
    void watchIdle({ clock, idleCheckMs, usedAt, ask }, ended);
  }

  #failWaiting(error: DriverError): void {
    const waiting = this.#queue.drain();
    this.#reportQueue();
    for (const command of waiting) {
      rejectAll(command, error);
      this.#leaveOrder(command);
    }
  }

  #reportQueue(): void {
    this.#options.observer.onQueueLength(this.#options.purpose, this.#queue.size);
  }
}
