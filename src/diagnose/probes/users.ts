import { failure } from "../../domain/errors/driver-error.ts";
import { complaint } from "../../host/exec.ts";
import { helperCommand } from "../../host/helper.ts";
import type { DeviceScan } from "../../mount/device-scan.ts";
import type { DiagnoseContext } from "../context.ts";

const DEADLINE_MS = 6_000;

/**
 * The processes that use some devices, found by a process of its own: it stats what others have open.
 * @param numbers `major:minor` each; none: nobody is asked
 * @throws nodeStateUnknown, deadlineExceeded, cancelled
 */
export async function deviceUsers(
  { system }: DiagnoseContext,
  numbers: readonly string[],
  signal: AbortSignal,
): Promise<DeviceScan> {
  if (numbers.length === 0) return { users: [], hidden: 0 };
  const [program = "", ...prefix] = helperCommand();
  const args = [...prefix, "users", numbers.join(",")];
  // This very program, at an absolute path.
  const result = await system.exec({
    program: program as `/${string}`,
    args,
    deadlineMs: DEADLINE_MS,
    signal,
  });
  const what = "who uses the devices";
  if (result.code !== 0) throw failure("nodeStateUnknown", { what, detail: complaint(result) });
  try {
    return JSON.parse(result.stdout) as DeviceScan;
  } catch (error) {
    throw failure("nodeStateUnknown", { what, detail: "the helper process gave no JSON" }, error);
  }
}
