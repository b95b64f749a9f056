import { claimUsers } from "../controller/claim-users.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import type { ClusterReader, PodView } from "../kubernetes/port.ts";
import { vmiOf } from "../migration/guard.ts";
import type { ClusterInspector } from "./cluster-inspector.ts";
import { absent, type Fact, found, ifKnown, known, unknown } from "./fact.ts";
import {
  type AttachmentFacts,
  absentInCluster,
  type ClusterFacts,
  type EventFacts,
  type MachineFacts,
  type PvFacts,
  unknownCluster,
} from "./facts.ts";
import { lookUp } from "./look-up.ts";

/** Events that are kept: what happened lately, not a history. */
const MAX_EVENTS = 10;
/** Events of pods that are about volumes. */
const VOLUME_EVENT = /attach|mount|volume|map/i;

export interface ClusterSource {
  readonly reader: Pick<
    ClusterReader,
    "nodes" | "podsUsingClaim" | "pod" | "virtualMachineInstance" | "migrationsOf"
  >;
  readonly inspector: ClusterInspector;
}

/**
 * What the cluster says about one volume. What it does not let this user read is unknown, the rest is not.
 * @param pvs what was listed before; unknown: it could not be asked
 */
export async function gatherCluster(
  { reader, inspector }: ClusterSource,
  pvs: Fact<readonly PvFacts[]>,
  handle: string,
  signal: AbortSignal,
): Promise<ClusterFacts> {
  if (pvs.state === "unknown") return unknownCluster(pvs.reason);
  const nodes = lookUp(signal, async () => known(await reader.nodes(signal)));
  const same = (ifKnown(pvs) ?? []).filter((each) => each.handle === handle);
  const pv = same.find(({ phase }) => phase === "Bound") ?? same[0];
  if (pv === undefined) {
    const left = lookUp<readonly AttachmentFacts[]>(signal, async () => {
      const existing = new Set((ifKnown(pvs) ?? []).map(({ name }) => name));
      const all = await inspector.volumeAttachments(signal);
      return known(all.filter((each) => isLeftOf(handle, each) && !existing.has(each.pvName ?? "")));
    });
    return absentInCluster(await nodes, await left);
  }
  const names = new Set(same.map(({ name }) => name));
  const attachments = lookUp<readonly AttachmentFacts[]>(signal, async () => {
    const all = await inspector.volumeAttachments(signal);
    return known(all.filter(({ pvName }) => pvName !== undefined && names.has(pvName)));
  });
  const { claim, storageClass } = pv;
  const ofClass = lookUp(signal, async () =>
    storageClass === undefined ? absent : found(await inspector.storageClass(storageClass, signal)),
  );
  const ofClaim = lookUp(signal, async () =>
    claim === undefined ? absent : found(await inspector.claim(claim.namespace, claim.name, signal)),
  );
  const workload = await gatherWorkload(reader, claim, signal);
  return {
    pv: known(pv),
    otherPvs: [...names].filter((name) => name !== pv.name).toSorted(),
    claim: await ofClaim,
    storageClass: await ofClass,
    attachments: await attachments,
    nodes: await nodes,
    ...workload,
    events: await gatherEvents(inspector, claim, ifKnown(workload.pods) ?? [], signal),
  };
}

/** Whether a VolumeAttachment was of a volume: by the NQN that its node was told, else by the PersistentVolume's name. */
function isLeftOf(handle: string, { pvName, metadata }: AttachmentFacts): boolean {
  const { nqn } = metadata;
  if (nqn !== undefined) return nqn.endsWith(`:${handle}`) || nqn.includes(`:${handle}.`);
  return pvName !== undefined && volumeIdFromName(pvName) === handle;
}

/** The pods of the claim, and the machines that they are of. */
async function gatherWorkload(
  reader: ClusterSource["reader"],
  claim: PvFacts["claim"],
  signal: AbortSignal,
): Promise<Pick<ClusterFacts, "pods" | "machines">> {
  if (claim === undefined) return { pods: known([]), machines: known([]) };
  const users = await lookUp(signal, async () => known(await claimUsers(reader, claim, signal)));
  if (users.state !== "known") return { pods: users, machines: users };
  const { users: pods, owners } = users.value;
  const named = pods.flatMap((pod) => vmiOf(pod, (each) => owners.get(each.uid)) ?? []);
  const byUid = new Map(named.map((machine) => [machine.uid, machine]));
  const machines = await lookUp<readonly MachineFacts[]>(signal, async () => {
    const all = await Promise.all(
      [...byUid.values()].map(async ({ namespace, name, uid }) => {
        const machine = await reader.virtualMachineInstance(namespace, name, signal);
        // One that was made anew under its name is not the machine of these pods.
        if (machine === undefined || machine.uid !== uid) return [];
        return [{ machine, migrations: (await reader.migrationsOf(namespace, name, signal)) ?? [] }];
      }),
    );
    return known(all.flat());
  });
  return { pods: known(pods), machines };
}

async function gatherEvents(
  inspector: ClusterInspector,
  claim: PvFacts["claim"],
  pods: readonly PodView[],
  signal: AbortSignal,
): Promise<Fact<readonly EventFacts[]>> {
  if (claim === undefined) return known([]);
  const { namespace, name } = claim;
  return lookUp<readonly EventFacts[]>(signal, async () => {
    const [ofClaim, ...ofPods] = await Promise.all([
      inspector.events(namespace, "PersistentVolumeClaim", name, signal),
      ...pods.map((pod) => inspector.events(namespace, "Pod", pod.name, signal)),
    ]);
    const all = [...ofClaim, ...ofPods.flat().filter(({ reason }) => VOLUME_EVENT.test(reason))];
    return known(all.toSorted((a, b) => b.at - a.at).slice(0, MAX_EVENTS));
  });
}

/** The PersistentVolumes of the driver; not asked when there is no cluster to ask. */
export async function listPersistentVolumes(
  source: ClusterSource | undefined,
  whyNot: string,
  signal: AbortSignal,
): Promise<Fact<readonly PvFacts[]>> {
  if (source === undefined) return unknown(whyNot);
  return lookUp(signal, async () => known(await source.inspector.persistentVolumes(signal)));
}
