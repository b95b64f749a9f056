import process from "node:process";
import { fileURLToPath } from "node:url";
import type { Filesystem } from "../domain/access-mode.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { type Exec, succeed } from "./exec.ts";
import type {
  BlankFinding,
  DeviceInspection,
  DeviceScan,
  EndedController,
  Ext4State,
  FilesystemFinding,
  MarkOutcome,
  MkfsMark,
  UuidFinding,
  UuidOutcome,
} from "./helper-answers.ts";

/** The work that the node gives to its helper process, because it may block for ever. */
export interface Helper {
  /** Says that questions will follow within a second. */
  prepare?(): void;
  /** Reads a device for anything but zeros. `deep` samples every block group. */
  lookForData(path: string, size: bigint, deep: boolean, signal?: AbortSignal): Promise<BlankFinding>;
  /** Opens it exclusively, scans the processes for it and its partitions, and looks up the files of loop devices. */
  inspect(
    path: string,
    numbers: readonly [string, ...string[]],
    files: readonly string[],
    signal?: AbortSignal,
  ): Promise<DeviceInspection>;
  /**
   * The processes that use some devices, for messages.
   * @param numbers `major:minor` each
   */
  users(numbers: readonly string[], signal?: AbortSignal): Promise<DeviceScan>;
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
  /** Looks whether a filesystem has a UUID. */
  lookForUuid(
    path: string,
    filesystem: Filesystem,
    wanted: string,
    signal?: AbortSignal,
  ): Promise<UuidFinding>;
  /** Gives a filesystem that is not mounted another UUID. */
  changeUuid(path: string, number: string, filesystem: Filesystem, wanted: string): Promise<UuidOutcome>;
  /** Has the kernel delete one NVMe/TCP controller, if its NQN is still this one. */
  endController(sysRoot: string, name: string, nqn: string, signal?: AbortSignal): Promise<EndedController>;
}

/** Answers questions, and can be told that some will follow. */
export interface HelperExec extends Exec {
  /** Starts a process for a question that follows soon, unless one waits: its start takes as long as a look at the device. */
  prepare?(): void;
}

/** The hidden sub-command of the executable that starts the helper. */
export const HELPER_COMMAND = "node-helper";

/** The argument with which the helper answers one question after the other. */
export const SERVE = "serve";

/** How long a scan may take, milliseconds: less than the deadlines of its callers, so that it can still report its reason. */
export const SCAN_LIMIT_MS = 85_000;

const LOOK_DEADLINE_MS = 60_000;
const INSPECT_DEADLINE_MS = 20_000;
/** A scan of processes is long where pods have millions of descriptors. Its caller waits while it makes progress. */
const SCAN_DEADLINE_MS = SCAN_LIMIT_MS + 10_000;
const SCAN_QUIET_MS = 20_000;
/** An XFS that began small and grew has thousands of allocation groups, each with a superblock. */
const UUID_DEADLINE_MS = 600_000;
const END_DEADLINE_MS = 20_000;
/** How long the look for the users of devices may take, milliseconds. Its answer is all that it found by then. */
export const USERS_LIMIT_MS = 4_000;
const USERS_DEADLINE_MS = USERS_LIMIT_MS + 2_000;

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

/** An object of JSON. */
type Fields = Readonly<Record<string, unknown>>;

const isKind =
  (...kinds: readonly string[]) =>
  ({ kind }: Fields): boolean =>
    kinds.some((known) => known === kind);
const isOutcome = isKind("done", "refused", "failed");
const isUuidOutcome = isKind("done", "kept", "refused", "failed");
const isUuidFinding = isKind("same", "changeable", "kept", "unreadable");
const isFinding = (value: Fields): boolean =>
  value.kind === "unreadable" ||
  (value.kind === "read" && Array.isArray(value.marks) && isSuperblock(fieldsOf(value.superblock)));
