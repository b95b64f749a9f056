import type { Clock } from "../domain/clock.ts";
import { type DriverError, failure } from "../domain/errors/driver-error.ts";
import { type Logger, silentLogger } from "../observability/log.ts";
import { currentRequest } from "../observability/request-scope.ts";
import type { ChannelOutcome } from "../routeros/transport/channel.ts";
import { type Connection, type ConnectionOptions, openConnection } from "../routeros/transport/connection.ts";
import type { ExecResult, Transport } from "../routeros/transport/transport.ts";

/** Everything that came back for one exec request. */
export interface Raw {
  readonly stdout: string;
  readonly stderr: string;
  /** Exit status; undefined if the channel closed without one. */
  readonly exitCode: number | undefined;
  /** Milliseconds from the request to the end of its channel. */
  readonly tookMs: number;
}

/** The end of a request that was not answered. */
export interface NoAnswer {
  readonly ended: "notSent" | "refused" | "lost" | "tooLong" | "late";
  readonly reason: string;
  readonly tookMs: number;
}

export type Exchange = Raw | NoAnswer;

/** Whether a request was answered. */
export function isAnswered(exchange: Exchange): exchange is Raw {
  return !("ended" in exchange);
}

/** Both streams of an answer as one text. */
export function textOf({ stdout, stderr }: Raw): string {
  return stdout + stderr;
}

/** Settings of a session. */
export interface SessionOptions extends ConnectionOptions {
  /** Gets each line as it is sent; none of them if not given. */
  readonly logger?: Logger;
}

/** One SSH connection of the probe. Each request has a channel of its own. */
export class Session {
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #logger: Logger;

  private constructor(connection: Connection, { clock, logger = silentLogger }: SessionOptions) {
    this.#connection = connection;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Logs in. @throws the error of the connection: rdsUnreachable, hostKeyMismatch, authenticationFailed and others */
  static async open(options: SessionOptions, signal: AbortSignal): Promise<Session> {
    const opened = await openConnection(options, signal);
    if (opened.kind === "failed") throw opened.error;
    return new Session(opened, options);
  }

  get isOpen(): boolean {
    return this.#connection.open;
  }

  /** Resolves with the reason once the connection is gone. */
  get closed(): Promise<string> {
    return this.#connection.closed;
  }

  /** Runs one line. @param limitMs milliseconds until its answer is given up @param onOpened called once the device has given a channel */
  async exec(line: string, limitMs: number, onOpened: () => void = () => {}): Promise<Exchange> {
    const startedAt = this.#clock.monotonic();
    const limit = new AbortController();
    const timer = new AbortController();
    this.#logger.debug("command sent", { ...currentRequest(), purpose: "probe", line });
    const running = this.#connection.run(line, { abandon: limit.signal, onOpened, onStuck: () => {} });
    const late = this.#clock.sleep(limitMs, timer.signal).then(
      (): ChannelOutcome => {
        limit.abort();
        return { kind: "abandoned" };
      },
      (): ChannelOutcome => ({ kind: "abandoned" }),
    );
    const outcome = await Promise.race([running, late]);
    timer.abort();
    const tookMs = this.#clock.monotonic() - startedAt;
    switch (outcome.kind) {
      case "answered": {
        const { stdout, stderr, exitCode } = outcome;
        return { stdout, stderr, exitCode, tookMs };
      }
      case "abandoned":
        return { ended: "late", reason: `no answer within ${limitMs / 1_000} s`, tookMs };
      case "tooLong":
        return { ended: "tooLong", reason: `more than ${outcome.limit} bytes`, tookMs };
      default:
        return { ended: outcome.kind, reason: outcome.reason, tookMs };
    }
  }

  /** Cuts the connection at once, as a client that dies. */
  drop(): void {
    this.#connection.drop("cut by the probe");
  }

  /** Ends the connection politely. */
  async close(): Promise<void> {
    this.#connection.end();
    const timer = new AbortController();
    this.#clock.sleep(1_000, timer.signal).then(
      () => this.#connection.drop("closed by the probe"),
      () => {},
    );
    await this.#connection.closed;
    timer.abort();
  }
}

/** A session as the transport of a client. Commands run one after the other. */
export function transportOf(session: Session, address: string, limitMs: number): Transport {
  const unreachable = (reason: string): DriverError => failure("rdsUnreachable", { address, reason });
  return {
    address,
    exec: async (line): Promise<ExecResult> => {
      const answer = await session.exec(line, limitMs);
      if (!isAnswered(answer)) throw unreachable(answer.reason);
      const { stdout, stderr, exitCode } = answer;
      return { stdout, stderr, exitCode, line };
    },
    close: () => session.close(),
    connected: () => session.isOpen,
    whyNoAnswer: (seconds) => unreachable(`no answer within ${seconds} s`),
    onReconnect: () => () => {},
  };
}
