import { closeSync, constants, fstatSync, openSync } from "node:fs";
import process from "node:process";
import { deviceNumber, type ProcessScan, scanProcesses } from "./process-scan.ts";

/** What the helper process says about a device. */
export interface DeviceInspection {
  /**
   * Answer to opening the device with O_EXCL, which the kernel refuses (`busy`) while a filesystem, even one whose
   * umount hangs, device-mapper or swap has it. `error` means that nothing is known.
   */
  readonly exclusive: "free" | "busy" | "changed" | "error";
  readonly detail: string;
  readonly processes: ProcessScan;
}

/**
 * Opens a device exclusively and scans all processes for it. May block on a dead device: for the helper process only.
 * @param number `major:minor` that the node must have; another device under the name is `changed`
 */
export function inspectDevice(path: string, number: string): DeviceInspection {
  const processes = scanProcesses(number, new Set([process.pid]));
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_EXCL);
  } catch (error) {
    const busy = error instanceof Error && "code" in error && error.code === "EBUSY";
    return { exclusive: busy ? "busy" : "error", detail: String(error), processes };
  }
  try {
    const stat = fstatSync(fd);
    const found = stat.isBlockDevice() ? deviceNumber(stat.rdev) : "not a block device";
    return found === number
      ? { exclusive: "free", detail: "", processes }
      : { exclusive: "changed", detail: `${path} is ${found} instead of ${number}`, processes };
  } finally {
    closeSync(fd);
  }
}
