import type { Clock } from "../../domain/clock.ts";
import type { Logger } from "../../observability/log.ts";
import type { Backend } from "../backend/backend.ts";
import type { Switches } from "../switches.ts";

/** The surroundings that all parts of the device share. */
export interface Environment {
  readonly clock: Clock;
  readonly backend: Backend;
  readonly logger: Logger;
  /** The switches as they are now. */
  switches(): Readonly<Switches>;
  /** The next number of an item; never given twice, not even after a restart. */
  nextId(): number;
  /** Called after each change of state. */
  changed(): void;
  /** Writes the state; resolves when it is on disk. Absent: it is kept nowhere. */
  saved?(): Promise<void>;
  /** Whether a fault makes every pool full at present. */
  full(): boolean;
}

/** Item number `31` as RouterOS writes it: `*1F`. */
export function formatId(number: number): string {
  return `*${number.toString(16).toUpperCase()}`;
}
