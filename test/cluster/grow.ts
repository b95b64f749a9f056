import type { Cluster } from "./cluster.ts";

/** Whether ext4 can be grown here while it is mounted: that needs CAP_SYS_RESOURCE, which some machines keep from root. */
export async function canGrowExt4(cluster: Cluster): Promise<boolean> {
  const status = await cluster.control.run("cat", ["/proc/self/status"]);
  const [, effective = "0"] = /^CapEff:\s*([0-9a-f]+)$/m.exec(status) ?? [];
  // Number of the capability: linux/capability.h.
  return ((BigInt(`0x${effective}`) >> 24n) & 1n) === 1n;
}
