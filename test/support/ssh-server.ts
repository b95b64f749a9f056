import type { Buffer } from "node:buffer";
import { generateKeyPairSync } from "node:crypto";
import type { AddressInfo, Server, Socket } from "node:net";
import type { ParsedKey, ServerChannel, Connection as ServerConnection } from "ssh2";
import ssh2 from "ssh2";
import { ed25519ToOpenSsh } from "../../src/domain/openssh-key.ts";
import { fingerprintOf, type HostKeyPin, parseHostKeyPin } from "../../src/routeros/transport/host-keys.ts";

import { registerSecret } from "./canary.ts";
import { listenOn } from "./listen.ts";

/** A private key text and its public line, as `ssh-keygen` would write them. */
export interface TestKey {
  readonly private: string;
  readonly public: string;
}

let rsaPem: string | undefined;

/** A new Ed25519 key; the RSA key is made once per process, as that is slow. */
export function testKey(type: "ed25519" | "rsa" | "ecdsa"): TestKey {
  if (type === "ed25519") {
    // Not by ssh2, whose generator makes an unreadable key whenever the public key starts with a zero byte.
    const text = ed25519ToOpenSsh(generateKeyPairSync("ed25519").privateKey);
    return {
      private: registerSecret("key of the SSH tests", text, publicLine(text)),
      public: publicLine(text),
    };
  }
  if (type === "ecdsa") return ssh2.utils.generateKeyPairSync("ecdsa", { bits: 256 });
  rsaPem ??= generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
  }).privateKey;
  return { private: rsaPem, public: publicLine(rsaPem) };
}

function parse(text: string): ParsedKey {
  const key = ssh2.utils.parseKey(text);
  if (key instanceof Error) throw key;
  return Array.isArray(key) ? (key[0] as ParsedKey) : key;
}

/** `ssh-… AAAA…` of a private or public key text. */
export function publicLine(text: string): string {
  const key = parse(text);
  return `${key.type} ${key.getPublicSSH().toString("base64")}`;
}

export function pinOf(text: string): HostKeyPin {
  const pin = parseHostKeyPin(text);
  if (typeof pin === "string") throw new Error(`pin ${pin}`);
  return pin;
}

/** One exec request as the server sees it. */
export interface ServedCommand {
  readonly line: string;
  readonly channel: ServerChannel;
  /** Writes the text, sends the status (none if undefined) and closes the channel. */
  answer(text: string, exitCode?: number): void;
  /** Destroys the TCP connection of this command. */
  cut(): void;
}

export interface TestServerOptions {
  readonly hostKeys?: readonly string[];
  readonly userKeys?: readonly string[];
  /** Called when a client has connected: `cut` ends its connection before the handshake. */
  onConnection?: () => "accept" | "cut";
  /** Default: answers with the line itself and status 0. */
  onExec?: (command: ServedCommand) => void;
  /** Called when a channel is asked for, before it is confirmed: `cut` the connection, `refuse` the channel. */
  onSession?: () => "accept" | "refuse" | "cut";
  /** Declines the exec request on an open channel, or cuts the connection instead of an answer to it. */
  onExecRequest?: () => "accept" | "refuse" | "cut";
}

/** An SSH server on loopback that counts what it sees. */
export interface TestServer {
  readonly port: number;
  readonly hostLine: string;
  readonly fingerprint: string;
  readonly lines: string[];
  readonly served: ServedCommand[];
  readonly counts: { connections: number; logins: number; open: number; maxInFlight: number };
  readonly options: TestServerOptions;
  /** Stops reading from every connection, as a machine that hangs would. */
  freeze(): void;
  /** Destroys every connection. */
  cutAll(): void;
  close(): Promise<void>;
}

/** Starts a server on `127.0.0.1`, any port; `options` may be changed while it runs. */
export async function startTestServer(options: TestServerOptions = {}, port = 0): Promise<TestServer> {
  const hostKeys = options.hostKeys ?? [testKey("ed25519").private];
  const first = parse(hostKeys[0] ?? "");
  const sockets = new Set<Socket>();
  const counts = { connections: 0, logins: 0, open: 0, maxInFlight: 0 };
  const lines: string[] = [];
  const served: ServedCommand[] = [];
  const allowed = (options.userKeys ?? []).map((line) => parse(line).getPublicSSH().toString("base64"));

  const server = new ssh2.Server({ hostKeys: [...hostKeys] }, (connection: ServerConnection) => {
    const socket = (connection as unknown as { _sock: Socket })._sock;
    let inFlight = 0;
    socket.setNoDelay(true);
    sockets.add(socket);
    counts.connections += 1;
    counts.open += 1;
    connection.on("error", () => {});
    if (options.onConnection?.() === "cut") socket.destroy();
    connection.on("close", () => {
      counts.open -= 1;
      sockets.delete(socket);
    });
    connection.on("authentication", (context) => {
      if (context.method !== "publickey") return context.reject(["publickey"]);
      if (!allowed.includes(context.key.data.toString("base64"))) return context.reject(["publickey"]);
      if (context.signature === undefined) return context.accept();
      const key = parse(`${context.key.algo} ${context.key.data.toString("base64")}`);
      const good = key.verify(context.blob as Buffer, context.signature, context.hashAlgo);
      return good === true ? context.accept() : context.reject(["publickey"]);
    });
    connection.on("ready", () => {
      counts.logins += 1;
    });
    connection.on("session", (accept, reject) => {
      const decision = options.onSession?.() ?? "accept";
      if (decision === "cut") return void socket.destroy();
      if (decision === "refuse") return void reject();
      const session = accept();
      session.on("exec", (acceptExec, rejectExec, info) => {
        const answer = options.onExecRequest?.() ?? "accept";
        if (answer === "cut") return void socket.destroy();
        if (answer === "refuse") return void rejectExec();
        const channel = acceptExec();
        inFlight += 1;
        counts.maxInFlight = Math.max(counts.maxInFlight, inFlight);
        channel.on("error", () => {});
        channel.resume(); // without a reader its close event never comes
        channel.on("close", () => {
          inFlight -= 1;
        });
        const command: ServedCommand = {
          line: info.command,
          channel,
          answer: (text, exitCode = 0) => {
            channel.write(text);
            channel.exit(exitCode);
            channel.end();
          },
          cut: () => void socket.destroy(),
        };
        lines.push(info.command);
        served.push(command);
        if (options.onExec === undefined) command.answer(info.command);
        else options.onExec(command);
      });
    });
  });
  await listenOn(server as unknown as Server, port);
  return {
    port: (server.address() as AddressInfo).port,
    hostLine: publicLine(hostKeys[0] ?? ""),
    fingerprint: fingerprintOf(first.getPublicSSH()),
    lines,
    served,
    counts,
    options,
    freeze: () => {
      for (const socket of sockets) socket.pause();
    },
    cutAll: () => {
      for (const socket of [...sockets]) socket.destroy();
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of [...sockets]) socket.destroy();
      }),
  };
}
