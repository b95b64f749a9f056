import { systemClock } from "../../domain/clock.ts";
import {
  type Fact,
  ifKnown,
  known,
  lookUp,
  found as orAbsent,
  type Unknown,
  valueOr,
} from "../../inspect/fact.ts";
import type { PersistentVolumeView } from "../../kubernetes/port.ts";
import type { SnapshotContentView } from "../../kubernetes/volume-snapshots.ts";
import { handleOf, type RdsSnapshot } from "../../rds/snapshot-names.ts";
import type { Survey } from "../../rds/survey.ts";
import type { Limits, Sides } from "../volumes/connect.ts";
import { unknownSides } from "../volumes/listed.ts";
import type { UnknownSide } from "../volumes/model.ts";
import { isoTime } from "../volumes/text.ts";
import type { ListedSnapshot } from "./model.ts";

/** The lists of both sides. */
export interface SnapshotWorld {
  /** When they were read; milliseconds since the Unix epoch. */
  readonly now: number;
  readonly survey: Survey;
  readonly snapshots: readonly RdsSnapshot[];
  readonly pvs: Fact<readonly PersistentVolumeView[]>;
  /** Absent: the cluster does not know VolumeSnapshots. */
  readonly contents: Fact<readonly SnapshotContentView[]>;
}

/** Reads the lists. Two RouterOS commands, besides the version's, or several when there are many. @throws the failure of the RDS */
export async function readSnapshotWorld(
  { rds, cluster }: Sides,
  { forRds, forCluster }: Limits,
): Promise<SnapshotWorld> {
  const ofCluster = ifKnown(cluster);
  // One after the other: a connection that is to run two commands at once is tried with two more before.
  const ofRds = async () => ({
    survey: await rds.survey(forRds),
    snapshots: await rds.snapshots.list({}, forRds),
  });
  const [found, pvs, contents] = await Promise.all([
    ofRds(),
    ofCluster === undefined
      ? (cluster as Unknown)
      : lookUp(forCluster, async () => known(await ofCluster.reader.persistentVolumes(forCluster))),
    ofCluster === undefined
      ? (cluster as Unknown)
      : lookUp(forCluster, async () => orAbsent(await ofCluster.snapshots.contents(forCluster))),
  ]);
  return { now: systemClock.now(), ...found, pvs, contents };
}

const NS_PER_S = 1_000_000_000n;

/** Every snapshot that the RDS has or a VolumeSnapshotContent names, by handle. */
export function listedSnapshots(world: SnapshotWorld): ListedSnapshot[] {
  const { snapshots, survey, contents } = world;
  const byHandle = Map.groupBy(valueOr(contents, []), ({ handle }) => handle);
  // A content that has no handle yet is known by its snapshot's id.
  const present = new Set<string>(snapshots.flatMap((each) => [handleOf(each), each.record.id]));
  const listed = snapshots.map((snapshot): ListedSnapshot => {
    const { record, subvolume } = snapshot;
    const { label, name } = subvolume;
    const handle = handleOf(snapshot);
    const named = [...(byHandle.get(handle) ?? []), ...(byHandle.get(record.id) ?? [])];
    return {
      handle,
      state: contents.state === "unknown" ? "unknown" : named.length > 0 ? "named" : "unnamed",
      ...sourceOf(world, record.source),
      sizeBytes: record.sizeBytes,
      content: record.filesystem ?? "block",
      createdAt: isoTime(Number(record.createdNs / NS_PER_S)),
      pool: { slot: survey.mounted.find(({ fsLabel }) => fsLabel === label)?.slot, label },
      path: name,
      contents: named,
    };
  });
  // One that is being cut is not there yet, and one that is being deleted not any more.
  const missing = [...byHandle].flatMap(([handle, named]): ListedSnapshot[] => {
    const [first] = named;
    if (first === undefined || present.has(handle)) return [];
    if (!named.some(({ ready, deleting }) => ready && !deleting)) return [];
    return [
      {
        ...{ handle, state: "missing", ...sourceOf(world, first.volume) },
        ...{ sizeBytes: first.restoreBytes ?? 0n, content: undefined, createdAt: undefined },
        ...{ pool: undefined, path: "", contents: named },
      },
    ];
  });
  return [...listed, ...missing].toSorted((a, b) => (a.handle < b.handle ? -1 : 1));
}

function sourceOf(
  { survey, pvs }: SnapshotWorld,
  handle: string | undefined,
): Pick<ListedSnapshot, "source" | "pvc"> {
  const volume = survey.volumes.find(({ id }) => id === handle);
  const exists = volume !== undefined || survey.foreign.some(({ id }) => id === handle);
  const own = valueOr(pvs, []).filter((pv) => pv.handle === handle);
  const claim = own.find((pv) => pv.claim !== undefined)?.claim ?? volume?.record.claim;
  return {
    source: { handle, exists },
    pvc: claim && { namespace: claim.namespace, name: claim.name },
  };
}

/** The lists of the cluster that were not read: each reason once. Without an orchestrator nothing was asked. */
export function unreadLists({ pvs, contents }: Pick<SnapshotWorld, "pvs" | "contents">): UnknownSide[] {
  return unknownSides([
    // Both are unknown when the cluster does not answer: one reason says it.
    [
      "Kubernetes",
      "PersistentVolumes",
      contents.state === "unknown" && pvs.state === "unknown" ? contents : pvs,
    ],
    ["Kubernetes", "VolumeSnapshotContents", contents],
  ]);
}
