import { systemClock } from "../../domain/clock.ts";
import { failure } from "../../domain/errors/driver-error.ts";
import { silentLogger } from "../../observability/log.ts";
import { withoutRequest } from "../../observability/request-scope.ts";
import { DEFAULT_WHAT } from "./command.ts";
import { addressOf, type ConnectionOptions, openConnection } from "./connection.ts";
import type { ConnectBackoff } from "./connector.ts";
import type { HostKeySources } from "./host-keys.ts";
import { closeLanes, createLanes } from "./lanes.ts";
import { type ExecOptions, PURPOSES, type Purpose, silentObserver, type Transport } from "./transport.ts";
import type { UserKeyFiles } from "./user-key.ts";

export const DEFAULT_BACKOFF: ConnectBackoff = { firstMs: 250, maxMs: 30_000, maxFatalMs: 5_000 };

/** The settings that a caller may leave out. Durations in milliseconds, lengths in bytes. */
const DEFAULTS = {
  port: 22,
  logger: silentLogger,
  observer: silentObserver,
  clock: systemClock,
  random: Math.random,
  queueLimit: 256,
  /** Far beyond the deadlines of all callers that have one. */
  queueMs: 300_000,
  channels: 8,
  questionMs: 10_000,
  connectTimeoutMs: 10_000,
  /** A dead link is found within the minute. */
  tcpKeepaliveMs: 15_000,
  idleCheckMs: 60_000,
  /** Then the connection is dropped, and the next command opens another one. */
  idleAnswerMs: 15_000,
  patienceMs: 5_000,
  channelGraceMs: 2_000,
  maxOutputBytes: 8 * 1024 * 1024,
  maxLineBytes: 64 * 1024,
  backoff: DEFAULT_BACKOFF,
};

/** How to reach the RDS. Without host keys every connection is refused. */
export type SshTransportOptions = Pick<
  ConnectionOptions,
  "host" | "user" | keyof HostKeySources | keyof UserKeyFiles
> & {
  readonly [K in keyof typeof DEFAULTS]?: (typeof DEFAULTS)[K] | undefined;
};

/** Why a line must not be sent, or undefined. RouterOS runs one line per request (facts, section 1). */
function lineMistake(line: string, maxBytes: number): string | undefined {
  if (line.trim() === "") return "is empty";
  if (/[\r\n\0]/.test(line)) return "holds a line break or NUL";
  if (line.startsWith("-")) return "starts with a hyphen";
  const bytes = new TextEncoder().encode(line).length;
  return bytes > maxBytes ? `is ${bytes} bytes long, the limit is ${maxBytes}` : undefined;
}

/**
 * Commands over SSH: a lane with a long-lived connection for each purpose, opened when first needed, with several commands at once
 * on each connection. Nothing is sent and no file is read before the first `exec`.
 */
export function createSshTransport(options: SshTransportOptions): Transport {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const settings = { ...DEFAULTS, ...given } as typeof DEFAULTS & typeof options & ConnectionOptions;
  const { maxLineBytes } = settings;
  const logger = withoutRequest(settings.logger).child({ component: "ssh" });
  const address = addressOf(settings);
  const listeners = new Set<(purpose: Purpose) => void>();
  const lanes = createLanes({
    ...settings,
    address,
    logger,
    connect: (signal) => openConnection(settings, signal),
    onReconnect: (purpose) => {
      for (const listener of [...listeners]) listener(purpose);
    },
  });
  const all = PURPOSES.map((purpose) => lanes[purpose]);
  return {
    address,
    exec: (line: string, execOptions: ExecOptions) => {
      const mistake = lineMistake(line, maxLineBytes);
      const { lane, purpose } = execOptions;
      if (mistake === undefined) return lanes[lane ?? purpose].exec(line, execOptions);
      const what = execOptions.what ?? DEFAULT_WHAT;
      return Promise.reject(failure("internal", { what: `${what}: the command line ${mistake}` }));
    },
    close: () => closeLanes(lanes),
    connected: (purpose) => lanes[purpose].connected,
    whyNoAnswer: (seconds) =>
      all.map((lane) => lane.whyNoAnswer(seconds)).find((reason) => reason !== undefined) ??
      failure("rdsUnreachable", { address, reason: `no answer within ${seconds} s` }),
    onReconnect: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
