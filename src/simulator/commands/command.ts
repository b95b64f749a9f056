import type { Device } from "../device/device.ts";
import type { Policy } from "../device/policies.ts";
import type { Evaluate, MenuCall } from "../language/interpreter.ts";
import type { CommandSyntax, MenuSpec } from "../language/schema.ts";
import type { Value } from "../language/values.ts";
import type { Switches } from "../switches.ts";

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

/** A command with its code: `evaluate` of the language (gets its arguments unevaluated) or `run` of a menu. */
export interface CommandSpec extends CommandSyntax {
  /** The policies that the user needs; a function where a switch decides. */
  readonly policy?: Policy | readonly Policy[] | ((switches: Readonly<Switches>) => readonly Policy[]);
  readonly evaluate?: Evaluate;
  readonly run?: (call: Invocation) => Promise<Value>;
}

export type CommandMenu = MenuSpec<CommandSpec>;
