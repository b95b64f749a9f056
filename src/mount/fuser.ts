import { failure } from "../domain/errors/driver-error.ts";
import { complaint, type Exec } from "../host/exec.ts";

const DEADLINE_MS = 20_000;

/** A process that may not be looked into, or has just ended; the scan by device number counts the former. */
const UNREADABLE = /^Cannot (?:stat|open|read)\b.*\/proc\/\d+/;

/**
 * Process ids that fuser(1) finds on a device node: those that hold it open, or files of the filesystem mounted from it.
 * It sees every process only in the host's PID namespace (hostPID), and only by this path, so it adds to the scan by device
 * number and never replaces it.
 * @throws toolMissing, nodeStateUnknown, deadlineExceeded
 */
export async function fuserPids(
  exec: Exec,
  devicePath: string,
  signal?: AbortSignal,
): Promise<readonly number[]> {
  const result = await exec({ program: "fuser", args: [devicePath], deadlineMs: DEADLINE_MS, signal });
  const words = result.stdout.split(/\s+/).filter((word) => word !== "");
  const isClear = words.every((word) => /^\d+$/.test(word));
  if (result.code === 0 && isClear && words.length > 0) return words.map(Number);
  // Nobody: exit status 1 and silence. Another complaint with the same status is a failure to look.
  const complaints = result.stderr.split("\n").filter((line) => line.trim() !== "" && !UNREADABLE.test(line));
  if (result.code === 1 && words.length === 0 && complaints.length === 0) return [];
  throw failure("nodeStateUnknown", {
    what: `whether ${devicePath} is in use`,
    detail: `fuser: ${complaint(result)}`,
  });
}
