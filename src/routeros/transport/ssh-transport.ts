import type { Clock } from "../../domain/clock.ts";
import { systemClock } from "../../domain/clock.ts";
import { failure } from "../../domain/errors/driver-error.ts";
import { type Logger, silentLogger } from "../../observability/log.ts";
import { withoutRequest } from "../../observability/request-scope.ts";
import { DEFAULT_WHAT } from "./command.ts";
import { openConnection } from "./connection.ts";
import type { ConnectBackoff } from "./connector.ts";
import type { HostKeyPin } from "./host-keys.ts";
import { QueuedConnection } from "./queued-connection.ts";
import {
  type ExecOptions,
  type Purpose,
  silentObserver,
  type Transport,
  type TransportObserver,
} from "./transport.ts";

/** How to reach the RDS. Durations in milliseconds. */
export interface SshTransportOptions {
  /** Host name or literal IP address. */
  readonly host: string;
  /** Default 22. */
  readonly port?: number | undefined;
  readonly user: string;
  /** Path of the private key; read anew for every connection. */
  readonly keyFile: string;
  /** Path of the key's passphrase. */
  readonly passphraseFile?: string | undefined;
  /** The host keys that the RDS may show (`parseHostKeyPin`). None means that every connection is refused. */
  readonly hostKeys: readonly HostKeyPin[];
  readonly logger?: Logger | undefined;
  readonly observer?: TransportObserver | undefined;
  readonly clock?: Clock | undefined;
  /** Uniform in [0, 1). */
  readonly random?: (() => number) | undefined;
  /** Commands that may wait per connection; default 256. */
  readonly queueLimit?: number | undefined;
  /** Default 10 s, for TCP, handshake and login together. */
  readonly connectTimeoutMs?: number | undefined;
  /** Silence after which TCP asks whether the other side is there; default 15 s. A dead link is found within the minute. */
  readonly tcpKeepaliveMs?: number | undefined;
  /** Silence after which an idle connection is asked for a sign of life, by a command; default 60 s. */
  readonly idleCheckMs?: number | undefined;
  /** How long that sign may take; default 15 s. Then the connection is dropped, and the next command opens another one. */
  readonly idleAnswerMs?: number | undefined;
  /** How long a command waits for a connection that cannot be made; default 5 s. */
  readonly patienceMs?: number | undefined;
  /** Default 2 s. */
  readonly channelGraceMs?: number | undefined;
  /** Default 8 MiB, standard output and error together. */
  readonly maxOutputBytes?: number | undefined;
  /** Default 64 KiB. */
  readonly maxLineBytes?: number | undefined;
  readonly backoff?: ConnectBackoff | undefined;
}

export const DEFAULT_BACKOFF: ConnectBackoff = { firstMs: 250, maxMs: 30_000, maxFatalMs: 5_000 };

/** Why a line must not be sent, or undefined. RouterOS runs one line per request (facts, section 1). */
function lineMistake(line: string, maxBytes: number): string | undefined {
  if (line.trim() === "") return "is empty";
  if (/[\r\n\0]/.test(line)) return "holds a line break or NUL";
  if (line.startsWith("-")) return "starts with a hyphen";
  const bytes = new TextEncoder().encode(line).length;
  return bytes > maxBytes ? `is ${bytes} bytes long, the limit is ${maxBytes}` : undefined;
}

/**
 * Commands over SSH: one long-lived connection for reads, one for changes, each opened when first needed.
 * Nothing is sent and no file is read before the first `exec`.
 */
export function createSshTransport(options: SshTransportOptions): Transport {
  const port = options.port ?? 22;
  const clock = options.clock ?? systemClock;
  const logger = withoutRequest(options.logger ?? silentLogger).child({ component: "ssh" });
  const maxLineBytes = options.maxLineBytes ?? 64 * 1024;
  const address = options.host.includes(":") ? `[${options.host}]:${port}` : `${options.host}:${port}`;
  const listeners = new Set<(purpose: Purpose) => void>();
  const connection = {
    host: options.host,
    port,
    user: options.user,
    keyFile: options.keyFile,
    passphraseFile: options.passphraseFile,
    hostKeys: options.hostKeys,
    clock,
    connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
    tcpKeepaliveMs: options.tcpKeepaliveMs ?? 15_000,
    channelGraceMs: options.channelGraceMs ?? 2_000,
    maxOutputBytes: options.maxOutputBytes ?? 8 * 1024 * 1024,
  };
  const open = (purpose: Purpose): QueuedConnection =>
    new QueuedConnection({
      purpose,
      address,
      queueLimit: options.queueLimit ?? 256,
      backoff: options.backoff ?? DEFAULT_BACKOFF,
      patienceMs: options.patienceMs ?? 5_000,
      idleCheckMs: options.idleCheckMs ?? 60_000,
      idleAnswerMs: options.idleAnswerMs ?? 15_000,
      clock,
      random: options.random ?? Math.random,
      logger,
      observer: options.observer ?? silentObserver,
      connect: (signal) => openConnection(connection, signal),
      onReconnect: () => {
        for (const listener of [...listeners]) listener(purpose);
      },
    });
  const connections: Record<Purpose, QueuedConnection> = { read: open("read"), mutate: open("mutate") };
  return {
    address,
    exec: (line: string, execOptions: ExecOptions) => {
      const mistake = lineMistake(line, maxLineBytes);
      if (mistake === undefined) return connections[execOptions.purpose].exec(line, execOptions);
      const what = execOptions.what ?? DEFAULT_WHAT;
      return Promise.reject(failure("internal", { what: `${what}: the command line ${mistake}` }));
    },
    close: async () => {
      await Promise.all([connections.read.close(), connections.mutate.close()]);
    },
    connected: (purpose) => connections[purpose].connected,
    whyNoAnswer: (seconds) =>
      connections.read.whyNoAnswer(seconds) ??
      connections.mutate.whyNoAnswer(seconds) ??
      failure("rdsUnreachable", { address, reason: `no answer within ${seconds} s` }),
    onReconnect: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
