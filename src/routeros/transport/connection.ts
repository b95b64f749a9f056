import type { Buffer } from "node:buffer";
import { connect as netConnect, type Socket } from "node:net";
import ssh2, { type AnyAuthMethod, type Client, type ParsedKey } from "ssh2";
import type { Clock } from "../../domain/clock.ts";
import { type DriverError, failure } from "../../domain/errors/driver-error.ts";
import { type ChannelContext, type ChannelOutcome, type ChannelUse, runCommand } from "./channel.ts";
import {
  fingerprintOf,
  HostKeyFileError,
  type HostKeyPin,
  type HostKeySources,
  hostKeyAlgorithms,
  isPinned,
  readHostKeys,
} from "./host-keys.ts";
import { joinWrites } from "./join-writes.ts";
import { readUserKey, UserKeyError, type UserKeyFiles } from "./user-key.ts";

/** Settings of one connection. Durations in milliseconds. */
export interface ConnectionOptions extends UserKeyFiles, HostKeySources {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly clock: Clock;
  /** Limit for TCP connect, handshake and login together. */
  readonly connectTimeoutMs: number;
  /** Time without a packet after which the kernel asks the peer whether it still holds the connection. */
  readonly tcpKeepaliveMs: number;
  /** Time between keepalive requests of SSH, whose missing answers end the connection. Left out: none, see below. */
  readonly sshKeepaliveMs?: number;
  /** After giving up a command, how long its channel may take to close before the connection is replaced. */
  readonly channelGraceMs: number;
  /** Of standard output and error together. */
  readonly maxOutputBytes: number;
}

/** An attempt that failed. `fatal`: trying again is useless until a person has changed something. */
export interface ConnectFailure {
  readonly kind: "failed";
  readonly error: DriverError;
  readonly reason: string;
  readonly fatal: boolean;
}

/** A logged-in connection. Its user bounds the number of commands at once. */
export interface Connection {
  readonly kind: "connected";
  /** Runs one command; settles when its channel is closed or the connection is gone and closed. Never rejects. */
  run(line: string, use: ChannelUse): Promise<ChannelOutcome>;
  readonly open: boolean;
  /** Resolves with the reason once the connection is gone. */
  readonly closed: Promise<string>;
  /** Polite end: disconnect message, then close. */
  end(): void;
  /** Cuts the connection at once. */
  drop(reason: string): void;
}

// Elliptic curves only: RouterOS has curve25519 since 7.7, and group exchange costs seconds of processor time.
const KEX = [
  "curve25519-sha256",
  "curve25519-sha256@libssh.org",
  "ecdh-sha2-nistp256",
  "ecdh-sha2-nistp384",
  "ecdh-sha2-nistp521",
] as const;

/** `host:port`, `[2001:db8::1]:port`. */
export function addressOf({ host, port }: Pick<ConnectionOptions, "host" | "port">): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Turns the end of a handshake into an error of the catalogue. */
function explain(
  options: ConnectionOptions,
  pins: readonly HostKeyPin[],
  cause: (Error & { level?: string }) | undefined,
  refusedKey: string | undefined,
): ConnectFailure {
  const address = addressOf(options);
  const pinned = pins.map((pin) => pin.fingerprint);
  const reason = cause?.message ?? "connection closed during the handshake";
  if (refusedKey !== undefined) {
    const error = failure("hostKeyMismatch", { address, offered: refusedKey, pinned }, cause);
    return { kind: "failed", error, reason: "host key is not pinned", fatal: true };
  }
  if (/no matching host key format/.test(reason)) {
    const offered = `not one of ${hostKeyAlgorithms(pins).join(", ")}`;
    const error = failure("hostKeyMismatch", { address, offered, pinned }, cause);
    return { kind: "failed", error, reason: "host key is of another type", fatal: true };
  }
  if (cause?.level === "client-authentication") {
    const error = failure("authenticationFailed", { address, user: options.user }, cause);
    return { kind: "failed", error, reason: "login refused", fatal: true };
  }
  return {
    kind: "failed",
    error: failure("rdsUnreachable", { address, reason }, cause),
    reason,
    fatal: false,
  };
}

/**
 * Opens one SSH connection: TCP, handshake with a pinned host key, public key login. Never rejects.
 * @param signal gives up the attempt
 */
