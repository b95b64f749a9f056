import type { Clock } from "../../domain/clock.ts";
import type { Logger } from "../../observability/log.ts";
import { type ProbeChannel, runsInParallel, type Verdict } from "./parallel-probe.ts";

export interface ChannelLimitOptions {
  /** Channels at once that are wanted on each connection. */
  readonly channels: number;
  /** How long the answer to the question may take, milliseconds. */
  readonly questionMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called with the number of commands that a new connection may run at once, at first and at each change. */
  readonly onChange: (limit: number) => void;
}

/** After a question without an answer the next one waits so long, twice as long after each further one, up to the limit. Milliseconds. */
const PAUSE_MS = 10_000;
const MAX_PAUSE_MS = 600_000;

/**
 * What is known about the channels of one device. Connections share it from their opening to their end. It begins anew, for connections that
 * are opened from then on, when a connection was lost: an upgraded device, or another one, may allow more, or less.
 */
export class ChannelLimits {
  readonly #options: ChannelLimitOptions;
  #current: ChannelLimit;
  /** Monotonic. */
  #lostAt: number | undefined;

  constructor(options: ChannelLimitOptions) {
    this.#options = options;
    this.#current = this.#begin();
  }

  /** The limit of a connection that is opened now. */
  get current(): ChannelLimit {
    if (this.#lostAt !== undefined && this.#current.isKnownSince(this.#lostAt)) this.#current = this.#begin();
    return this.#current;
  }

  /** A connection was lost, or could not be made: what was known until now does not hold for later ones. */
  lost(): void {
    this.#lostAt = this.#options.clock.monotonic();
  }

  #begin(): ChannelLimit {
    const onChange = (now: number): void => {
      if (this.#current === begun) this.#options.onChange(now);
    };
    const begun = new ChannelLimit({ ...this.#options, onChange });
    this.#options.onChange(begun.now);
    return begun;
  }
}

/**
 * How many commands each of the connections that share it may run at once: one, until the device has proven
 * that it runs two channels at the same time (`runsInParallel`); then the wanted number, or fewer once it has refused a channel beside
 * others.
 */
export class ChannelLimit {
  readonly #options: ChannelLimitOptions;
  #most: number;
  #verdict: Verdict | undefined;
  #proven = 1;
  /** Channels of which one was refused, although as many were open before. */
  #doubted: number | undefined;
  #askAgainAt = 0;
  #unanswered = 0;
  #isAsking = false;
  /** When the device first answered the question, or refused a channel for good (monotonic). */
  #learnedAt: number | undefined;

  constructor(options: ChannelLimitOptions) {
    this.#options = options;
    this.#most = options.channels;
  }

  /** Commands at once on each connection. */
  get now(): number {
    return this.#verdict === "parallel" ? this.#most : 1;
  }

  /** Whether the device has yet to say if it runs channels at the same time. */
  get isOpen(): boolean {
    return this.#verdict === undefined && this.#most > 1;
  }

  /**
   * Asks the device whether it runs channels at the same time, unless that is known, or is being asked elsewhere, or was asked in
   * vain a moment ago. @returns undefined if it does not ask
   */
  ask(run: ProbeChannel): Promise<void> | undefined {
    const { clock, logger, questionMs } = this.#options;
    if (!this.isOpen || this.#isAsking || clock.monotonic() < this.#askAgainAt) return undefined;
    this.#isAsking = true;
    logger.debug("asking the RDS whether it runs two channels of a connection at the same time");
    return runsInParallel(run, clock, questionMs).then((answer) => {
      this.#isAsking = false;
      this.#askAgainAt = clock.monotonic() + Math.min(MAX_PAUSE_MS, PAUSE_MS * 2 ** this.#unanswered);
      this.#unanswered = answer === undefined ? this.#unanswered + 1 : 0;
      if (answer !== undefined && this.isOpen) this.#judge(answer);
    });
  }

  /** Whether something was learned by that time (monotonic). */
  isKnownSince(time: number): boolean {
    return this.#learnedAt !== undefined && this.#learnedAt <= time;
  }

  /**
   * Channels that were open at once before. Beyond this number a channel is asked for only when the server has answered the last
   * request for one.
   */
  get proven(): number {
    return this.#proven;
  }

  /** @param count channels that are open at once on one connection */
  opened(count: number): void {
    if (count > this.#proven) this.#proven = count;
    if (this.#doubted !== undefined && count >= this.#doubted) this.#doubted = undefined;
  }

  #judge(verdict: Verdict): void {
    this.#verdict = verdict;
    this.#learnedAt ??= this.#options.clock.monotonic();
    const { logger } = this.#options;
    if (verdict === "parallel")
      logger.info("the RDS runs the channels of one SSH connection at the same time");
    else
      logger.warn(
        "the RDS runs the channels of one SSH connection one after the other: one command at a time on each connection from now on",
      );
    this.#options.onChange(this.now);
  }

  /**
   * The server refused a channel. One refusal of a number that it has given before is taken for a passing one.
   * @param others channels that were open on the same connection when this one was asked for, 1 or more
   */
  refused(others: number): void {
    const most = Math.max(1, Math.min(this.#most - 1, others));
    if (most >= this.#most) return;
    if (most < this.#proven && this.#doubted === undefined) {
      this.#doubted = others + 1;
      return;
    }
    this.#doubted = undefined;
    this.#most = most;
    this.#learnedAt ??= this.#options.clock.monotonic();
    this.#proven = Math.min(this.#proven, most);
    this.#options.logger.warn(
      "the RDS refused a channel: fewer commands at once on each connection from now on",
      {
        channels: most,
      },
    );
    this.#options.onChange(this.now);
  }
}
