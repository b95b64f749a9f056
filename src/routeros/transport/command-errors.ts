import { type DriverError, failure } from "../../domain/errors/driver-error.ts";
import type { ChannelOutcome } from "./channel.ts";
import type { ConnectFailure } from "./connection.ts";

/**
 * The error of a command that left the queue and got no answer.
 * @param what the command was for, as the start of the message
 */
export function outcomeError(
  what: string,
  outcome: Exclude<ChannelOutcome, { kind: "answered" | "notSent" | "abandoned" }>,
): DriverError {
  switch (outcome.kind) {
    case "refused":
      return failure("rdsBusy", {
        what,
        detail: `the SSH server accepted the login and declined the command: ${outcome.reason}`,
      });
    case "lost":
      return failure("rdsOutcomeUnknown", { what, reason: `the connection was lost: ${outcome.reason}` });
    case "tooLong":
      return failure("replyUnreadable", { what, detail: `longer than ${outcome.limit} bytes` });
  }
}

/**
 * The error of a caller that waits for a connection in vain.
 * @param seconds that it waited
 */
export function unreachable(
  address: string,
  failed: (Pick<ConnectFailure, "reason"> & Partial<ConnectFailure>) | undefined,
  seconds: number,
): DriverError {
  if (failed?.fatal === true && failed.error !== undefined) return failed.error;
  const reason = failed?.reason ?? "still connecting";
  return failure("rdsUnreachable", {
    address,
    reason: `${reason} (gave up after ${Math.round(seconds * 10) / 10} s)`,
  });
}
