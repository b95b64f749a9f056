import { type DriverError, failure } from "../../domain/errors/driver-error.ts";
import type { ChannelOutcome } from "./channel.ts";

/**
 * The error of a command that left the queue and got no answer.
 * @param what the command was for, as the start of the message
 */
export function outcomeError(
  what: string,
  outcome: Exclude<ChannelOutcome, { kind: "answered" } | { kind: "notSent" }>,
): DriverError {
  switch (outcome.kind) {
    case "refused":
      return failure("rdsBusy", {
        what,
        detail: `the SSH server accepted the login and declined the command: ${outcome.reason}`,
      });
    case "lost":
      return failure("rdsOutcomeUnknown", { what, reason: outcome.reason });
    case "tooLong":
      return failure("replyUnreadable", { what, detail: `longer than ${outcome.limit} bytes` });
    case "abandoned":
      return failure("rdsOutcomeUnknown", { what, reason: "given up" });
  }
}
