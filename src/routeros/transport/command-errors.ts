import { type DriverError, failure } from "../../domain/errors/driver-error.ts";
import type { ChannelOutcome } from "./channel.ts";
import type { ConnectFailure } from "./connection.ts";

/**
 * The error of a command that left the queue and got no answer.
 * @param address of the RDS, for the message
 * @param what the command was for, as the start of the message
 */
export function outcomeError(
  address: string,
  what: string,
  outcome: Exclude<ChannelOutcome, { kind: "answered" } | { kind: "notSent" }>,
): DriverError {
  switch (outcome.kind) {
    case "refused":
      return failure("rdsUnreachable", { address, reason: outcome.reason });
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
 * @param seconds that it waited
 */
export function lateError(
  address: string,
  what: string,
  seconds: number,
  state: {
    readonly isRunning: boolean;
    readonly isOpen: boolean;
    readonly failure: ConnectFailure | undefined;
  },
): DriverError {
  if (state.isRunning) return failure("rdsOutcomeUnknown", { what, reason: `no answer within ${seconds} s` });
  if (state.isOpen) return failure("rdsBusy", { what, detail: `${seconds} s in the command queue` });
  if (state.failure?.fatal === true) return state.failure.error;
  const reason = state.failure?.reason ?? "still connecting";
  return failure("rdsUnreachable", { address, reason: `${reason} (gave up after ${seconds} s)` });
}
