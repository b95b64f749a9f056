import { readlink } from "node:fs/promises";
import { type Mount, mountOf, readMounts } from "./mountinfo.ts";

/**
 * The mount that keeps what this process mounts below `directory` from the machine: it is in a mount namespace of its own, such
 * as a container's, and that mount is not shared. undefined: there is none, or the namespaces cannot be read.
 * Source: mount_namespaces(7), "Shared subtrees".
 * @throws nodeStateUnknown when the mount table cannot be read
 */
export async function hidingMount(procRoot: string, directory: string): Promise<Mount | undefined> {
  const [own, machine] = await Promise.all([
    readlink(`${procRoot}/self/ns/mnt`).catch(() => undefined),
    readlink(`${procRoot}/1/ns/mnt`).catch(() => undefined),
  ]);
  if (own === undefined || machine === undefined || own === machine) return undefined;
  const mount = mountOf(await readMounts(`${procRoot}/self/mountinfo`), directory);
  return mount?.shared === false ? mount : undefined;
}
