import {
  create,
  type DescMessage,
  type DescService,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { Client, credentials } from "@grpc/grpc-js";
import { serviceDefinition } from "../../src/csi/bridge.ts";

type Unary<S extends DescService> = {
  [K in keyof S["method"]]: S["method"][K] extends {
    readonly methodKind: "unary";
    readonly input: infer I extends DescMessage;
    readonly output: infer O extends DescMessage;
  }
    ? (request?: MessageInitShape<I>, options?: { readonly deadlineMs?: number }) => Promise<MessageShape<O>>
    : never;
};

/** A typed client of one CSI service: a method per unary RPC. */
export type ServiceClient<S extends DescService> = Unary<S> & { close(): void };

/** Connects to a service on a unix socket, as a sidecar or kubelet does. Errors are grpc-js ServiceErrors. */
export function serviceClient<S extends DescService>(desc: S, socket: string): ServiceClient<S> {
  const client = new Client(`unix:${socket}`, credentials.createInsecure());
  const definition = serviceDefinition(desc);
  const methods = desc.methods
    .filter((method) => method.methodKind === "unary")
    .map((method) => {
      const rpc = definition[method.localName];
      if (rpc === undefined) throw new Error(`${method.name} has no definition`);
      const call = (request: MessageInitShape<DescMessage> = {}, { deadlineMs = 60_000 } = {}) =>
        new Promise((resolve, reject) => {
          client.makeUnaryRequest(
            rpc.path,
            rpc.requestSerialize,
            rpc.responseDeserialize,
            create(method.input, request),
            { deadline: Date.now() + deadlineMs },
            (error: Error | null, value: unknown) => (error === null ? resolve(value) : reject(error)),
          );
        });
      return [method.localName, call] as const;
    });
  return { ...Object.fromEntries(methods), close: () => client.close() } as unknown as ServiceClient<S>;
}
