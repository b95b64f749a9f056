import { readFileSync, readlinkSync } from "node:fs";
import { parseMountinfo } from "./mountinfo.ts";

/** Filesystems on which a stat may wait for another machine; our devices are never reached through them. */
export const REMOTE = /^(nfs|nfs4|cifs|smb3|ceph|9p|afs|lustre|fuse|fuse\..*)$/;

/** The network filesystems of a mount namespace. */
export interface Remote {
  readonly namespace: string;
  readonly mountIds: ReadonlySet<string>;
  /** `major:minor` */
  readonly devices: ReadonlySet<string>;
}

/**
 * The network filesystems that a process sees.
 * @param base directory of the process in /proc
 * @param known by mount namespace; is added to
 * @param count called with the number of mounts that were read
 * @throws the error of readlink(2) or open(2)
 */
export function remoteOf(
  base: string,
  known: Map<string, Remote>,
  count: (entries: number) => void = () => {},
): Remote {
  const namespace = readlinkSync(`${base}/ns/mnt`);
  const before = known.get(namespace);
  if (before !== undefined) return before;
  const all = parseMountinfo(readFileSync(`${base}/mountinfo`, "utf8"));
  count(all.length);
  const mounts = all.filter(({ fsType }) => REMOTE.test(fsType));
  const remote = {
    namespace,
    mountIds: new Set(mounts.map(({ id }) => String(id))),
    devices: new Set(mounts.map(({ device }) => device)),
  };
  known.set(namespace, remote);
  return remote;
}
