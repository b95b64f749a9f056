import { createHash } from "node:crypto";

/** Namespace of the UUIDs below; fixed for ever, as records on the RDS hold UUIDs derived from it. */
const NAMESPACE = "7d1f8f2e-6c0b-5a54-9a2b-3f0a3c1de5b7";

/** A node's identity towards NVMe targets. */
export interface HostIdentity {
  /** `nqn.2014-08.org.nvmexpress:uuid:<uuid>`, 68 bytes. Source: NVMe base specification 2.0, 4.7. */
  readonly hostNqn: string;
  /** The same UUID, as the 128-bit host identifier. */
  readonly hostId: string;
}

/** UUID version 5 (RFC 9562, 5.5) of `name` in `namespace`. */
export function uuidV5(namespace: string, name: string): string {
  const hash = createHash("sha1")
    .update(Buffer.from(namespace.replaceAll("-", ""), "hex"))
    .update(name, "utf8")
    .digest();
  const bytes = Uint8Array.prototype.slice.call(hash, 0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x50;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Buffer.from(bytes).toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/**
 * Derives the host NQN and host ID of a node. Controller and node derive the same value from the same
 * configuration, so nothing is registered, and cloned machines never share one.
 * @param clusterId the installation's `--cluster-id`
 * @param nodeId the CSI node id
 */
export function hostIdentity(clusterId: string, nodeId: string): HostIdentity {
  const hostId = uuidV5(NAMESPACE, `${clusterId.length}:${clusterId}/${nodeId}`);
  return { hostNqn: `nqn.2014-08.org.nvmexpress:uuid:${hostId}`, hostId };
}
