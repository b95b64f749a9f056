import { decodeRecord } from "../domain/record/record-codec.ts";
import type { VolumeRecord } from "../domain/record/volume-record.ts";
import { type VolumeId, volumeIdFromName } from "../domain/volume-id.ts";
import type { AttachmentView, ClusterReader, PersistentVolumeView } from "../kubernetes/port.ts";
import { conversionSlots } from "../rds/conversion-slots.ts";
import type { Disk } from "../rds/disk.ts";
import type { RdsSnapshot } from "../rds/snapshot-names.ts";
import type { RdsFile, Survey } from "../rds/survey.ts";
import { arrayTroubles } from "./array-health.ts";
import {
  absent,
  type Fact,
  found,
  known,
  lookUp,
  mapFact,
  notAsked,
  type Unknown,
  unknown,
  valueOr,
} from "./fact.ts";
import type { ClusterFacts, Installation, PoolFacts, RdsFacts, SnapshotTotal, VolumeFacts } from "./facts.ts";

/** The lists of the cluster, each read once. */
export interface ClusterLists {
  readonly pvs: Fact<readonly PersistentVolumeView[]>;
  readonly attachments: Fact<readonly AttachmentView[]>;
  /** Names of all Node objects. */
  readonly nodes: Fact<readonly string[]>;
}

/** The lists of both sides, from which the facts of each volume are taken. */
export interface World {
  /** When they were read; milliseconds since the Unix epoch. */
  readonly now: number;
  readonly installation: Installation;
  readonly survey: Fact<Listing>;
  /** By the handle of their source; left out where they were not asked for. */
  readonly snapshots?: Fact<ReadonlyMap<string, SnapshotTotal>>;
  readonly cluster: ClusterLists;
}

/** A list of the RDS; `mounted`, `arrays` and `conversions` are left out where they were not asked for. */
export type Listing = Omit<Survey, Extras> & Partial<Pick<Survey, Extras>>;
type Extras = "mounted" | "arrays" | "conversions";

const NOT_LISTED = notAsked("not part of this list");
const NO_POOL = notAsked("no disk item names a pool");

/** The facts of one volume, as far as the lists tell them. */
export function volumeFacts(
  { now, installation, survey, snapshots, cluster }: World,
  handle: VolumeId,
): VolumeFacts {
  const ofVolume = snapshots && mapFact(snapshots, (all) => known(all.get(handle) ?? NO_SNAPSHOTS));
  return {
    handle,
    now,
    installation,
    rds: { ...rdsFacts(survey, handle), ...(ofVolume && { snapshots: ofVolume }) },
    cluster: clusterFacts(cluster, handle),
  };
}

const NO_SNAPSHOTS: SnapshotTotal = { count: 0, bytesAtMost: 0n };

/** Snapshots, added up by the handle of their source. */
export function snapshotTotals(snapshots: readonly RdsSnapshot[]): ReadonlyMap<string, SnapshotTotal> {
  const totals = new Map<string, SnapshotTotal>();
  for (const { record } of snapshots) {
    const { count, bytesAtMost } = totals.get(record.source) ?? NO_SNAPSHOTS;
    totals.set(record.source, { count: count + 1, bytesAtMost: bytesAtMost + record.sizeBytes });
  }
  return totals;
}

/** The handles of all volumes that the RDS has or a PersistentVolume names, sorted. */
export function handlesOf({ survey, cluster }: World): readonly VolumeId[] {
  const { volumes, foreign, conversions = [] } = valueOr(survey, NOTHING);
  // Whether a PersistentVolume's volume is missing is known only if the RDS answered.
  const named = survey.state === "known" ? valueOr(cluster.pvs, []) : [];
  const handles = [...volumes, ...foreign, ...movedVolumes(conversions)].map(({ id }) => id);
  return [...new Set([...handles, ...named.map(({ handle }) => handle as VolumeId)])].sort();
}

/** The volumes whose names the items of conversions tell. An adopted volume has another handle, which only a PersistentVolume names. */
export function movedVolumes(conversions: readonly Disk[]): { id: VolumeId; record: VolumeRecord }[] {
  return conversions.flatMap(({ slot, comment }) => {
    const decoded = decodeRecord(comment);
    if (decoded.kind !== "record") return [];
    const { record } = decoded;
    const id = volumeIdFromName(record.name);
    return Object.values(conversionSlots(id)).includes(slot) ? [{ id, record }] : [];
  });
}

/** The item of a conversion that has the record of a volume: the one whose copy is whole, if there is one. */
function movedBy(conversions: readonly Disk[], handle: VolumeId): RdsFacts["movedBy"] {
  const slots: readonly string[] = Object.values(conversionSlots(handle));
  const found = conversions
    .filter(({ slot }) => slots.includes(slot))
    .map(({ slot, comment }) => {
      const decoded = decodeRecord(comment);
      return { slot, isWhole: decoded.kind === "record" && decoded.record.conversion === "switch" };
    });
  return found.find(({ isWhole }) => isWhole) ?? found[0];
}

