import { constants, fstatSync } from "node:fs";
import process from "node:process";
import { deviceNumber, isCode } from "../host/files.ts";
import type { DeviceInspection } from "../host/helper-answers.ts";
import { findBacking } from "./backing.ts";
import { type ExclusiveDevice, openExclusive } from "./exclusive.ts";
import { scanProcesses } from "./process-scan.ts";
import type { ScanWork } from "./scan-work.ts";

/**
 * Opens a device exclusively, scans all processes for it and its partitions, and looks up the files of loop devices. May
 * block on a dead device: for the helper process only.
 * @param number `major:minor` that the node must have; another device under the name is `changed`
 * @param partitions `major:minor` each
 * @param files of loop devices, see findBacking
 * @param work is added to; `processes.overrun` is set if it was too much
 */
export function inspectDevice(
  path: string,
  number: string,
  partitions: readonly string[],
  files: readonly string[],
  work: ScanWork,
): DeviceInspection {
  const scan = scanProcesses(new Set([number, ...partitions]), new Set([process.pid]), undefined, work);
  const backing = findBacking(files, "/proc", work);
  const overrun = work.overrun();
  const processes = overrun === undefined ? scan : { ...scan, overrun };
  let device: ExclusiveDevice;
  try {
    device = openExclusive(path, constants.O_RDONLY);
  } catch (error) {
    const busy = isCode(error, "EBUSY");
    return { exclusive: busy ? "busy" : "error", detail: String(error), processes, backing };
  }
  try {
    const stat = fstatSync(device.fd);
    const found = stat.isBlockDevice() ? deviceNumber(stat.rdev) : "not a block device";
    return found === number
      ? { exclusive: "free", detail: "", processes, backing }
      : { exclusive: "changed", detail: `${path} is ${found} instead of ${number}`, processes, backing };
  } finally {
    device.close();
  }
}
