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

/** Options of `rds-csi controller`. Flags, variables, file keys, help and docs are derived from these tables. */
export const controllerOptions = {
  ...serviceOptions,
  ...clusterOptions,
  ...limitOptions,
  ...rdsOptions,
  ...controllerOnly,
  ...logOptions,
} satisfies OptionTable;

/** Options of `rds-csi node`. */
export const nodeOptions = {
  ...serviceOptions,
  ...clusterOptions,
  ...limitOptions,
  ...nodeOnly,
  ...logOptions,
} satisfies OptionTable;

/** Options of `rds-csi volumes …`. */
export const volumesOptions = {
  ...clusterOptions,
  ...rdsOptions,
  driverName,
  // Only to tell whether exports are as the controller makes them.
  nvmePort: controllerOnly.nvmePort,
  fencing: controllerOnly.fencing,
  // For `volumes convert`, which needs the room of a new volume, and a device that keeps files.
  reserveBytes: controllerOnly.reserveBytes,
  deviceProfile: controllerOnly.deviceProfile,
  ...orchestratorOptions("none"),
  // Where the copies of the records are.
  leaseNamespace: controllerOnly.leaseNamespace,
  ...quietLogOptions,
} satisfies OptionTable;

/** Options of `rds-csi snapshots prune`, which asks Kubernetes only: those of the RDS are neither needed nor read. */
export const pruneOptions = {
  driverName,
  ...orchestratorOptions("none"),
  ...quietLogOptions,
} satisfies OptionTable;

/** Options of `rds-csi probe`: those of the RDS. */
export const probeOptions = {
  ...rdsOptions,
  // For the stage with a node.
  nvmeAddress: controllerOnly.nvmeAddress,
  nvmePort: controllerOnly.nvmePort,
  ...quietLogOptions,
} satisfies OptionTable;

/** Options of `rds-csi check`. */
export const checkOptions = {
  ...probeOptions,
  deviceProfile: controllerOnly.deviceProfile,
} satisfies OptionTable;

/** The option names of the driver's commands. One configuration file may hold the options of all of them. */
export const driverNames: ReadonlySet<string> = new Set(
  [controllerOptions, nodeOptions, volumesOptions, diagnoseOptions].flatMap((table: OptionTable) =>
    Object.values(table).map(({ name }) => name),
  ),
);
