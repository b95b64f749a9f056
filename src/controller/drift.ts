import { compareVolume } from "../inspect/compare.ts";
import { known, notAsked, type Unknown } from "../inspect/fact.ts";
import type { Installation } from "../inspect/facts.ts";
import type { VolumeFinding } from "../inspect/volume-finding.ts";
import { type Listing, noClusterLists, volumeFacts, type World } from "../inspect/world.ts";
import type { AttachmentView, ClusterReader, PersistentVolumeView } from "../kubernetes/port.ts";
import type { RdsVolume } from "../rds/volume.ts";
import { DRIFT_KINDS, type DriftKind } from "./migration-metrics.ts";

/** A finding that reconcile reports. */
export interface Drift extends VolumeFinding {
  readonly id: DriftKind;
}

/** The cluster's side of all attachments. */
export interface ClusterView {
  readonly attachments: readonly AttachmentView[];
  readonly persistentVolumes: readonly PersistentVolumeView[];
}

/** Kinds that are found by comparing with the cluster. */
export const CLUSTER_KINDS: readonly DriftKind[] = [
  "attachment-without-va",
  "va-without-attachment",
  "attachment-without-pv",
  "record-unusable",
];

/** Reads the cluster's side. @throws as ClusterReader does */
export async function readClusterView(
  cluster: Pick<ClusterReader, "volumeAttachments" | "persistentVolumes">,
  signal: AbortSignal,
): Promise<ClusterView> {
  const [attachments, persistentVolumes] = await Promise.all([
    cluster.volumeAttachments(signal),
    cluster.persistentVolumes(signal),
  ]);
  return { attachments, persistentVolumes };
}

const NO_VIEW = notAsked("without the cluster");
/** Whether a Node exists is asked for one by one, when an attachment is to be cleared. */
const NO_NODES: Unknown = notAsked("not listed by reconcile");

/** Volumes and cluster as `inspect` takes them. @param view undefined: without an orchestrator, or it could not be read */
export function worldOf(
  listing: Listing,
  view: ClusterView | undefined,
  installation: Installation,
  now: number,
): World {
  const cluster =
    view === undefined
      ? noClusterLists(NO_VIEW)
      : { pvs: known(view.persistentVolumes), attachments: known(view.attachments), nodes: NO_NODES };
  return { now, installation, survey: known(listing), cluster };
}

/**
 * Cuts a view into the views of single volumes, so that a look at all of them does not go through all objects for each: of a volume, its
 * PersistentVolumes with their VolumeAttachments, and those VolumeAttachments whose PersistentVolume is gone.
 */
export function viewsByVolume({ persistentVolumes, attachments }: ClusterView): {
  readonly handles: Iterable<string>;
  of(id: string): ClusterView;
} {
  const byHandle = Map.groupBy(persistentVolumes, ({ handle }) => handle);
  const names = new Set(persistentVolumes.map(({ name }) => name));
  const byPv = Map.groupBy(attachments, ({ pvName = "" }) => (names.has(pvName) ? pvName : ""));
  return {
    handles: byHandle.keys(),
    of: (id) => {
      const own = byHandle.get(id) ?? [];
      const left = byPv.get("") ?? [];
      return {
        persistentVolumes: own,
        attachments: [...own.flatMap(({ name }) => byPv.get(name) ?? []), ...left],
      };
    },
  };
}

/**
 * The findings of volumes that reconcile reports.
 * @param view undefined: without an orchestrator, or it could not be read
 * @param now milliseconds since the Unix epoch
 */
export function driftOf(
  listing: Listing,
  view: ClusterView | undefined,
  installation: Installation,
  now: number,
): Drift[] {
  const world = worldOf(listing, view, installation, now);
  return [...listing.volumes, ...listing.foreign]
    .flatMap(({ id }) => compareVolume(volumeFacts(world, id)))
    .filter(isDrift);
}

function isDrift(finding: VolumeFinding): finding is Drift {
  return (DRIFT_KINDS as readonly string[]).includes(finding.id);
}

/** The nodes that the cluster wants the volume on: their VolumeAttachments are attached and are to stay. */
export function wantedNodes({ id }: Pick<RdsVolume, "id">, cluster: ClusterView): ReadonlySet<string> {
  const names = new Set(
    cluster.persistentVolumes.filter(({ handle }) => handle === id).map(({ name }) => name),
  );
  const wanted = cluster.attachments.filter(
    ({ pvName, attached, deleting }) => pvName !== undefined && names.has(pvName) && attached && !deleting,
  );
  return new Set(wanted.map(({ node }) => node));
}
