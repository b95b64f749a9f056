import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { basename } from "node:path";
import { deviceNumber, orElse } from "../host/files.ts";
import type { BackingScan, FoundFile } from "../host/helper-answers.ts";
import { type Mount, mountOf, parseMountinfo } from "./mountinfo.ts";
import { REMOTE } from "./remote.ts";
import { ScanOverrun, type ScanWork } from "./scan-work.ts";

/**
 * Looks up paths in every mount namespace, and below every root directory, that a process of this machine has: the kernel
 * keeps the name of a loop device's file as it was where the loop device was made. The last part of each path is looked up
 * below /dev as well: of a namespace that has gone the kernel knows the path inside its filesystem only. The caller has to
 * compare filesystem and inode: in another namespace the same path is another file.
 * For the helper process: it walks paths of other namespaces. Network filesystems are left alone.
 * @param work is added to; when it overruns, the search ends: paths that it did not find stay unknown
 */
export function findBacking(paths: readonly string[], procRoot: string, work: ScanWork): BackingScan {
  const files: FoundFile[] = [];
  const remote = new Set<string>();
  if (paths.length === 0) return { files, remote: [] };
  const seen = new Set<string>();
  for (const name of readdirSync(procRoot)) {
    if (!/^\d+$/.test(name)) continue;
    const base = `${procRoot}/${name}`;
    let mounts: readonly Mount[];
    try {
      const root = statSync(`${base}/root`, { bigint: true });
      const key = `${readlinkSync(`${base}/ns/mnt`)} ${root.dev} ${root.ino}`;
      if (seen.has(key)) continue;
      seen.add(key);
      mounts = parseMountinfo(readFileSync(`${base}/mountinfo`, "utf8"));
      work.count(Number(name), mounts.length * (1 + paths.length));
    } catch (error) {
      if (error instanceof ScanOverrun) break;
      // It has just ended, or may not be looked into: a path that is found nowhere stays unknown.
      continue;
    }
    for (const { fsType, device } of mounts) if (REMOTE.test(fsType)) remote.add(device);
    for (const path of paths) {
      for (const candidate of new Set([path, `/dev/${basename(path)}`])) {
        const { fsType = "" } = mountOf(mounts, candidate) ?? {};
        // A look below an autofs would have it mount something.
        if (fsType === "autofs" || REMOTE.test(fsType)) continue;
        const found = fileAt(`${base}/root${candidate}`, path);
        if (found !== undefined) files.push(found);
      }
    }
  }
  return { files, remote: [...remote] };
}

function fileAt(place: string, path: string): FoundFile | undefined {
  const stat = orElse(() => statSync(place, { bigint: true }), undefined);
  if (stat === undefined) return undefined;
  const device = stat.isBlockDevice() ? deviceNumber(stat.rdev) : "";
  return { path, filesystem: deviceNumber(stat.dev), inode: String(stat.ino), device };
}
