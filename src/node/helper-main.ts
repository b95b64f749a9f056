import { Buffer } from "node:buffer";
import { readSync, writeSync } from "node:fs";
import process from "node:process";
import { FILESYSTEMS } from "../domain/access-mode.ts";
import { FILESYSTEM_UUID } from "../domain/filesystem-uuid.ts";
import { isCode } from "../host/files.ts";
import { SCAN_LIMIT_MS, SERVE, USERS_LIMIT_MS } from "../host/helper.ts";
import type { MkfsMark } from "../host/helper-answers.ts";
import { lookForData } from "../mount/blank.ts";
import { changeUuid, lookForUuid } from "../mount/change-uuid.ts";
import { eraseMarks, findFilesystem, writeMark } from "../mount/device-mark.ts";
import { scanDevices } from "../mount/device-scan.ts";
import { inspectDevice } from "../mount/inspect.ts";
import { decodeMark, encodeMark } from "../mount/mkfs-mark.ts";
import { createScanWork } from "../mount/scan-work.ts";
import { readExt4State } from "../mount/superblock.ts";
import { endController } from "../nvme/end-controller.ts";
import { writeAll } from "../observability/log-sink.ts";

const NUMBERS = /^\d+:\d+(,\d+:\d+)*$/;

/** Exit code for a question that is none. */
const WRONG_USAGE = 2;

const [STDIN, STDOUT] = [0, 1];
/** Longest part of the input that is read at once. */
const INPUT_BYTES = 64 * 1024;
/** Between two looks at an input that does not wait, milliseconds. */
const PAUSE_MS = 1;

/**
 * The helper process. With the argument `serve` it answers the questions on its standard input until that ends: lines of JSON, each a
 * number and the arguments of a question. The line of an answer begins with the number. Else its arguments are the question, and the
 * answer is a line of JSON.
 * @returns exit code: 0 = answered, 2 = wrong usage
 */
export function startNodeHelper(args: readonly string[]): number {
  if (args[0] !== SERVE) return answered(args, "");
  for (const line of inputLines()) {
    const [number, ...question] = JSON.parse(line) as [number, ...string[]];
    const code = answered(question, `${number} `);
    if (code !== 0) return code;
  }
  return 0;
}

function answered(question: readonly string[], mark: string): number {
  const answer = answerOf(question);
  if (answer === undefined) return WRONG_USAGE;
  writeAll(STDOUT, `${mark}${JSON.stringify(answer)}\n`);
  return 0;
}

/**
 * The lines of the standard input, without their ends, until it ends. Reads and writes are system calls, as nothing else waits in this
 * process: the streams of the runtime would take longer to load than all the rest.
 */
function* inputLines(): Generator<string> {
  const decoder = new TextDecoder();
  const data = Buffer.alloc(INPUT_BYTES);
  let text = "";
  for (;;) {
    const length = readInput(data);
    if (length === 0) return;
    const lines = `${text}${decoder.decode(data.subarray(0, length), { stream: true })}`.split("\n");
    text = lines.pop() ?? "";
    yield* lines;
  }
}

/** @returns bytes that were read; 0 at the end */
function readInput(data: Buffer): number {
  for (;;) {
    try {
      return readSync(STDIN, data, 0, data.length, null);
    } catch (error) {
      if (!isCode(error, "EAGAIN", "EINTR")) throw error;
      // Its starter gave it an input that does not wait.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
    }
  }
}

/**
 * Answers one question: makes the calls that may enter uninterruptible sleep, so that the driver itself never does. Operations: `blank PATH SIZE DEEP`, `inspect PATH MAJOR:MINOR,… [FILE…]`, `ext4 PATH`,
 * `find PATH SIZE FILESYSTEM`, `uuid PATH FILESYSTEM UUID`, `users MAJOR:MINOR,…`, and those that change something: `mark PATH MAJOR:MINOR SIZE MARK`,
 * `unmark PATH MAJOR:MINOR SIZE VOLUME`, `set-uuid PATH MAJOR:MINOR FILESYSTEM UUID` and `end-controller SYSFS NAME NQN`.
 * @returns the answer; undefined for wrong usage
 */
export function answerOf(args: readonly string[]): object | undefined {
  const [operation, path, second = "", third = "", fourth = ""] = args;
  if (path === undefined) return undefined;
  switch (operation) {
    case "blank":
      if (!/^\d+$/.test(second) || (third !== "deep" && third !== "quick")) return undefined;
      return lookForData(path, Number(second), third === "deep");
    case "inspect":
      if (!NUMBERS.test(second)) return undefined;
      return inspect(path, second.split(","), args.slice(3));
    case "ext4":
      return readExt4State(path);
    case "find": {
      const wanted = FILESYSTEMS.find((known) => known === third);
      if (!/^\d+$/.test(second) || wanted === undefined) return undefined;
      return findFilesystem(path, Number(second), wanted);
    }
    case "mark": {
      const mark = markOf(fourth);
      if (!/^\d+:\d+$/.test(second) || !/^\d+$/.test(third) || mark === undefined) return undefined;
      return writeMark(path, second, Number(third), mark);
    }
    case "unmark":
      if (!/^\d+:\d+$/.test(second) || !/^\d+$/.test(third) || fourth === "") return undefined;
      return eraseMarks(path, second, Number(third), fourth);
    case "uuid": {
      const filesystem = FILESYSTEMS.find((known) => known === second);
      if (filesystem === undefined || !FILESYSTEM_UUID.test(third)) return undefined;
      return lookForUuid(path, filesystem, third);
    }
    case "set-uuid": {
      const filesystem = FILESYSTEMS.find((known) => known === third);
      if (!/^\d+:\d+$/.test(second) || filesystem === undefined || !FILESYSTEM_UUID.test(fourth))
        return undefined;
      return changeUuid(path, second, filesystem, fourth);
    }
    case "users":
      if (!NUMBERS.test(path)) return undefined;
      return scanDevices(
        new Set(path.split(",")),
        new Set([process.pid, process.ppid]),
        undefined,
        undefined,
        createScanWork({ limitMs: USERS_LIMIT_MS }),
      );
    case "end-controller":
      if (!/^nvme\d+$/.test(second) || third === undefined || third === "") return undefined;
      return endController(path, second, third);
    default:
      return undefined;
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

/** Only a mark that reads back as itself is ever written. */
function markOf(json: string): MkfsMark | undefined {
  try {
    return decodeMark(encodeMark(JSON.parse(json) as MkfsMark));
  } catch {
    return undefined;
  }
}
