import { readlink } from "node:fs/promises";
import { dirname } from "node:path";
import { failure } from "../domain/errors/driver-error.ts";
import { mountOf } from "../mount/mountinfo.ts";
import { mountsOf } from "./release.ts";
import type { NodeContext } from "./types.ts";

/**
 * Refuses to mount where only this container would see it. Without `mountPropagation: Bidirectional` every call succeeds here,
 * and the pod gets the empty directory below: what it writes lands on the node's own disk and is not in the volume.
 * A process in the machine's own mount namespace needs no propagation. Source: mount_namespaces(7), Kubernetes' mount
 * propagation.
 * @throws mountNotPropagated (FAILED_PRECONDITION), nodeStateUnknown
 */
export async function requirePropagation(node: NodeContext, path: string): Promise<void> {
  const { procRoot } = node.system;
  const [own, machine] = await Promise.all([
    readlink(`${procRoot}/self/ns/mnt`).catch(() => undefined),
    readlink(`${procRoot}/1/ns/mnt`).catch(() => undefined),
  ]);
  // Where the namespaces cannot be read, which the readiness check reports, nothing is known and nothing refused.
  if (own === undefined || machine === undefined || own === machine) return;
  const mount = mountOf(await mountsOf(node), dirname(path));
  if (mount !== undefined && !mount.shared) {
    throw failure("mountNotPropagated", { path, mountPoint: mount.mountPoint });
  }
}
