import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  create,
  type DescMessage,
  type DescService,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { type BoundService, serviceDefinition } from "../../src/csi/bridge.ts";
import { type RunningServer, type ServerOptions, startServer } from "../../src/csi/server.ts";
import { systemClock } from "../../src/domain/clock.ts";
import { silentLogger } from "../../src/observability/log.ts";

/** A call that runs: its result and a way to cancel it. */
export interface ClientCall<T> {
  readonly result: Promise<T>;
  cancel(): void;
}

/** A gRPC client on a unix socket. */
export interface TestClient {
  start<O extends DescMessage>(
    desc: DescService,
    name: string,
    output: O,
    request: MessageInitShape<DescMessage>,
    options?: { deadlineMs?: number; metadata?: Record<string, string> },
  ): ClientCall<MessageShape<O>>;
  close(): void;
}

export function connectClient(path: string): TestClient {
  const client = new Client(`unix:${path}`, credentials.createInsecure());
  return {
    start: (desc, name, output, request, options = {}) => {
      const method = serviceDefinition(desc)[name];
      const input = desc.methods.find((each) => each.localName === name)?.input;
      if (method === undefined || input === undefined) throw new Error(`no RPC ${name}`);
      const metadata = new Metadata();
      for (const [key, value] of Object.entries(options.metadata ?? {})) metadata.set(key, value);
      const { promise, resolve, reject } = Promise.withResolvers<MessageShape<typeof output>>();
      const call = client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        create(input, request),
        metadata,
        options.deadlineMs === undefined ? {} : { deadline: Date.now() + options.deadlineMs },
        (error, value) => (error === null ? resolve(value as MessageShape<typeof output>) : reject(error)),
      );
      return { result: promise, cancel: () => call.cancel() };
    },
    close: () => client.close(),
  };
}

/** The gRPC error that a call ended with; fails when it succeeded. */
export async function rejection(call: ClientCall<unknown> | Promise<unknown>): Promise<ServiceError> {
  try {
    await ("result" in call ? call.result : call);
  } catch (error) {
    return error as ServiceError;
  }
  throw new Error("the call succeeded");
}

/** Temporary directory, server and client that go away together. */
export async function withServer(
  services: readonly BoundService[],
  run: (client: TestClient, server: RunningServer) => Promise<void>,
  options: Partial<ServerOptions> = {},
): Promise<void> {
  await withDirectory(async (directory) => {
    const server = await startServer({
      endpoint: join(directory, "csi.sock"),
      services,
      interceptors: [],
      clock: systemClock,
      logger: silentLogger,
      drainMs: 50,
      abortMs: 50,
      ...options,
    });
    const client = connectClient(server.path);
    try {
      await run(client, server);
    } finally {
      client.close();
      await server.close();
    }
  });
}

export async function withDirectory(run: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "rds-csi-"));
  try {
    await run(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}
