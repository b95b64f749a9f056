import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  pinOf,
  startTestServer,
  type TestKey,
  type TestServer,
  type TestServerOptions,
  testKey,
} from "../../../test/support/ssh-server.ts";
import { createSshTransport, type SshTransportOptions } from "./ssh-transport.ts";
import type { ExecOptions, Transport } from "./transport.ts";

/** A server, a transport that trusts it, and everything they need; `close` ends it all. */
export interface Bench {
  readonly server: TestServer;
  readonly transport: Transport;
  readonly directory: string;
  readonly keyFile: string;
  readonly userKey: TestKey;
  close(): Promise<void>;
}

/** Back-off so short that tests need not wait, with the real clock. */
export const quick = { firstMs: 5, maxMs: 20, maxFatalMs: 5 };

/** Without `channels` each connection runs one command at a time. */
export async function startBench(
  serverOptions: TestServerOptions = {},
  transportOptions: Partial<SshTransportOptions> = {},
): Promise<Bench> {
  const directory = await mkdtemp(join(tmpdir(), "rds-csi-ssh-"));
  const keyFile = join(directory, "key");
  const userKey = testKey("ed25519");
  await writeFile(keyFile, userKey.private, { mode: 0o600 });
  const options =
    serverOptions.userKeys === undefined
      ? Object.assign(serverOptions, { userKeys: [userKey.public] })
      : serverOptions;
  const server = await startTestServer(options);
  const transport = createSshTransport({
    host: "127.0.0.1",
    port: server.port,
    user: "csi",
    keyFile,
    hostKeys: [pinOf(server.fingerprint)],
    backoff: quick,
    channelGraceMs: 100,
    channels: 1,
    ...transportOptions,
  });
  return {
    server,
    transport,
    directory,
    keyFile,
    userKey,
    close: async () => {
      await transport.close();
      await server.close();
      await rm(directory, { recursive: true });
    },
  };
}

/** Options of a read with a deadline of 5 s. */
export function read(more: Partial<ExecOptions> = {}): ExecOptions {
  return { signal: new AbortController().signal, timeoutMs: 5_000, purpose: "read", ...more };
}

export function change(more: Partial<ExecOptions> = {}): ExecOptions {
  return read({ purpose: "change", ...more });
}

/** The error id that a promise rejects with, or "none". */
export async function idOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "none";
  } catch (error) {
    return (error as { id?: string }).id ?? String(error);
  }
}
