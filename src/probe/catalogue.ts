import type { Experiment } from "./experiment.ts";
import { EXPORTS } from "./exported/exports.ts";
import { NODE } from "./node/experiments.ts";
import { CHANNELS_OF_SSH } from "./read-only/channels.ts";
import { DEVICE } from "./read-only/device.ts";
import { ERRORS } from "./read-only/errors.ts";
import { LISTS } from "./read-only/lists.ts";
import { OUTPUT } from "./read-only/output.ts";
import { REBOOT } from "./reboot/reboot.ts";
import { DISKS } from "./scratch/disks.ts";
import { FILES } from "./scratch/files.ts";
import { NAMES } from "./scratch/names.ts";

/** All experiments, in the order in which they are made. */
export const EXPERIMENTS: readonly Experiment[] = [
  ...DEVICE,
  ...ERRORS,
  ...OUTPUT,
  ...LISTS,
  ...CHANNELS_OF_SSH,
  ...DISKS,
  ...NAMES,
  ...FILES,
  ...EXPORTS,
  ...NODE,
  ...REBOOT,
];
