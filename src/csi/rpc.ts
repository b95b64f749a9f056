import type { DescMethod, DescService, Message, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { Logger } from "../observability/log.ts";

/** Facts about a call besides its request. */
export interface RpcContext {
  /** RPC name without the service, e.g. `CreateVolume`. */
  readonly method: string;
  /** From the caller's `x-request-id` metadata, or random. */
  readonly requestId: string;
  /**
   * Aborted when the caller no longer waits: cancelled, deadline passed, client lost, or shutdown. Its `reason` is the
   * DriverError for the caller. The handler stops in a state that a repeated call continues from, and settles.
   */
  readonly signal: AbortSignal;
  /**
   * The deadline as a reading of `Clock.monotonic()` in milliseconds; undefined means none. It may move further away while the
   * call runs, because callers join it: read it when it is needed.
   */
  readonly deadlineMs: number | undefined;
  /** Adds method and request id to every line. */
  readonly logger: Logger;
}

/** One unary RPC as a plain function; throws a DriverError to answer with its status. */
export type RpcHandler<M extends DescMethod> = (
  request: MessageShape<M["input"]>,
  context: RpcContext,
) => Promise<MessageInitShape<M["output"]>>;

type UnaryNames<S extends DescService> = {
  [K in keyof S["method"]]: S["method"][K] extends { readonly methodKind: "unary" } ? K : never;
}[keyof S["method"]];

/** Handlers of the unary RPCs of a service by their camel-case names; those left out answer UNIMPLEMENTED. */
export type RpcHandlers<S extends DescService> = {
  readonly [K in UnaryNames<S>]?: RpcHandler<S["method"][K]>;
};

/** A call on its way through the interceptors. */
export interface RpcCall {
  readonly method: DescMethod;
  readonly request: Message;
  readonly context: RpcContext;
  /** Whether the service offers this RPC; if not, nothing of the request is looked at. */
  readonly offered: boolean;
}

/** The rest of the chain. */
export type RpcNext = (call: RpcCall) => Promise<Message>;

/** Wraps every call: may look, refuse, change the context, or answer in place of the handler. */
export type Interceptor = (call: RpcCall, next: RpcNext) => Promise<Message>;

/** Chains interceptors, the first outermost, around `last`. */
export function chain(interceptors: readonly Interceptor[], last: RpcNext): RpcNext {
  return interceptors.reduceRight<RpcNext>((next, interceptor) => (call) => interceptor(call, next), last);
}
