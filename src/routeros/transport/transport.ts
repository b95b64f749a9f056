import type { DriverError } from "../../domain/errors/driver-error.ts";

/**
 * The purposes of commands. Each is a lane with a queue and a connection of its own, so that an attach never waits behind a create, also on
 * a device that runs the channels of one connection one after the other.
 * - `attach`: writes of attachments and their exports for a call that waits for them, and the reads of such a call
 * - `change`: create, delete, expand, and repairs in the background
 * - `read`: other reads
 * - `copy`: commands that move the data of volumes, which take seconds each. They use no other lane's connection.
 */
export const PURPOSES = ["attach", "change", "read", "copy"] as const;
export type Purpose = (typeof PURPOSES)[number];

/**
 * `interactive` commands overtake waiting `background` commands; neither overtakes a running one. While a connection runs several
 * commands at once, background ones leave one channel free.
 */
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
  /** Limit in milliseconds from the moment at which the command is sent. `signal` bounds the time before. */
  readonly timeoutMs: number;
  /** `read` must not change anything. */
  readonly purpose: Purpose;
  /** Default: that of the purpose. */
  readonly lane?: Purpose;
  /** Default `interactive`. */
  readonly priority?: Priority;
  /**
   * Reads with the same key may share one command; default is the line itself. Set it when lines differ in a
   * nonce only. Never used for changes.
   */
  readonly coalesceKey?: string;
  /**
   * The object that the command changes. Commands with the same key, of all purposes, are sent in the order in which they were asked for,
   * and the next one only when the channel of the one before has ended, or its connection is gone and closed; also if the caller of that
   * one has left. Never used for reads.
   */
  readonly orderKey?: string;
  /** The nonce of the line's envelope, for the log. */
  readonly nonce?: string;
  /** Name of the command, as the start of an error message: "reading volume csi-…". */
  readonly what?: string;
}

/** Runs single RouterOS command lines on the RDS. */
export interface Transport {
  /**
   * Runs one line. Callers of equal reads may get the same result object. Rejects with `rdsUnreachable`, `hostKeyMismatch`,
   * `authenticationFailed`, `rdsQueueFull`, `rdsQueueSlow` or `rdsBusy` if it certainly did not run, with `rdsSilent`, `rdsOutcomeUnknown` or `replyUnreadable` if it may have run,
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
  /** How many commands each connection may run at once from now on. */
  onChannels(limit: number): void;
}

export const silentObserver: TransportObserver = {
  onSent: () => {},
  onCommand: () => {},
  onConnected: () => {},
  onConnectFailed: () => {},
  onDisconnected: () => {},
  onReconnect: () => {},
  onQueueLength: () => {},
  onChannels: () => {},
};
