import { diagnoseOptions } from "../config/diagnose-options.ts";
import type { OptionTable } from "../config/option.ts";
import {
  checkOptions,
  controllerOptions,
  nodeOptions,
  probeOptions,
  volumesOptions,
} from "../config/options.ts";
import { simulateOptions } from "../simulator/command-options.ts";

/** The options of each command. */
export const commandOptions = {
  controller: controllerOptions,
  node: nodeOptions,
  simulate: simulateOptions,
  volumes: volumesOptions,
  // Those of `snapshots prune` are some of them.
  snapshots: volumesOptions,
  diagnose: diagnoseOptions,
  probe: probeOptions,
  check: checkOptions,
} satisfies Record<string, OptionTable>;

export type ConfiguredCommand = keyof typeof commandOptions;

/** The option names of all commands, which are the keys of a configuration file. */
export const knownNames: ReadonlySet<string> = new Set(
  Object.values(commandOptions).flatMap((table: OptionTable) => Object.values(table).map(({ name }) => name)),
);
