import process from "node:process";
import { lookForData } from "../mount/blank.ts";
import { scanDevices } from "../mount/device-scan.ts";
import { readExt4State } from "../mount/ext4-superblock.ts";
import { inspectDevice } from "../mount/inspect.ts";
import { endController } from "../nvme/end-controller.ts";

/** The hidden sub-command of the executable that starts the helper. */
export const HELPER_COMMAND = "node-helper";

const NUMBERS = /^\d+:\d+(,\d+:\d+)*$/;

/**
 * The helper process: does what may enter uninterruptible sleep, so that the driver itself never does. Writes one line
 * of JSON to stdout. Operations: `blank PATH SIZE DEEP`, `inspect PATH MAJOR:MINOR,… [FILE…]`, `ext4 PATH`,
 * `users MAJOR:MINOR,…` and `end-controller SYSFS NAME NQN`.
 * @returns exit code: 0 = answered, 2 = wrong usage
 */
export function runNodeHelper(args: readonly string[]): number {
  const [operation, path, second = "", third] = args;
  if (path === undefined) return 2;
  switch (operation) {
    case "blank":
      if (!/^\d+$/.test(second) || (third !== "deep" && third !== "quick")) return 2;
      return answer(lookForData(path, Number(second), third === "deep"));
    case "inspect":
      if (!NUMBERS.test(second)) return 2;
      return answer(inspect(path, second.split(","), args.slice(3)));
    case "ext4":
      return answer(readExt4State(path));
    case "users":
      if (!NUMBERS.test(path)) return 2;
      return answer(scanDevices(new Set(path.split(",")), new Set([process.pid, process.ppid])));
    case "end-controller":
      if (!/^nvme\d+$/.test(second) || third === undefined || third === "") return 2;
      return answer(endController(path, second, third));
    default:
      return 2;
  }
}

function inspect(path: string, [number = "", ...partitions]: readonly string[], files: readonly string[]) {
  return inspectDevice(path, number, partitions, files);
}

function answer(value: unknown): number {
  process.stdout.write(`${JSON.stringify(value)}\n`);
  return 0;
}
