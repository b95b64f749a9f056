import process from "node:process";
import { fileURLToPath } from "node:url";
import type { Filesystem } from "../domain/access-mode.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { complaint, type Exec } from "./exec.ts";
import type {
  BlankFinding,
  DeviceInspection,
  EndedController,
  Ext4State,
  FilesystemFinding,
  MarkOutcome,
  MkfsMark,
} from "./helper-answers.ts";

/** What the node lets its helper process do, because it may block for ever. */
export interface Helper {
  /** Reads a device for anything but zeros. `deep` samples every block group. */
  lookForData(path: string, size: bigint, deep: boolean, signal?: AbortSignal): Promise<BlankFinding>;
  /** Opens it exclusively, scans the processes for it and its partitions, and looks up the files of loop devices. */
  inspect(
    path: string,
    numbers: readonly [string, ...string[]],
    files: readonly string[],
    signal?: AbortSignal,
  ): Promise<DeviceInspection>;
  /** Reads the health of an ext4 from its superblock. */
  ext4State(path: string, signal?: AbortSignal): Promise<Ext4State>;
  /** Reads the superblock of a filesystem, and the marks of one in the making. */
  findFilesystem(
    path: string,
    size: bigint,
    filesystem: Filesystem,
    signal?: AbortSignal,
  ): Promise<FilesystemFinding>;
  /** Writes the mark of a filesystem in the making. */
  writeMark(path: string, number: string, size: bigint, mark: MkfsMark): Promise<MarkOutcome>;
  /** Takes the marks of a volume away. */
  eraseMarks(path: string, number: string, size: bigint, volume: string): Promise<MarkOutcome>;
  /** Has the kernel delete one NVMe/TCP controller, if its NQN is still this one. */
  endController(sysRoot: string, name: string, nqn: string, signal?: AbortSignal): Promise<EndedController>;
}

/** The hidden sub-command of the executable that starts the helper. */
export const HELPER_COMMAND = "node-helper";

/** How long a scan may take, milliseconds: less than the deadlines of its callers, so that it can still say why it ended. */
export const SCAN_LIMIT_MS = 85_000;

const LOOK_DEADLINE_MS = 60_000;
const INSPECT_DEADLINE_MS = 20_000;
/** A scan of processes is long where pods have millions of descriptors. It is waited for while it gets on. */
const SCAN_DEADLINE_MS = SCAN_LIMIT_MS + 10_000;
const SCAN_QUIET_MS = 20_000;
const END_DEADLINE_MS = 20_000;

/** How this program starts itself as helper: compiled, `<executable> node-helper`; from source, `<runtime> <file>`. */
export function helperCommand(
  module: string = (import.meta as { readonly url: string }).url,
  executable: string = process.execPath,
): readonly string[] {
  const url = new URL("../node/helper-entry.ts", module);
  const compiled = /\$bunfs|~BUN/.test(decodeURIComponent(url.href));
  if (compiled) return [executable, HELPER_COMMAND];
  const flags = "deno" in process.versions ? ["run", "--allow-all"] : [];
  return [executable, ...flags, fileURLToPath(url)];
}

/**
 * The real helper: one short-lived process per question.
 * @throws nodeStateUnknown, deadlineExceeded, cancelled
 */
export function createHelper(exec: Exec, command: readonly string[] = helperCommand()): Helper {
  const [program = "", ...prefix] = command;
  const ask = async (
    args: readonly string[],
    deadlineMs: number,
    signal?: AbortSignal,
    quietMs?: number,
  ): Promise<unknown> => {
    // This very program, at an absolute path.
    const result = await exec({
      program: program as `/${string}`,
      args: [...prefix, ...args],
      deadlineMs,
      signal,
      ...(quietMs === undefined ? {} : { quietMs }),
    });
    const what = `the state of ${args[1]}`;
    if (result.code !== 0) throw failure("nodeStateUnknown", { what, detail: complaint(result) });
    try {
      return JSON.parse(result.stdout);
    } catch (error) {
      throw failure("nodeStateUnknown", { what, detail: "the helper process gave no JSON" }, error);
    }
  };
  return {
    lookForData: async (path, size, deep, signal) =>
      (await ask(
        ["blank", path, String(size), deep ? "deep" : "quick"],
        LOOK_DEADLINE_MS,
        signal,
      )) as BlankFinding,
    inspect: async (path, numbers, files, signal) =>
      (await ask(
        ["inspect", path, numbers.join(), ...files],
        SCAN_DEADLINE_MS,
        signal,
        SCAN_QUIET_MS,
      )) as DeviceInspection,
    ext4State: async (path, signal) => (await ask(["ext4", path], INSPECT_DEADLINE_MS, signal)) as Ext4State,
    findFilesystem: async (path, size, filesystem, signal) =>
      (await ask(["find", path, String(size), filesystem], INSPECT_DEADLINE_MS, signal)) as FilesystemFinding,
    writeMark: async (path, number, size, mark) =>
      (await ask(
        ["mark", path, number, String(size), JSON.stringify(mark)],
        LOOK_DEADLINE_MS,
      )) as MarkOutcome,
    eraseMarks: async (path, number, size, volume) =>
      (await ask(["unmark", path, number, String(size), volume], LOOK_DEADLINE_MS)) as MarkOutcome,
    endController: async (sysRoot, name, nqn, signal) =>
      (await ask(["end-controller", sysRoot, name, nqn], END_DEADLINE_MS, signal)) as EndedController,
  };
}
