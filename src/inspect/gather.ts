import type { VolumeId } from "../domain/volume-id.ts";
import type { ClusterInspector, EventView } from "../kubernetes/inspector.ts";
import type { ClaimRef, ClusterReader, PodView } from "../kubernetes/port.ts";
import { vmiOf } from "../migration/guard.ts";
import type { Rds } from "../rds/rds.ts";
import type { SnapshotStore } from "../rds/snapshots.ts";
import { claimUsers } from "./claim-users.ts";
import { absent, type Fact, found, ifKnown, known, lookUp, unknown, valueOr } from "./fact.ts";
import type { ClusterFacts, MachineFacts, RdsFacts, SnapshotTotal, VolumeFacts } from "./facts.ts";
import type { World } from "./world.ts";
import { fileFact, snapshotTotals, volumeFacts } from "./world.ts";

/** Events that are kept, the newest first. */
const MAX_EVENTS = 10;
/** Reasons of pods' events that are about volumes. */
const VOLUME_EVENT = /attach|mount|volume|map/i;

export interface ClusterSource {
  readonly reader: Pick<ClusterReader, "podsUsingClaim" | "pod" | "virtualMachineInstance" | "migrationsOf">;
  readonly inspector: Pick<ClusterInspector, "claim" | "storageClass" | "events">;
}

/** Where the details of a volume are asked for. */
export interface DetailSources {
  readonly rds: Pick<Rds, "file" | "strayFile"> & { readonly snapshots?: Pick<SnapshotStore, "list"> };
  /** Folder of the volumes below a pool's mount point, for the file of a volume without disk item. */
  readonly directory: string;
  /** undefined: the cluster is not asked. */
  readonly cluster: ClusterSource | undefined;
  readonly forRds: AbortSignal;
  readonly forCluster: AbortSignal;
}

/** The facts of one volume with everything that no list tells. Two RouterOS commands, for the file and the snapshots. */
export async function gatherVolume(
  world: World,
  handle: VolumeId,
  { rds, directory, cluster, forRds, forCluster }: DetailSources,
): Promise<VolumeFacts> {
  const facts = volumeFacts(world, handle);
  const mounted = ifKnown(world.survey)?.mounted ?? [];
  // One after the other: a connection that is to run two commands at once is tried with two more before.
  const onRds = async () => ({
    file:
      facts.rds.disk.state === "absent" && mounted.length === 0
        ? unknown("no pool is mounted")
        : await gatherFile(rds, facts.rds, () => rds.strayFile(handle, directory, mounted, forRds), forRds),
    ...(rds.snapshots && {
      // An RDS that did not answer is not asked again.
      snapshots:
        facts.rds.disk.state === "unknown"
          ? facts.rds.disk
          : await gatherSnapshots(rds.snapshots, handle, forRds),
    }),
  });
  const [found, inCluster] = await Promise.all([
    onRds(),
    cluster === undefined ? facts.cluster : gatherCluster(cluster, facts.cluster, forCluster),
  ]);
  return { ...facts, rds: { ...facts.rds, ...found }, cluster: inCluster };
}

async function gatherSnapshots(
  snapshots: Pick<SnapshotStore, "list">,
  source: VolumeId,
  signal: AbortSignal,
): Promise<Fact<SnapshotTotal>> {
  return lookUp(signal, async () => {
    const totals = snapshotTotals(await snapshots.list({ source }, signal));
    return known(totals.get(source) ?? { count: 0, bytesAtMost: 0n });
  });
}

/** The backing file. @param stray looks for the file that a volume without disk item has left */
async function gatherFile(
  rds: Pick<Rds, "file">,
  { disk, file, pool }: RdsFacts,
  stray: () => ReturnType<Rds["strayFile"]>,
  signal: AbortSignal,
): Promise<RdsFacts["file"]> {
  if (disk.state === "absent") return lookUp(signal, async () => found(await stray()));
  const path = ifKnown(disk)?.filePath ?? "";
  return path === "" ? file : lookUp(signal, async () => fileFact(await rds.file(path, signal), pool));
}

async function gatherCluster(
  { reader, inspector }: ClusterSource,
  facts: ClusterFacts,
  signal: AbortSignal,
): Promise<ClusterFacts> {
  const pv = ifKnown(facts.pv);
  if (pv === undefined) return facts;
  const { claim, storageClass } = pv;
  const [ofClass, ofClaim, workload] = await Promise.all([
    lookUp(signal, async () =>
      storageClass === undefined ? absent : found(await inspector.storageClass(storageClass, signal)),
    ),
    lookUp(signal, async () =>
      claim === undefined ? absent : found(await inspector.claim(claim.namespace, claim.name, signal)),
    ),
    gatherWorkload(reader, claim, signal),
  ]);
  const events = await gatherEvents(inspector, claim, valueOr(workload.pods, []), signal);
  return { ...facts, claim: ofClaim, storageClass: ofClass, ...workload, events };
}

/** The pods of the claim, and their virtual machines. */
async function gatherWorkload(
  reader: ClusterSource["reader"],
  claim: ClaimRef | undefined,
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
  inspector: ClusterSource["inspector"],
  claim: ClaimRef | undefined,
  pods: readonly PodView[],
  signal: AbortSignal,
): Promise<Fact<readonly EventView[]>> {
  if (claim === undefined) return known([]);
  const { namespace, name } = claim;
  return lookUp<readonly EventView[]>(signal, async () => {
    const [ofClaim, ...ofPods] = await Promise.all([
      inspector.events(namespace, "PersistentVolumeClaim", name, signal),
      ...pods.map((pod) => inspector.events(namespace, "Pod", pod.name, signal)),
    ]);
    const all = [...ofClaim, ...ofPods.flat().filter(({ reason }) => VOLUME_EVENT.test(reason))];
    return known(all.toSorted((a, b) => b.at - a.at).slice(0, MAX_EVENTS));
  });
}
