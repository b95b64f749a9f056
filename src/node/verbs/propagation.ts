import { dirname } from "node:path";
import { failure } from "../../domain/errors/driver-error.ts";
import { hidingMount } from "../../mount/propagation.ts";
import type { NodeContext } from "../types.ts";

/**
 * Refuses to mount where only this container would see it. Without `mountPropagation: Bidirectional` every call succeeds here,
 * and the pod gets the empty directory below: what it writes lands on the node's own disk and is not in the volume. Where
 * the namespaces cannot be read, which the readiness check reports, nothing is known and nothing refused.
 * Source: Kubernetes' mount propagation.
 * @throws mountNotPropagated (FAILED_PRECONDITION), nodeStateUnknown
 */
export async function requirePropagation(node: NodeContext, path: string): Promise<void> {
  const mount = await hidingMount(node.system.procRoot, dirname(path));
  if (mount !== undefined) throw failure("mountNotPropagated", { path, mountPoint: mount.mountPoint });
}
