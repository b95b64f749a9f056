import { DriverError, toDriverError } from "../domain/errors/driver-error.ts";
import { type GrpcCode, grpcCodeName } from "../domain/errors/grpc-code.ts";
import { redactText } from "../observability/redact.ts";

/** Longest message, percent-encoded: it has to fit into the 8 KiB of HTTP/2 trailers. */
const MESSAGE_LIMIT = 6_000;

/** A non-OK gRPC status: the message is never empty, the `details` list of CSI stays empty. */
export interface RpcStatus {
  readonly code: GrpcCode;
  readonly message: string;
}

/** The status of any thrown value: DriverErrors keep their code, everything else is INTERNAL, without its stack. */
export function statusOf(error: unknown): RpcStatus {
  const known = error instanceof DriverError ? error : toDriverError(error);
  const { code, id, summary, remedy } = known;
  if (redactText(known.message).trim() === "") return { code, message: id };
  // A summary that is too long is cut: the remedy must arrive.
  const end = `. ${remedy}`;
  return {
    code,
    message: (fitting(redactText(summary), MESSAGE_LIMIT - encodeURI(end).length) + end).trim(),
  };
}

/** The name of the code that a failed call ends with, for logs and metrics. */
export function codeNameOf(error: unknown): string {
  return grpcCodeName(statusOf(error).code);
}

function fitting(text: string, limit: number): string {
  let size = 0;
  let kept = "";
  for (const character of text) {
    size += encodeURI(character).length;
    if (size > limit) return `${kept}…`;
    kept += character;
  }
  return kept;
}
