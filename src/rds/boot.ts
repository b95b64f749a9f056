import { failure } from "../domain/errors/driver-error.ts";
import type { Boot } from "../domain/record/volume-record.ts";
import { payload, type Reply } from "../routeros/envelope.ts";
import { ros, type Script } from "../routeros/script.ts";

/**
 * Which run of the device it is: when it was booted, by its clock less its uptime, and how long it has been up. RouterOS has no name for a run. A clock
 * that is set anew looks like a restart, which costs a copy that begins anew.
 */

/** Reason of `requireBoot`. */
export const RESTARTED = "restarted";

/** By how much the beginning of one run may differ between two looks, seconds: both values are cut to seconds, and a clock is corrected a little all the time. */
const TOLERANCE_S = 10;
/** A clock that was never set begins in 1970: two runs may then seem to begin at one time. Seconds since the Unix epoch: 2025-01-01. */
const LEAST_CLOCK = 1_735_689_600;

const SECOND = 1_000_000_000n;

/** Expressions: seconds since the boot, and since the Unix epoch. */
const UPTIME = ros`([:tonsec [/system/resource/get uptime]] / ${SECOND})`;
const CLOCK = ros`([:tonsec [:timestamp]] / ${SECOND})`;

/** Statement: puts uptime and clock of the device into the reply, for `bootIn`. */
export function putBoot(): Script {
  return payload("boot", ros`${UPTIME} . ":" . ${CLOCK}`);
}

/** The run of the device that `putBoot` put into a reply. @throws replyUnreadable, and rdsBusy while the clock of the device is not set */
export function bootIn(reply: Reply, what: string): Boot {
  const text = reply.flat("boot")?.trim();
  const [, uptime, clock] = /^(\d{1,10}):(\d{1,12})$/.exec(text ?? "") ?? [];
  if (uptime === undefined || clock === undefined)
    throw failure("replyUnreadable", {
      what,
      detail: `its uptime and its clock are ${JSON.stringify(text)}`,
    });
  const at = Number(clock) - Number(uptime);
  if (at < LEAST_CLOCK) throw failure("rdsBusy", { what, detail: "the clock of the RDS is not set" });
  return { at, uptime: Number(uptime) };
}

/** Whether the device has not restarted since `recorded`. @param recorded undefined: not known, so it counts as restarted */
export function isSameBoot(recorded: Boot | undefined, now: Boot): boolean {
  if (recorded === undefined || now.uptime < recorded.uptime) return false;
  return Math.abs(now.at - recorded.at) <= TOLERANCE_S;
}

/** Statement: ends the command with the reason `restarted`, unless the run of the device is that one: `isSameBoot`, as of now. */
export function requireBoot({ at, uptime }: Boot): Script {
  const [first, last] = [BigInt(at - TOLERANCE_S), BigInt(at + TOLERANCE_S)];
  // Clock and uptime in one statement: between two, other sessions may have the device for seconds.
  return ros`:local up ${UPTIME}; :local boot (${CLOCK} - ${UPTIME}); :if (!($up >= ${BigInt(uptime)} && $boot >= ${first} && $boot <= ${last})) do={ :error "rds-csi:restarted" }`;
}
