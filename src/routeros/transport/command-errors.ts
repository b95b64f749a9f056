import { type DriverError, failure } from "../../domain/errors/driver-error.ts";
import type { ChannelOutcome } from "./channel.ts";
import type { ConnectFailure } from "./connection.ts";

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

/**
 * The error of a caller whose time is over.
 * @param what the purpose of its command; undefined: none of its commands runs or waits for its turn
 * @param seconds that it waited
 */
export function lateError(
  address: string,
  what: string | undefined,
  seconds: number,
  state: {
    readonly isRunning: boolean;
    readonly isOpen: boolean;
    readonly failure: ConnectFailure | undefined;
  },
): DriverError {
  if (what !== undefined && state.isRunning) return failure("rdsSilent", { address, what, seconds });
  if (what !== undefined && state.isOpen)
    return failure("rdsBusy", { what, detail: `${seconds} s in the command queue` });
  if (state.failure?.fatal === true) return state.failure.error;
  const reason = state.failure?.reason ?? "still connecting";
  return failure("rdsUnreachable", { address, reason: `${reason} (gave up after ${seconds} s)` });
}
