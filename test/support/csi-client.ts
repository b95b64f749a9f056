import {
  create,
  type DescMessage,
  type DescService,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { type ChannelOptions, Client, credentials, Metadata } from "@grpc/grpc-js";
import { serviceDefinition } from "../../src/csi/bridge.ts";

type Unary<S extends DescService> = {
  [K in keyof S["method"]]: S["method"][K] extends {
    readonly methodKind: "unary";
    readonly input: infer I extends DescMessage;
    readonly output: infer O extends DescMessage;
  }
    ? (request?: MessageInitShape<I>, options?: CallOptions) => Promise<MessageShape<O>>
    : never;
};

export interface CallOptions {
  /** Deadline from now; 60,000. Infinity for none. */
  readonly deadlineMs?: number;
  /** Deadline that the server is told while this client goes on waiting, to see when the server answers. */
  readonly announcedMs?: number;
  /** Cancels the call, as a client does that gives up. */
  readonly signal?: AbortSignal;
}

/** A typed client of one CSI service: a method per unary RPC. */
export type ServiceClient<S extends DescService> = Unary<S> & { close(): void };

/** Connects to a service on a unix socket, as a sidecar or kubelet does. Errors are grpc-js ServiceErrors. */
export function serviceClient<S extends DescService>(
  desc: S,
  socket: string,
  channelOptions: ChannelOptions = {},
): ServiceClient<S> {
  const client = new Client(`unix:${socket}`, credentials.createInsecure(), {
    // Its own connection, which is soon back after the server was started again.
    "grpc.use_local_subchannel_pool": 1,
    "grpc.initial_reconnect_backoff_ms": 50,
    "grpc.max_reconnect_backoff_ms": 200,
    ...channelOptions,
  });
  const definition = serviceDefinition(desc);
  const methods = desc.methods
    .filter((method) => method.methodKind === "unary")
    .map((method) => {
      const rpc = definition[method.localName];
      if (rpc === undefined) throw new Error(`${method.name} has no definition`);
      const call = (
        request: MessageInitShape<DescMessage> = {},
        { deadlineMs = 60_000, announcedMs, signal }: CallOptions = {},
      ) =>
        new Promise((resolve, reject) => {
          const metadata = new Metadata();
          if (announcedMs !== undefined) metadata.set("grpc-timeout", `${announcedMs}m`);
          const running = client.makeUnaryRequest(
            rpc.path,
            rpc.requestSerialize,
            rpc.responseDeserialize,
            create(method.input, request),
            metadata,
            deadlineMs === Infinity || announcedMs !== undefined ? {} : { deadline: Date.now() + deadlineMs },
            (error: Error | null, value: unknown) => {
              clearTimeout(patience);
              if (error === null) resolve(value);
              else reject(error);
            },
          );
          // A deadline of this client's own would be the one that the server is told.
          const patience =
            announcedMs === undefined ? undefined : setTimeout(() => running.cancel(), deadlineMs);
          signal?.addEventListener("abort", () => running.cancel(), { once: true });
        });
      return [method.localName, call] as const;
    });
  return { ...Object.fromEntries(methods), close: () => client.close() } as unknown as ServiceClient<S>;
}
