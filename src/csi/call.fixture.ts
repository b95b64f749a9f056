import { create, type DescMessage, type DescService, type MessageInitShape } from "@bufbuild/protobuf";
import type { LogFields, Logger, LogLevel } from "../observability/log.ts";
import { Controller, Node } from "./gen/csi_pb.ts";
import type { RpcCall } from "./rpc.ts";

/** A line that a RecordingLogger took. */
export interface LogLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: LogFields;
}

/** A logger that keeps its lines. */
export function recordingLogger(lines: LogLine[] = [], bound: LogFields = {}): Logger & { lines: LogLine[] } {
  const at =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}) => {
      lines.push({ level, message, fields: { ...bound, ...fields } });
    };
  return {
    lines,
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (fields) => recordingLogger(lines, { ...bound, ...fields }),
  };
}

/** A call as the bridge would make it. */
export function fakeCall<S extends DescMessage>(
  name: string,
  schema: S,
  request: MessageInitShape<S>,
  context: Partial<RpcCall["context"]> = {},
): RpcCall {
  const services: readonly DescService[] = [Controller, Node];
  const method = services.flatMap((each) => each.methods).find((each) => each.name === name);
  if (method === undefined) throw new Error(`no RPC ${name}`);
  return {
    method,
    offered: true,
    request: create(schema, request),
    context: {
      method: name,
      requestId: "r1",
      signal: new AbortController().signal,
      deadlineMs: undefined,
      logger: recordingLogger(),
      ...context,
    },
  };
}

/** A promise with its handles outside. */
export function deferred<T>() {
  return Promise.withResolvers<T>();
}
