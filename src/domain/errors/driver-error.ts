import { printable, shortened } from "../printable.ts";
import { withoutStop } from "../sentence.ts";
import { catalogue, type ErrorId, type ErrorParams } from "./catalogue.ts";
import { callRemedy, commandRemedy, type ErrorEntry } from "./entry.ts";
import type { GrpcCode } from "./grpc-code.ts";

/** Longest summary in UTF-16 units: the remedy behind it has to arrive too. */
const SUMMARY_LIMIT = 1_500;

/**
 * A failure from the catalogue. The gRPC client sees `message`: the summary, then the remedy.
 * Any other thrown value is a defect and is reported as INTERNAL. This is the border for foreign text in errors (texts of RouterOS,
 * of SSH, of programs, names of processes): the summary has no active character and a limited length, wherever it goes.
 */
export class DriverError extends Error {
  readonly id: ErrorId;
  readonly code: GrpcCode;
  /** For a caller that repeats its calls, and for the log. */
  readonly remedy: string;
  /** For a person who has run a command: nobody repeats it. */
  readonly commandRemedy: string;
  /** The message without the remedy. */
  readonly summary: string;

  constructor(
    id: ErrorId,
    code: GrpcCode,
    summary: string,
    remedy: string,
    cause?: unknown,
    forCommand = remedy,
  ) {
    // A foreign text at the end of the summary may end with a full stop or a line end.
    const shown = shortened(printable(withoutStop(summary)), SUMMARY_LIMIT);
    super(`${shown}. ${remedy}`, cause === undefined ? undefined : { cause });
    this.name = "DriverError";
    this.id = id;
    this.code = code;
    this.summary = shown;
    this.remedy = remedy;
    this.commandRemedy = forCommand;
  }
}

/**
 * Makes the error `id` of the catalogue.
 * @param id stable id, a key of the catalogue
 * @param params the parameters of its message
 * @param cause the error underneath, for the log; never sent to the client
 */
export function failure<K extends ErrorId>(id: K, params: ErrorParams<K>, cause?: unknown): DriverError {
  const found = catalogue[id] as unknown as ErrorEntry<ErrorParams<K>>;
  const { code, message } = found;
  return new DriverError(id, code, message(params), callRemedy(found), cause, commandRemedy(found));
}

/** Whether `error` is the catalogue error `id`. */
export function isFailure(error: unknown, id: ErrorId): error is DriverError {
  return error instanceof DriverError && error.id === id;
}

/** The reason of an aborted signal as an error: its own, if that is one of the catalogue, else `cancelled`. */
export function cancelledBy(signal: AbortSignal, what: string): DriverError {
  return signal.reason instanceof DriverError ? signal.reason : failure("cancelled", { what }, signal.reason);
}

/** Any thrown value as a DriverError; a value that is not from the catalogue becomes INTERNAL. */
export function toDriverError(error: unknown): DriverError {
  if (error instanceof DriverError) return error;
  const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return failure("internal", { what }, error);
}
