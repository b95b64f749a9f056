import { writeSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { FILESYSTEMS } from "../domain/access-mode.ts";
import { SCAN_LIMIT_MS, SERVE, USERS_LIMIT_MS } from "../host/helper.ts";
import type { MkfsMark } from "../host/helper-answers.ts";
import { lookForData } from "../mount/blank.ts";
import { eraseMarks, findFilesystem, writeMark } from "../mount/device-mark.ts";
import { scanDevices } from "../mount/device-scan.ts";
import { inspectDevice } from "../mount/inspect.ts";
import { decodeMark, encodeMark } from "../mount/mkfs-mark.ts";
import { createScanWork } from "../mount/scan-work.ts";
import { readExt4State } from "../mount/superblock.ts";
import { endController } from "../nvme/end-controller.ts";

const NUMBERS = /^\d+:\d+(,\d+:\d+)*$/;

/**
 * The helper process. With the argument `serve` it answers the questions on its standard input, each a line with the arguments of
 * runNodeHelper() in JSON, until that ends; else its arguments are the question.
 * @returns exit code, as of runNodeHelper()
 */
export async function startNodeHelper(args: readonly string[]): Promise<number> {
  if (args[0] !== SERVE) return runNodeHelper(args);
  for await (const line of createInterface({ input: process.stdin })) {
    const code = runNodeHelper(JSON.parse(line) as string[]);
    if (code !== 0) return code;
  }
  return 0;
}

/**
 * Answers one question: makes the calls that may enter uninterruptible sleep, so that the driver itself never does. Writes one line
 * of JSON to stdout. Operations: `blank PATH SIZE DEEP`, `inspect PATH MAJOR:MINOR,… [FILE…]`, `ext4 PATH`,
 * `find PATH SIZE FILESYSTEM`, `users MAJOR:MINOR,…`, and those that change something: `mark PATH MAJOR:MINOR SIZE MARK`,
 * `unmark PATH MAJOR:MINOR SIZE VOLUME` and `end-controller SYSFS NAME NQN`.
 * @returns exit code: 0 = answered, 2 = wrong usage
 */
export function runNodeHelper(args: readonly string[]): number {
  const [operation, path, second = "", third = "", fourth = ""] = args;
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
    case "find": {
      const wanted = FILESYSTEMS.find((known) => known === third);
      if (!/^\d+$/.test(second) || wanted === undefined) return 2;
      return answer(findFilesystem(path, Number(second), wanted));
    }
    case "mark": {
      const mark = markOf(fourth);
      if (!/^\d+:\d+$/.test(second) || !/^\d+$/.test(third) || mark === undefined) return 2;
      return answer(writeMark(path, second, Number(third), mark));
    }
    case "unmark":
      if (!/^\d+:\d+$/.test(second) || !/^\d+$/.test(third) || fourth === "") return 2;
      return answer(eraseMarks(path, second, Number(third), fourth));
    case "users":
      if (!NUMBERS.test(path)) return 2;
      return answer(
        scanDevices(
          new Set(path.split(",")),
          new Set([process.pid, process.ppid]),
          undefined,
          undefined,
          createScanWork({ limitMs: USERS_LIMIT_MS }),
        ),
      );
    case "end-controller":
      if (!/^nvme\d+$/.test(second) || third === undefined || third === "") return 2;
      return answer(endController(path, second, third));
    default:
      return 2;
  }
}

function inspect(path: string, [number = "", ...partitions]: readonly string[], files: readonly string[]) {
  // A sign of life for the driver, see Command.quietMs.
  const progress = (text: string): void => {
    try {
      writeSync(2, `${text}\n`);
    } catch {
      // Nobody reads it.
    }
  };
  return inspectDevice(path, number, partitions, files, createScanWork({ limitMs: SCAN_LIMIT_MS, progress }));
}

function answer(value: unknown): number {
  process.stdout.write(`${JSON.stringify(value)}\n`);
  return 0;
}

/** Only a mark that reads back as itself is ever written. */
function markOf(json: string): MkfsMark | undefined {
  try {
    return decodeMark(encodeMark(JSON.parse(json) as MkfsMark));
  } catch {
    return undefined;
  }
}
