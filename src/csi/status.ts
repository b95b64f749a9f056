import { DriverError, toDriverError } from "../domain/errors/driver-error.ts";
import { type GrpcCode, grpcCodeName } from "../domain/errors/grpc-code.ts";
import { redactText } from "../observability/redact.ts";

/** Longest message in UTF-16 units: percent-encoded it has to fit into the 8 KiB of HTTP/2 trailers. */
const MESSAGE_LIMIT = 2_000;

/** A non-OK gRPC status: the message is never empty, the `details` list of CSI stays empty. */
export interface RpcStatus {
  readonly code: GrpcCode;
  readonly message: string;
}

/** The status of any thrown value: DriverErrors keep their code, everything else is INTERNAL, without its stack. */
export function statusOf(error: unknown): RpcStatus {
  const known = error instanceof DriverError ? error : toDriverError(error);
  const message = redactText(known.message).trim();
  return { code: known.code, message: message === "" ? known.id : shorten(message) };
}

/** The name of the code that a failed call ends with, for logs and metrics. */
export function codeNameOf(error: unknown): string {
  return grpcCodeName(statusOf(error).code);
}

function shorten(message: string): string {
  if (message.length <= MESSAGE_LIMIT) return message;
  // toWellFormed: the cut may have halved a surrogate pair.
  return `${message.slice(0, MESSAGE_LIMIT).toWellFormed()}…`;
}
