import type { Device } from "../device/device.ts";
import type { Policy } from "../device/policies.ts";
import type { MenuCall } from "../language/interpreter.ts";

/** A menu's command as it runs: its arguments, the device and the console. */
export interface Invocation extends MenuCall {
  readonly device: Device;
  /** The policies of the user who runs it. */
  readonly policies: ReadonlySet<Policy>;
  /** Columns at which print output is wrapped; 0 never. */
  readonly width: number;
  /** Prints one line. */
  write(line: string): void;
  /** Notes a change of the configuration in the log, with who made it. */
  audit(what: string, detail: string): void;
  /** Waits while other lines may run. */
  sleep(milliseconds: number): Promise<void>;
  /** Runs a task `milliseconds` later, when the command has long returned; failures are logged. */
  background(milliseconds: number, task: () => Promise<void>): void;
}
