import { closeSync, constants, fstatSync, openSync } from "node:fs";
import process from "node:process";
import { type BackingScan, findBacking } from "./backing.ts";
import { deviceNumber } from "./device-number.ts";
import { type ProcessScan, scanProcesses } from "./process-scan.ts";
import { createScanWork, type ScanWork } from "./scan-work.ts";

/** What the helper process says about a device. */
export interface DeviceInspection {
  /**
   * Answer to opening the device with O_EXCL, which the kernel refuses (`busy`) while a filesystem, even one whose
   * umount hangs, device-mapper or swap has it. `error` means that nothing is known.
   */
  readonly exclusive: "free" | "busy" | "changed" | "error";
  readonly detail: string;
  readonly processes: ProcessScan;
  /** Where the files of loop devices were found. */
  readonly backing: BackingScan;
}

/**
 * Opens a device exclusively, scans all processes for it and its partitions, and looks up the files of loop devices. May
 * block on a dead device: for the helper process only.
 * @param number `major:minor` that the node must have; another device under the name is `changed`
 * @param partitions `major:minor` each
 * @param files of loop devices, see findBacking
 * @param work is added to; `processes.overrun` says when it was too much
 */
export function inspectDevice(
  path: string,
  number: string,
  partitions: readonly string[] = [],
  files: readonly string[] = [],
  work: ScanWork = createScanWork(),
): DeviceInspection {
  const scan = scanProcesses(new Set([number, ...partitions]), new Set([process.pid]), undefined, work);
  const backing = findBacking(files, undefined, work);
  const overrun = work.overrun();
  const processes = overrun === undefined ? scan : { ...scan, overrun };
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_EXCL);
  } catch (error) {
    const busy = error instanceof Error && "code" in error && error.code === "EBUSY";
    return { exclusive: busy ? "busy" : "error", detail: String(error), processes, backing };
  }
  try {
    const stat = fstatSync(fd);
    const found = stat.isBlockDevice() ? deviceNumber(stat.rdev) : "not a block device";
    return found === number
      ? { exclusive: "free", detail: "", processes, backing }
      : { exclusive: "changed", detail: `${path} is ${found} instead of ${number}`, processes, backing };
  } finally {
    closeSync(fd);
  }
}
