import { resolve } from "node:path";
import process from "node:process";
import type { Api, Thing } from "./api.ts";
import { Cluster } from "./cluster.ts";
import { canGrowExt4 } from "./grow.ts";
import { until } from "./run.ts";
import { provideCluster } from "./scope.ts";

export { Scope } from "./scope.ts";

/** The cluster of this run: scripts/cluster test has started it. */
export const cluster: Cluster = await (async () => {
  const { RDS_CSI_CLUSTER: state, RDS_CSI_CLUSTER_PROGRAMS: programs } = process.env;
  if (state === undefined || programs === undefined)
    throw new Error("there is no cluster: run scripts/cluster test");
  const found = await Cluster.find({ state: resolve(state), programs });
  if (found === undefined) throw new Error(`no cluster runs in ${state}: run scripts/cluster test`);
  return found;
})();
export const api: Api = cluster.api;
provideCluster(cluster);

/** Whether ext4 can be grown here while it is mounted. */
export const growsExt4: boolean = await canGrowExt4(cluster);

/** The attachments of a volume, as the cluster has them. */
export async function attachmentsOf(volume: string): Promise<Thing[]> {
  const all = await api.list("VolumeAttachment");
  return all.filter(({ spec }) => spec.source.persistentVolumeName === volume);
}

/** The disk of a volume on the simulated RDS; undefined if there is none. */
export async function diskOf(volume: Thing) {
  const { disks } = await cluster.rds.state();
  return disks.find(({ slot }) => slot === volume.spec.csi.volumeHandle);
}

/** Names of the nodes that the cluster has attached a volume to. */
export async function attachedNodes(volume: string): Promise<string[]> {
  const found = await attachmentsOf(volume);
  return found
    .filter(({ status }) => status?.attached)
    .map(({ spec }) => spec.nodeName)
    .sort();
}

/** Waits until a volume is attached to just these nodes, given in the order of their names. */
export function awaitNodes(volume: string, ...nodes: string[]): Promise<unknown> {
  const same = async () => (await attachedNodes(volume)).join() === nodes.join();
  return until(`${volume} to be attached to ${nodes.join(" and ")}`, same, {
    explain: async () => JSON.stringify(await attachmentsOf(volume)),
  });
}

/** Waits until a node is refused a volume. @returns the reason on the VolumeAttachment */
export function refusal(volume: string, node: string, text: RegExp): Promise<string> {
  return until(`a refusal of ${node} with ${text}`, async () => {
    const found = (await attachmentsOf(volume)).find(({ spec }) => spec.nodeName === node);
    const message: string | undefined = found?.status?.attachError?.message;
    return message !== undefined && text.test(message) ? message : undefined;
  });
}