const isSuperblock = isKind("whole", "unfinished", "damaged", "zeros", "other");
const isDeviceScan = ({ users, hidden }: Fields): boolean =>
  Array.isArray(users) && typeof hidden === "number";

function isInspection({ exclusive, processes, backing }: Fields): boolean {
  const { uses, unreadable } = fieldsOf(processes);
  const { files, remote } = fieldsOf(backing);
  return (
    ["free", "busy", "changed", "error"].some((known) => known === exclusive) &&
    typeof unreadable === "number" &&
    [uses, files, remote].every(Array.isArray)
  );
}

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null ? (value as Fields) : {};
}

/**
 * The real helper.
 * @param exec runs a helper process for each question, or passes it to one that is there (createHelperProcesses)
 * @throws nodeStateUnknown, deadlineExceeded, cancelled
 */
export function createHelper(exec: HelperExec, command: readonly string[] = helperCommand()): Helper {
  const [program = "", ...prefix] = command;
  const ask = async <T>(
    isAnswer: (value: Fields) => boolean,
    args: readonly string[],
    deadlineMs: number,
    signal?: AbortSignal,
    quietMs?: number,
  ): Promise<T> => {
    const command = {
      // This very program, at an absolute path.
      program: program as `/${string}`,
      args: [...prefix, ...args],
      deadlineMs,
      signal,
      ...(quietMs === undefined ? {} : { quietMs }),
    };
    const what = `the state of ${args[1]}`;
    const { stdout } = await succeed(exec, command, (detail) =>
      failure("nodeStateUnknown", { what, detail }),
    );
    let value: unknown;
    try {
      value = JSON.parse(stdout);
    } catch (error) {
      throw failure("nodeStateUnknown", { what, detail: "the helper process gave no JSON" }, error);
    }
    // Proofs rest on these answers.
    if (typeof value === "object" && value !== null && isAnswer(value as Fields)) return value as T;
    throw failure("nodeStateUnknown", { what, detail: "the helper process gave an unknown answer" });
  };
  return {
    prepare: () => exec.prepare?.(),
    lookForData: (path, size, deep, signal) =>
      ask(
        isKind("blank", "data", "unreadable"),
        ["blank", path, String(size), deep ? "deep" : "quick"],
        LOOK_DEADLINE_MS,
        signal,
      ),
    inspect: (path, numbers, files, signal) =>
      ask(isInspection, ["inspect", path, numbers.join(), ...files], SCAN_DEADLINE_MS, signal, SCAN_QUIET_MS),
    users: async (numbers, signal) =>
      numbers.length === 0
        ? { users: [], hidden: 0 }
        : await ask(isDeviceScan, ["users", numbers.join()], USERS_DEADLINE_MS, signal),
    ext4State: (path, signal) =>
      ask(isKind("ext4", "other", "unreadable"), ["ext4", path], INSPECT_DEADLINE_MS, signal),
    findFilesystem: (path, size, filesystem, signal) =>
      ask(isFinding, ["find", path, String(size), filesystem], INSPECT_DEADLINE_MS, signal),
    writeMark: (path, number, size, mark) =>
      ask(isOutcome, ["mark", path, number, String(size), JSON.stringify(mark)], LOOK_DEADLINE_MS),
    eraseMarks: (path, number, size, volume) =>
      ask(isOutcome, ["unmark", path, number, String(size), volume], LOOK_DEADLINE_MS),
    lookForUuid: (path, filesystem, wanted, signal) =>
      ask(isUuidFinding, ["uuid", path, filesystem, wanted], INSPECT_DEADLINE_MS, signal),
    changeUuid: (path, number, filesystem, wanted) =>
      ask(isUuidOutcome, ["set-uuid", path, number, filesystem, wanted], UUID_DEADLINE_MS),
    endController: (sysRoot, name, nqn, signal) =>
      ask(
        isKind("written", "other", "failed"),
        ["end-controller", sysRoot, name, nqn],
        END_DEADLINE_MS,
        signal,
      ),
  };
}