export async function openConnection(
  options: ConnectionOptions,
  signal: AbortSignal,
): Promise<Connection | ConnectFailure> {
  let key: ParsedKey;
  let pins: readonly HostKeyPin[];
  try {
    [key, pins] = await Promise.all([readUserKey(options), readHostKeys(options)]);
  } catch (error) {
    const known = error instanceof UserKeyError || error instanceof HostKeyFileError;
    const reason = known ? error.message : String(error);
    const id = error instanceof HostKeyFileError ? "hostKeysUnusable" : "userKeyUnusable";
    const found = failure(id, { address: addressOf(options), reason }, error);
    return { kind: "failed", error: found, reason, fatal: true };
  }
  if (signal.aborted) return explain(options, pins, new Error("the attempt was given up"), undefined);

  const client = new ssh2.Client();
  const socket = netConnect({ host: options.host, port: options.port });
  return await new Promise((resolve) => {
    let last: (Error & { level?: string }) | undefined;
    let refusedKey: string | undefined;
    const giveUp = (): void => {
      last ??= new Error("the attempt was given up");
      socket.destroy();
    };
    signal.addEventListener("abort", giveUp, { once: true });
    // Stays for the life of the client: after a failed handshake ssh2 may report a second error.
    client.on("error", (error) => {
      last ??= error;
      socket.destroy();
    });
    // Before this event there is no socket to set it on; without it each command costs 2 x 40 ms (Nagle).
    client.on("connect", () => {
      socket.setNoDelay(true);
      joinWrites(socket);
    });
    client.once("close", () => {
      signal.removeEventListener("abort", giveUp);
      resolve(explain(options, pins, last, refusedKey));
    });
    client.once("ready", () => {
      signal.removeEventListener("abort", giveUp);
      // RouterOS does not answer keepalive@openssh.com, so ssh2's own keepalives would end a healthy connection. The other
      // kernel answers these, also while a command runs for minutes.
      socket.setKeepAlive(true, options.tcpKeepaliveMs);
      resolve(connectionOf(options, client, socket, () => last?.message));
    });
    const login: AnyAuthMethod = { type: "publickey", username: options.user, key };
    client.connect({
      sock: socket,
      username: options.user,
      authHandler: [login],
      readyTimeout: options.connectTimeoutMs,
      keepaliveInterval: options.sshKeepaliveMs ?? 0,
      algorithms: { kex: [...KEX], serverHostKey: hostKeyAlgorithms(pins) },
      hostVerifier: (blob: Buffer) => {
        if (isPinned(pins, blob)) return true;
        refusedKey = fingerprintOf(blob);
        return false;
      },
    });
  });
}

/** How long the RDS may take to end a connection, milliseconds; then it is cut. */
const END_MS = 1_000;

/** Ends a connection politely, and resolves when it is gone. */
export async function endConnection(connection: Connection, clock: Clock): Promise<void> {
  connection.end();
  const timer = new AbortController();
  const cut = clock.sleep(END_MS, timer.signal).then(
    () => connection.drop("closed by the driver"),
    () => {},
  );
  await connection.closed;
  timer.abort();
  await cut;
}

function connectionOf(
  options: ConnectionOptions,
  client: Client,
  socket: Socket,
  lastError: () => string | undefined,
): Connection {
  let open = true;
  let dropReason: string | undefined;
  const whenGone = new Set<() => void>();
  const drop = (reason: string): void => {
    dropReason ??= reason;
    open = false;
    socket.destroy();
  };
  const closed = new Promise<string>((resolve) => {
    // A server that ends its side is gone for us; ssh2 alone would keep the channel waiting for the close event.
    client.once("end", () => drop("closed by the RDS"));
    client.once("close", () => {
      open = false;
      resolve(lastError() ?? dropReason ?? "connection closed");
      for (const listener of [...whenGone]) listener();
    });
  });
  const context: ChannelContext = {
    clock: options.clock,
    graceMs: options.channelGraceMs,
    maxOutputBytes: options.maxOutputBytes,
    isOpen: () => open && !socket.destroyed,
    lostReason: () => lastError() ?? dropReason ?? "connection closed",
    onGone: (listener) => {
      whenGone.add(listener);
      return () => whenGone.delete(listener);
    },
  };
  return {
    kind: "connected",
    get open() {
      return context.isOpen();
    },
    closed,
    run: (line, use) => runCommand(client, line, context, use),
    end: () => {
      dropReason ??= "closed by the driver";
      open = false;
      client.end();
    },
    drop,
  };
}