const NOTHING: Listing = { volumes: [], foreign: [] };

function rdsFacts(survey: Fact<Listing>, handle: VolumeId): RdsFacts {
  if (survey.state !== "known") {
    const nothing = survey;
    return { disk: nothing, record: nothing, foreign: undefined, file: nothing, pool: nothing };
  }
  const { volumes, foreign, mounted, arrays, conversions = [] } = survey.value;
  const volume = volumes.find(({ id }) => id === handle);
  const other = foreign.find(({ id }) => id === handle);
  const disk = volume?.disk ?? other?.disk;
  return {
    disk: found(disk),
    // Only a readable record of another cluster proves that the item holds no record of ours.
    record:
      other === undefined || other.cause === "other-cluster" ? found(volume?.record) : unknown(other.reason),
    foreign: other?.reason,
    ...(disk === undefined && conversions.length > 0 ? { movedBy: movedBy(conversions, handle) } : {}),
    file: disk?.filePath === "" ? absent : NOT_LISTED,
    pool: disk === undefined ? NO_POOL : poolFact(mounted, disk.filePath, arrays),
  };
}

/** The file that the RDS was asked for; one that is not found below a mount point that is away may exist. */
export function fileFact(file: RdsFile | undefined, pool: Fact<PoolFacts>): Fact<RdsFile> {
  return file === undefined && pool.state === "absent" ? unknown("its pool is not mounted") : found(file);
}

/** The mounted item that holds the file at `path`. @param mounted undefined: they were not listed. @param arrays as `Survey.arrays` */
export function poolFact(
  mounted: readonly Disk[] | undefined,
  path: string,
  arrays?: readonly Disk[],
): Fact<PoolFacts> {
  if (mounted === undefined) return NOT_LISTED;
  const [holder] = mounted
    .filter(({ mountPoint }) => mountPoint !== "" && path.startsWith(`${mountPoint}/`))
    .toSorted((a, b) => b.mountPoint.length - a.mountPoint.length);
  if (holder === undefined) return absent;
  const { slot, mountPoint, fs, size, free } = holder;
  const array = arrays && { arrayTroubles: arrayTroubles(holder, arrays) };
  return known({ slot, mountPoint, fs, sizeBytes: size, freeBytes: free, ...array });
}

function clusterFacts({ pvs, attachments, nodes }: ClusterLists, handle: VolumeId): ClusterFacts {
  const all = valueOr(pvs, []);
  const same = all.filter((each) => each.handle === handle);
  const pv = same.find(({ phase }) => phase === "Bound") ?? same[0];
  const own = new Set(same.map(({ name }) => name));
  // Without a PersistentVolume neither claim nor pods can be found: there are none of this volume.
  const details = mapFact<unknown, never>(pvs, () => (pv === undefined ? absent : NOT_LISTED));
  const lists = details.state === "absent" ? known([]) : (details as Unknown);
  return {
    pv: mapFact(pvs, () => found(pv)),
    otherPvs: same.flatMap(({ name }) => (name === pv?.name ? [] : [name])).sort(),
    claim: details,
    storageClass: details,
    // A VolumeAttachment names its PersistentVolume: without that list nobody can say whose it is.
    attachments: mapFact(pvs, () =>
      mapFact(attachments, (each) =>
        known(
          each.filter((attachment) => {
            const { pvName = "" } = attachment;
            if (pv !== undefined) return own.has(pvName);
            return isLeftOf(handle, attachment) && !all.some(({ name }) => name === pvName);
          }),
        ),
      ),
    ),
    pods: lists,
    machines: lists,
    nodes,
    events: lists,
  };
}

/**
 * Whether a VolumeAttachment without PersistentVolume was of a volume: by the NQN in its publish context, else by the
 * PersistentVolume's name, which external-provisioner makes equal to the CSI volume name.
 */
export function isLeftOf(handle: VolumeId, { pvName, metadata: { nqn = "" } }: AttachmentView): boolean {
  if (nqn !== "") return nqn.endsWith(`:${handle}`) || nqn.includes(`:${handle}.`);
  return pvName !== undefined && volumeIdFromName(pvName) === handle;
}

/** Reads the lists of the cluster. */
export async function readClusterLists(
  reader: Pick<ClusterReader, "persistentVolumes" | "volumeAttachments" | "nodes">,
  signal: AbortSignal,
): Promise<ClusterLists> {
  const [pvs, attachments, nodes] = await Promise.all([
    lookUp(signal, async () => known(await reader.persistentVolumes(signal))),
    lookUp(signal, async () => known(await reader.volumeAttachments(signal))),
    lookUp(signal, async () => known(await reader.nodes(signal))),
  ]);
  // Without the PersistentVolumes nothing in the other lists can be understood.
  return pvs.state === "unknown" ? noClusterLists(pvs) : { pvs, attachments, nodes };
}

/** The lists of a cluster that could not be asked, or was not to be asked. */
export function noClusterLists(why: Unknown): ClusterLists {
  return { pvs: why, attachments: why, nodes: why };
}
