import { Buffer } from "node:buffer";
import { randomUUID } from "node:crypto";
import {
  create,
  type DescMethod,
  type DescService,
  fromBinary,
  type Message,
  toBinary,
} from "@bufbuild/protobuf";
import type {
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  sendUnaryData,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { orAborted } from "../domain/abort.ts";
import type { Clock } from "../domain/clock.ts";
import { failure } from "../domain/errors/driver-error.ts";
import type { Logger } from "../observability/log.ts";
import { inRequest } from "../observability/request-scope.ts";
import type { CallRegistry } from "./calls.ts";
import type { OnUndecodable } from "./library-log.ts";
import { chain, type Interceptor, type RpcHandlers, type RpcNext } from "./rpc.ts";
import { statusOf } from "./status.ts";

/** A service and its handlers; made by `service`. */
export interface BoundService {
  readonly desc: DescService;
  readonly handlers: Readonly<Record<string, unknown>>;
}

/** Binds handlers to a generated service description; the types of the two have to agree. */
export function service<S extends DescService>(desc: S, handlers: RpcHandlers<S>): BoundService {
  return { desc, handlers };
}

export interface BridgeOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly calls: CallRegistry;
  /** The first is outermost. */
  readonly interceptors: readonly Interceptor[];
}

/** The grpc-js description of a generated service. @param onUndecodable called for requests that are no message of their RPC */
export function serviceDefinition(desc: DescService, onUndecodable?: OnUndecodable): ServiceDefinition {
  return Object.fromEntries(
    desc.methods.map((method) => [
      method.localName,
      {
        path: `/${desc.typeName}/${method.name}`,
        requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
        responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
        requestSerialize: (message: Message) => encode(method.input, message),
        requestDeserialize: (bytes: Buffer) => {
          try {
            return fromBinary(method.input, bytes);
          } catch (error) {
            onUndecodable?.(method.name, bytes.byteLength, error);
            throw error;
          }
        },
        responseSerialize: (message: Message) => encodeOnce(method.output, message),
        responseDeserialize: (bytes: Buffer) => fromBinary(method.output, bytes),
      },
    ]),
  );
}

/**
 * The grpc-js implementation of a bound service. Every unary RPC goes through the interceptors to its handler. An RPC without
 * handler goes through them too, so that its UNIMPLEMENTED is logged and counted.
 */
export function serviceImplementation(
  bound: BoundService,
  options: BridgeOptions,
): UntypedServiceImplementation {
  return Object.fromEntries(
    bound.desc.methods.map((method) => [
      method.localName,
      method.methodKind === "unary"
        ? unary(method, bound.handlers[method.localName], options)
        : (call: ServerWritableStream<Message, Message>) => {
            const { code, message } = statusOf(failure("unimplemented", { method: method.name }));
            call.emit("error", { code, details: message });
          },
    ]),
  );
}

function unary(method: DescMethod, handler: unknown, options: BridgeOptions) {
  const run = chain(options.interceptors, (call) => options.calls.track(answer(method, handler)(call)));
  return (call: ServerUnaryCall<Message, Message>, callback: sendUnaryData<Message>) => {
    options.calls.track(serve(method, run, call, options, typeof handler === "function")).then(
      (response) => callback(null, response),
      (error: unknown) => {
        const { code, message } = statusOf(error);
        callback({ code, details: message });
      },
    );
  };
}

/** The caller's reset at its deadline arrives a little before the deadline as this side counts it. */
const DEADLINE_SLACK_MS = 50;

async function serve(
  method: DescMethod,
  run: RpcNext,
  call: ServerUnaryCall<Message, Message>,
  options: BridgeOptions,
  offered: boolean,
): Promise<Message> {
  const { controller, release } = options.calls.open();
  const { clock } = options;
  const started = clock.monotonic();
  const deadline = call.getDeadline();
  const budgetMs = Number(deadline) - clock.now();
  const deadlineMs = Number.isFinite(budgetMs) ? started + budgetMs : undefined;
  let answered = false;
  call.on("cancelled", () => {
    if (answered) return; // the event also follows an answer whose connection then ends
    // grpc-js cancels for a passed deadline, a lost client and an explicit cancel alike.
    const late = deadlineMs !== undefined && clock.monotonic() >= deadlineMs - DEADLINE_SLACK_MS;
    controller.abort(
      late
        ? failure("deadlineExceeded", { what: method.name, seconds: Math.round(budgetMs / 100) / 10 })
        : failure("cancelled", { what: method.name }),
    );
  });
  const requestId = requestIdOf(call);
  try {
    const context = {
      method: method.name,
      requestId,
      signal: controller.signal,
      deadlineMs,
      logger: options.logger.child({ method: method.name, requestId }),
    };
    const work = inRequest({ method: method.name, requestId }, () =>
      run({ method, request: call.request, offered, context }),
    );
    return await orAborted(work, controller.signal);
  } finally {
    answered = true;
    release();
  }
}

function answer(method: DescMethod, handler: unknown): RpcNext {
  return async ({ request, context }) => {
    if (typeof handler !== "function") throw failure("unimplemented", { method: method.name });
    return create(method.output, await handler(request, context));
  };
}

const REQUEST_ID = /^[A-Za-z0-9._:-]{1,64}$/;

function requestIdOf(call: ServerUnaryCall<Message, Message>): string {
  const given = call.metadata.get("x-request-id")[0];
  return typeof given === "string" && REQUEST_ID.test(given) ? given : randomUUID();
}

/** From this length on the bytes of an answer are kept as long as the answer: callers may share it. */
const SHARED_BYTES = 64 * 1024;
const encoded = new WeakMap<Message, Buffer>();

function encodeOnce(schema: DescMethod["input"], message: Message): Buffer {
  const known = encoded.get(message);
  if (known !== undefined) return known;
  const bytes = encode(schema, message);
  if (bytes.byteLength >= SHARED_BYTES) encoded.set(message, bytes);
  return bytes;
}

function encode(schema: DescMethod["input"], message: Message): Buffer {
  const bytes = toBinary(schema, message);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
