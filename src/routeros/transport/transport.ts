import type { DriverError } from "../../domain/errors/driver-error.ts";

/** The purpose of a command. Each purpose has its own connection, so that a long change never delays a read. */
export type Purpose = "read" | "mutate";

/** `interactive` commands overtake waiting `background` commands; neither overtakes a running one. */
export type Priority = "interactive" | "background";

/** Raw result of one exec request; verdicts are made from text by the layer above. */
export interface ExecResult {
  /** Everything the command wrote to its standard output, decoded as UTF-8. */
  readonly stdout: string;
  readonly stderr: string;
  /** Exit status; undefined if the RDS closed the channel without one. Only a hint (RouterOS facts, section 1). */
  readonly exitCode: number | undefined;
  /** The line that was really sent: that of the first caller, if equal reads were answered by one command. */
  readonly line: string;
}

export interface ExecOptions {
  /** Aborting removes a waiting command; of a running one only the answer is given up, the RDS may still run it. */
  readonly signal: AbortSignal;
  /** Limit for waiting and running together, in milliseconds. */
  readonly timeoutMs: number;
  readonly purpose: Purpose;
  /** Default `interactive`. */
  readonly priority?: Priority;
  /**
   * Reads with the same key may share one command; default is the line itself. Set it when lines differ in a
   * nonce only. Never used for mutations.
   */
  readonly coalesceKey?: string;
  /** The nonce of the line's envelope, for the log. */
  readonly nonce?: string;
  /** Name of the command, as the start of an error message: "reading volume csi-…". */
  readonly what?: string;
}

/** Runs single RouterOS command lines on the RDS. */
export interface Transport {
  /**
   * Runs one line. Rejects with `rdsUnreachable`, `hostKeyMismatch`, `authenticationFailed`, `rdsQueueFull` or
   * `rdsBusy` if it certainly did not run, with `rdsSilent`, `rdsOutcomeUnknown` or `replyUnreadable` if it may have run,
   * with `cancelled` (or the signal's own error) after an abort, and with `shuttingDown` after `close`.
   */
  exec(line: string, options: ExecOptions): Promise<ExecResult>;
  /** Fails waiting commands, closes the connections. Idempotent. */
  close(): Promise<void>;
  /** `host:port`, for messages. */
  readonly address: string;
  /** Whether the connection of this purpose is up now; it is opened by the first command. */
  connected(purpose: Purpose): boolean;
  /**
   * The reason for a missing answer, for a caller whose time is over: `rdsSilent` naming the command that runs, `rdsUnreachable`
   * or the error of the login while there is no connection.
   * @param seconds that the caller has waited
   */
  whyNoAnswer(seconds: number): DriverError;
  /** Calls `listener` each time a lost connection is back. Returns the function that removes it. */
  onReconnect(listener: (purpose: Purpose) => void): () => void;
}

/**
 * How a command that left the queue ended. `notSent` runs again; `abandoned`: every caller gave up while it ran.
 */
export type CommandOutcome = "answered" | "notSent" | "lost" | "refused" | "tooLong" | "abandoned";

/** Hooks for metrics. Called synchronously; must not throw. Durations in seconds. */
export interface TransportObserver {
  /** A command leaves the queue; `waitedSeconds` since it came, or came back. */
  onSent(purpose: Purpose, waitedSeconds: number): void;
  onCommand(purpose: Purpose, outcome: CommandOutcome, seconds: number): void;
  onConnected(purpose: Purpose, seconds: number): void;
  /** @param error its id tells a host key that is not pinned from a login that was refused */
  onConnectFailed(purpose: Purpose, reason: string, error: DriverError): void;
  onDisconnected(purpose: Purpose, reason: string): void;
  onReconnect(purpose: Purpose): void;
  onQueueLength(purpose: Purpose, length: number): void;
}

export const silentObserver: TransportObserver = {
  onSent: () => {},
  onCommand: () => {},
  onConnected: () => {},
  onConnectFailed: () => {},
  onDisconnected: () => {},
  onReconnect: () => {},
  onQueueLength: () => {},
};
