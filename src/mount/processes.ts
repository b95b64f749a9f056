import { existsSync, readFileSync } from "node:fs";
import { readdir, readlink } from "node:fs/promises";
import { isCode, orElse } from "../host/files.ts";

/** A process, as /proc shows it. */
export interface ProcessFacts {
  /** Name of its program; "?" when it ended before that was read. */
  readonly command: string;
  /** Process id of its parent; 0 when it ended before that was read. */
  readonly parent: number;
  /** UID of its pod; missing for a process of the machine itself. */
  readonly pod?: string;
}

/** `/kubepods/burstable/pod<UID>/…` or `…-pod<UID with underscores>.slice/…`; a static pod has a UID without hyphens. */
const POD = /[/-]pod([0-9a-f]{8}(?:[-_]?[0-9a-f]{4}){3}[-_]?[0-9a-f]{12})(?:\.slice)?(?:\/|$)/m;

/**
 * Name, parent and pod of the process of a directory in /proc. Source: proc(5), /proc/pid/stat and /proc/pid/cgroup;
 * Kubernetes, pkg/kubelet/cm, names of the cgroups of pods.
 */
export function processAt(base: string): ProcessFacts {
  // The name is in parentheses and may hold any character, also parentheses.
  const match = /^\d+ \((.*)\) \S (\d+) /s.exec(textOf(`${base}/stat`));
  const pod = POD.exec(textOf(`${base}/cgroup`))?.[1]?.replaceAll("_", "-");
  return {
    command: match?.[1] ?? "?",
    parent: Number(match?.[2] ?? 0),
    ...(pod === undefined ? {} : { pod }),
  };
}

/** `process 4242 (fio, fd 7) of pod 4f9d1b7a-…`. @param how e.g. `fd 7` */
export function describeUse({
  pid,
  command,
  how,
  pod,
}: Pick<ProcessFacts, "command" | "pod"> & { readonly pid: number; readonly how: string }): string {
  return `process ${pid} (${command}, ${how})${pod === undefined ? "" : ` of pod ${pod}`}`;
}

/**
 * How many processes this one may not look into: any of them may use a device unseen. Asks for the same right that the
 * process scan needs (PTRACE_MODE_READ, ptrace(2)) with a call that touches neither their files nor their memory, so it
 * never blocks; safe outside the helper process.
 */
export async function countUninspectable(
  procRoot: string,
  read: (path: string) => Promise<string> = readlink,
): Promise<number> {
  let count = 0;
  for (const name of await readdir(procRoot)) {
    if (!/^\d+$/.test(name)) continue;
    try {
      await read(`${procRoot}/${name}/ns/mnt`);
    } catch (error) {
      // Other errors mean that the process has just ended. So may these two, if its directory is gone.
      if (isCode(error, "EACCES", "EPERM") && existsSync(`${procRoot}/${name}`)) count += 1;
    }
  }
  return count;
}

/** "" for a process that has ended. */
function textOf(path: string): string {
  return orElse(() => readFileSync(path, "utf8"), "");
}
