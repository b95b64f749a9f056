import type { Clock } from "../../domain/clock.ts";
import { SimulatorError } from "../errors.ts";
import type { Switches } from "../switches.ts";

const MINUTE_MS = 60_000;

/** Milliseconds of the switch `gmt-offset`. @throws SimulatorError when it is no offset */
function offsetMs({ gmtOffset }: Readonly<Switches>): number {
  const found = /^([+-])([01]\d):([0-5]\d)$/.exec(gmtOffset);
  if (found === null)
    throw new SimulatorError(`gmt-offset: ${JSON.stringify(gmtOffset)} is not an offset such as +05:45`);
  const [, sign, hours, minutes] = found;
  return (sign === "-" ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * MINUTE_MS;
}

/** @throws SimulatorError when the switch `gmt-offset` is no offset such as "+05:45" or "-08:00" */
export function checkOffset(switches: Readonly<Switches>): void {
  offsetMs(switches);
}

/** The time of the device: UTC inside, the local time of its zone in what it prints. */
export class DeviceTime {
  readonly #clock: Clock;
  readonly #switches: () => Readonly<Switches>;
  #last = 0n;

  constructor(clock: Clock, switches: () => Readonly<Switches>) {
    this.#clock = clock;
    this.#switches = switches;
  }

  /** Nanoseconds since the Unix epoch; two calls in one millisecond differ by one. */
  timestamp(): bigint {
    const now = BigInt(this.#clock.now()) * 1_000_000n;
    this.#last = this.#last / 1_000_000n === now / 1_000_000n ? this.#last + 1n : now;
    return this.#last;
  }

  /** A moment as RouterOS prints it, in local time: `2026-11-22 21:03:12`. @param milliseconds since the epoch */
  moment(milliseconds: number): string {
    const local = milliseconds + offsetMs(this.#switches());
    return new Date(local).toISOString().slice(0, 19).replace("T", " ");
  }
}
