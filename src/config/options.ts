import { simulateOptions } from "../simulator/command-options.ts";
import {
  clusterOptions,
  driverName,
  limitOptions,
  logOptions,
  orchestratorOptions,
  quietLogOptions,
  serviceOptions,
} from "./common-options.ts";
import { controllerOnly } from "./controller-options.ts";
import { diagnoseOptions } from "./diagnose-options.ts";
import { nodeOnly } from "./node-options.ts";
import type { OptionTable } from "./option.ts";
import { rdsOptions } from "./rds-options.ts";

/** The options of each command. Everything else is derived from these tables: flags, variables, file keys, help, docs. */
export const controllerOptions = {
  ...serviceOptions,
  ...clusterOptions,
  ...limitOptions,
  ...rdsOptions,
  ...controllerOnly,
  ...logOptions,
};
export const nodeOptions = {
  ...serviceOptions,
  ...clusterOptions,
  ...limitOptions,
  ...nodeOnly,
  ...logOptions,
};
export const volumesOptions = {
  ...clusterOptions,
  ...rdsOptions,
  driverName,
  // Only to tell whether exports are as the controller makes them.
  nvmePort: controllerOnly.nvmePort,
  fencing: controllerOnly.fencing,
  ...orchestratorOptions("none"),
  // Where the copies of the records are.
  leaseNamespace: controllerOnly.leaseNamespace,
  ...quietLogOptions,
};

export const commandOptions = {
  controller: controllerOptions,
  node: nodeOptions,
  simulate: { ...simulateOptions, ...logOptions },
  volumes: volumesOptions,
  diagnose: diagnoseOptions,
} satisfies Record<string, OptionTable>;

export type ConfiguredCommand = keyof typeof commandOptions;

/** The option names of all commands. */
export const knownNames: ReadonlySet<string> = new Set(
  Object.values(commandOptions).flatMap((table: OptionTable) => Object.values(table).map(({ name }) => name)),
);
