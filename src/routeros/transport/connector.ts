import { type BackoffLimits, backoffDelay } from "../../domain/backoff.ts";
import type { Clock } from "../../domain/clock.ts";
import type { Logger } from "../../observability/log.ts";
import type { ConnectFailure, Connection } from "./connection.ts";
import type { Purpose, TransportObserver } from "./transport.ts";

/** Limits of the wait between connection attempts, in milliseconds. */
export interface ConnectBackoff extends BackoffLimits {
  /** Longest wait after a failure that only a person can cure: short, so that a call notices the cure. */
  readonly maxFatalMs: number;
}

export interface ConnectorOptions {
  readonly purpose: Purpose;
  readonly address: string;
  readonly backoff: ConnectBackoff;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly logger: Logger;
  readonly observer: TransportObserver;
  readonly connect: (signal: AbortSignal) => Promise<Connection | ConnectFailure>;
  /** An attempt has failed, and there will be another one. */
  readonly onFailed: (failure: ConnectFailure) => void;
}

/** Makes the connections of one purpose, with a growing pause between attempts that fail. */
export class Connector {
  readonly #options: ConnectorOptions;
  #failures = 0;
  #notBefore = 0;
  #lastFailure: ConnectFailure | undefined;

  constructor(options: ConnectorOptions) {
    this.#options = options;
  }

  /** Why the latest attempt failed; undefined after one that succeeded. */
  get lastFailure(): ConnectFailure | undefined {
    return this.#lastFailure;
  }

  /**
   * Connects, again and again with back-off.
   * @param isWanted whether somebody still waits for the connection
   * @returns the connection; a failure that only a person can cure; undefined when no caller waits any more
   */
  async connect(
    isWanted: () => boolean,
    stop: AbortSignal,
  ): Promise<Connection | ConnectFailure | undefined> {
    const { clock, observer, purpose, logger, address } = this.#options;
    while (!stop.aborted && isWanted()) {
      const wait = this.#notBefore - clock.monotonic();
      if (wait > 0) await clock.sleep(wait, stop).catch(() => {});
      if (stop.aborted || !isWanted()) return undefined;
      const started = clock.monotonic();
      const result = await this.#options.connect(stop);
      if (result.kind === "connected") {
        this.#lastFailure = undefined;
        observer.onConnected(purpose, (clock.monotonic() - started) / 1000);
        logger.info("connected to the RDS", { purpose, address });
        return result;
      }
      this.failed(result.fatal);
      if (stop.aborted) return undefined;
      const { reason, error } = result;
      observer.onConnectFailed(purpose, reason, error);
      if (this.#lastFailure?.reason !== reason)
        logger.warn("cannot connect to the RDS", { purpose, address, reason, errorId: error.id });
      this.#lastFailure = result;
      if (result.fatal) return result;
      this.#options.onFailed(result);
    }
    return undefined;
  }

  /** An attempt or a connection has failed: the next attempt waits. */
  failed(fatal: boolean): void {
    const { backoff, random, clock } = this.#options;
    this.#failures += 1;
    const maxMs = fatal ? Math.min(backoff.maxFatalMs, backoff.maxMs) : backoff.maxMs;
    this.#notBefore = clock.monotonic() + backoffDelay(this.#failures, { ...backoff, maxMs }, random);
  }

  /** A command was answered: the RDS is well. */
  worked(): void {
    this.#failures = 0;
  }
}
