import {
  create,
  type DescMessage,
  type DescService,
  fromBinary,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import type { CallOptions, ServiceClient } from "../support/csi-client.ts";
import type { Machine } from "./machine.ts";

/** A typed client of a CSI service on a unix socket of a machine; failures are RpcFailure. */
export function machineClient<S extends DescService>(
  desc: S,
  machine: () => Machine,
  socket: string,
): ServiceClient<S> {
  const methods = desc.methods
    .filter((method) => method.methodKind === "unary")
    .map((method) => {
      const call = async (
        request: MessageInitShape<DescMessage> = {},
        { deadlineMs = 60_000 }: CallOptions = {},
      ) => {
        const body = toBinary(method.input, create(method.input, request));
        const path = `/${desc.typeName}/${method.name}`;
        return fromBinary(method.output, await machine().call(socket, path, body, deadlineMs));
      };
      return [method.localName, call] as const;
    });
  return { ...Object.fromEntries(methods), close: () => {} } as unknown as ServiceClient<S>;
}
