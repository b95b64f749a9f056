import { failure } from "../domain/errors/driver-error.ts";
import { complaint, type Exec } from "../host/exec.ts";

/** The answer of blkid about a device. */
export type Signature =
  /** Nothing found *or* nothing readable: blkid answers the same, so this proves nothing alone. */
  | { readonly kind: "none" }
  | { readonly kind: "filesystem"; readonly type: string }
  /** A partition table, RAID or LVM member, encrypted container or the like. */
  | { readonly kind: "other"; readonly type: string }
  | { readonly kind: "ambiguous"; readonly detail: string };

const DEADLINE_MS = 20_000;

/**
 * Low-level probe for signatures on a device. Source: blkid(8), exit codes 0, 2 and 8.
 * @throws deviceUnreadable, deadlineExceeded
 */
export async function probe(exec: Exec, device: string, signal?: AbortSignal): Promise<Signature> {
  const result = await exec({
    program: "blkid",
    args: ["-p", "-o", "export", "--", device],
    deadlineMs: DEADLINE_MS,
    signal,
  });
  if (result.code === 2) return { kind: "none" };
  if (result.code === 8) return { kind: "ambiguous", detail: complaint(result) };
  if (result.code !== 0) throw failure("deviceUnreadable", { device, detail: complaint(result) });
  const values = new Map(
    result.stdout.split("\n").map((line): [string, string] => {
      const at = line.indexOf("=");
      return [line.slice(0, Math.max(at, 0)), line.slice(at + 1)];
    }),
  );
  const type = values.get("TYPE");
  if (type !== undefined && values.get("USAGE") === "filesystem") return { kind: "filesystem", type };
  const table = values.get("PTTYPE");
  const found = type ?? (table === undefined ? undefined : `a ${table} partition table`);
  if (found !== undefined) return { kind: "other", type: found };
  throw failure("deviceUnreadable", { device, detail: "blkid succeeded without naming a type" });
}
