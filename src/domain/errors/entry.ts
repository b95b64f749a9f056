import type { GrpcCode } from "./grpc-code.ts";

/**
 * One kind of failure. `message` names the failure and its object; `remedy` is the action of a person. Neither may hold secrets
 * or a whole RouterOS command.
 */
export interface ErrorEntry<P> {
  readonly code: GrpcCode;
  readonly message: (params: P) => string;
  readonly remedy: string;
}

/** Declares a catalogue entry with typed parameters. */
export function entry<P>(code: GrpcCode, message: (params: P) => string, remedy: string): ErrorEntry<P> {
  return { code, message, remedy };
}
