import { isClusterUid } from "../domain/cluster-id.ts";
import { isFailure } from "../domain/errors/driver-error.ts";
import { SLOT_PREFIX } from "../domain/volume-id.ts";
import { isObjectName } from "../kubernetes/names.ts";
import type { ClusterReader } from "../kubernetes/port.ts";
import type { StorageNames } from "../kubernetes/storage-names.ts";
import type { RdsVolume } from "../rds/volume.ts";
import type { ClusterView } from "./drift.ts";

/**
 * A command that RouterOS ran too late, after its caller got another answer, leaves an attachment or a volume that is never asked for
 * again. Reconcile removes one that has looked so for this long; milliseconds.
 */
export const GHOST_AFTER_MS = 15 * 60_000;
export const UNUSED_AFTER_MS = 60 * 60_000;

/** Name that external-provisioner gives: the claim's UID is in it. Source: external-provisioner, `--volume-name-prefix`. */
const PROVISIONED = /^pvc-([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$/;

/** The UID of the claim that a volume was provisioned for; undefined: its name tells none. */
export function claimUidIn(name: string): string | undefined {
  return PROVISIONED.exec(name)?.[1];
}

/**
 * Whether no workload can be using a volume on a node that has no VolumeAttachment for it: a PersistentVolume of this cluster
 * names the volume with its claim, and no pod that has not ended uses the claim on the node.
 */
export async function isUnusedOn(
  cluster: Pick<ClusterReader, "podsUsingClaim">,
  volume: Pick<RdsVolume, "id">,
  node: string,
  view: ClusterView,
  signal: AbortSignal,
): Promise<boolean> {
  const pvs = view.persistentVolumes.filter(({ handle }) => handle === volume.id);
  const [pv, another] = pvs;
  if (pv?.claim === undefined || another !== undefined) return false;
  const pods = await cluster.podsUsingClaim(pv.claim, signal);
  return pods.every((pod) => pod.node !== undefined && pod.node !== node);
}

/**
 * Whether a volume looks like one whose CreateVolume was never answered: never attached, so without data, and without
 * PersistentVolume. Only where the cluster id is the UID of the cluster: a chosen id may be that of two clusters, and the
 * PersistentVolume and the claim may be in the other one.
 */
export function looksUnasked({ id, record, disk }: RdsVolume, view: ClusterView): boolean {
  const { cluster, epoch, attachments, ended, source, copy, invalidations, claim, name } = record;
  // A volume that is still being copied holds nothing that its source does not hold.
  const isBlank = source === undefined || copy !== undefined;
  const isUntouched = epoch === 0 && attachments.length === 0 && ended.length === 0 && isBlank;
  if (!isClusterUid(cluster)) return false;
  // A volume of another driver holds data with epoch 0. An item keeps the name of its last export, which a person may have made to fill the volume.
  if (!id.startsWith(SLOT_PREFIX) || disk.exported || disk.nqn !== "") return false;
  // The RDS itself may have filled it: the driver makes no item that it mounts.
  if (disk.mounted || disk.mountFilesystem) return false;
  // The CreateVolume of a volume with a new revision was repeated, and answered.
  if (!isUntouched || invalidations !== undefined || claim === undefined || !PROVISIONED.test(name))
    return false;
  return !view.persistentVolumes.some(({ handle }) => handle === id);
}

/** The proofs and the act of removing a volume that nobody was told of. */
export interface Unasked {
  /** Removes a volume, unless it has changed. Returns whether it did. */
  readonly remove: (volume: RdsVolume, signal: AbortSignal) => Promise<boolean>;
  /** UID of the cluster whose claims are read: the configured cluster id may be that of another one. */
  readonly clusterUid: (signal: AbortSignal) => Promise<string>;
  /** PersistentVolumes of any driver: those of a second installation, or of a former driver name, count. */
  readonly names: Pick<StorageNames, "volumes">;
}

/** Whether a volume is of the very cluster that is read, and no PersistentVolume of any driver names it. */
export async function isNamedNowhere(
  { clusterUid, names }: Unasked,
  { id, record }: Pick<RdsVolume, "id" | "record">,
  signal: AbortSignal,
): Promise<boolean> {
  if ((await clusterUid(signal)) !== record.cluster) return false;
  return !(await names.volumes(signal)).some(({ handle }) => handle === id);
}

/**
 * Whether the claim that a volume was made for is gone, or another claim has its name: then CreateVolume is not repeated.
 * false also when the claim cannot be read.
 */
export async function isClaimGone(
  cluster: Pick<ClusterReader, "claimUid" | "persistentVolumeByHandle">,
  { id, record }: RdsVolume,
  signal: AbortSignal,
): Promise<boolean> {
  const uid = claimUidIn(record.name);
  if (uid === undefined || record.claim === undefined) return false;
  // A name that no claim can have is damaged: the claim has another name.
  if (![record.claim.namespace, record.claim.name].every(isObjectName)) return false;
  try {
    if ((await cluster.claimUid(record.claim, signal)) === uid) return false;
    return (await cluster.persistentVolumeByHandle(id, signal)) === undefined;
  } catch (error) {
    if (isFailure(error, "kubernetesForbidden")) return false;
    throw error;
  }
}

/**
 * Whether Nodes exist. Asks once for each name, and remembers the answer or the failure. Without a cluster, and for a name that no Node can
 * have, the node counts as existing: only the cluster can prove that it is gone.
 */
export function nodeLookup(
  cluster: Pick<ClusterReader, "nodeExists"> | undefined,
  signal: AbortSignal,
): (node: string) => Promise<boolean> {
  const answers = new Map<string, Promise<boolean>>();
  return async (node) => {
    if (cluster === undefined || !isObjectName(node)) return true;
    const answer = answers.get(node) ?? cluster.nodeExists(node, signal);
    answers.set(node, answer);
    return answer;
  };
}
