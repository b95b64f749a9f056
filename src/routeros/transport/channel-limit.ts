import type { Clock } from "../../domain/clock.ts";
import type { Logger } from "../../observability/log.ts";

/** The two answers to the question whether a device runs the channels of one connection at the same time. */
export type Verdict = "parallel" | "serial";

export interface ChannelLimitOptions {
  /** Channels at once that are wanted on each connection. */
  readonly channels: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called with the number of commands that a connection may run at once, at first and at each change. */
  readonly onChange: (limit: number) => void;
}

/** After a question without an answer, the next one waits so long, milliseconds. */
const PAUSE_MS = 10_000;

/**
 * How many commands each connection to one device may run at once. Shared by all lanes and connections, and kept for the life of the
 * process: one, until the device has proven that it runs two channels at the same time (`runsInParallel`); then the wanted
 * number, or fewer once it has refused a channel beside others.
 */
export class ChannelLimit {
  readonly #options: ChannelLimitOptions;
  #most: number;
  #verdict: Verdict | undefined;
  #proven = 1;
  #askAgainAt = 0;
  #isAsking = false;

  constructor(options: ChannelLimitOptions) {
    this.#options = options;
    this.#most = options.channels;
    options.onChange(this.now);
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
  ask(question: () => Promise<Verdict | "refused" | undefined>): Promise<void> | undefined {
    const { clock, logger } = this.#options;
    if (!this.isOpen || this.#isAsking || clock.monotonic() < this.#askAgainAt) return undefined;
    this.#isAsking = true;
    logger.debug("asking the RDS whether it runs two channels of a connection at the same time");
    return question().then((answer) => {
      this.#isAsking = false;
      this.#askAgainAt = clock.monotonic() + PAUSE_MS;
      if (answer === "refused") this.refused(1);
      else if (answer !== undefined) this.#judge(answer);
    });
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
  }

  #judge(verdict: Verdict): void {
    this.#verdict = verdict;
    if (verdict === "serial") {
      this.#options.logger.warn(
        "the RDS runs the channels of one SSH connection one after the other: one command at a time on each connection from now on",
      );
    }
    this.#options.onChange(this.now);
  }

  /** The server refused a channel. @param others channels that it had given on the same connection, 1 or more */
  refused(others: number): void {
    const most = Math.max(1, Math.min(this.#most - 1, others));
    if (most >= this.#most) return;
    this.#most = most;
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
