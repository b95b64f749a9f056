import { rdsFindings } from "./catalogue-rds.ts";
import { type FindingEntry, finding, IO_STOPS, LOG, RESTART, STOP } from "./entry.ts";

const NOT_HELD = [
  "volume-attached-elsewhere",
  "volume-not-attached",
  "leftover-connection",
  "volume-not-connected",
];

/** Findings about a volume on which the cluster has a say. */
const clusterFindings = {
  "attached-nqn": finding("error", "nqn")(
    "The publish context of a node has another NQN than the export. The node cannot reconnect.",
    RESTART,
    IO_STOPS,
  ),
  "attached-port": finding("error", "export")(
    "The publish context of a node has another TCP port than the export. The node cannot reconnect.",
    RESTART,
    IO_STOPS,
  ),
  "attached-host-nqn": finding("error", "hosts")(
    "The publish context of a node has another host NQN than the record",
    RESTART,
    IO_STOPS,
  ),
  "node-gone": finding("error", "nodes")(
    "The volume is attached to a node that does not exist in the cluster",
    `The attachment is to be cleared. Reconcile does that within a minute. If it stays, read the controller's log: ${LOG}.`,
  ),
  "attachment-without-pv": finding("error", "nodes")(
    "A node is attached, and no PersistentVolume of this cluster names the volume. Kubernetes needs the PersistentVolume to detach, so the export stays on.",
    "Nothing if another cluster with this cluster id uses it. Else stop the pods on NODE and make the PersistentVolume PV again, with volumeHandle HANDLE and policy Retain: Kubernetes then detaches the node. Never remove the finalizer of the VolumeAttachment before.",
  ),
  "attachment-without-va": finding("error", "nodes")(
    "The record attaches a node that has no VolumeAttachment",
    `Reconcile clears it after 15 minutes if no pod on NODE uses the claim: \`kubectl -n NAMESPACE get pods -o wide\`. If it stays, read the controller's log: ${LOG}.`,
    NOT_HELD,
  ),
  "va-without-attachment": finding("error", "nodes")(
    "A VolumeAttachment is attached, and the record does not attach its node. The node has lost its access.",
    RESTART,
    ["pod-without-attachment", ...NOT_HELD, ...IO_STOPS],
  ),
  "va-error": finding("warning", "nodes")(
    "A VolumeAttachment shows that the last attach or detach failed",
    "Its message says why; the call is repeated by itself.",
  ),
  "pod-without-attachment": finding("error", "pods")(
    "A pod that uses the claim runs on a node that the record does not attach. The node has lost its access.",
    "Restart the pod: `kubectl -n NAMESPACE delete pod POD`.",
  ),
  "attachment-without-pod": finding("info", "pods")(
    "A node is attached, and no pod that uses the claim is on it",
    "Wait: it is being detached. If it stays: `kubectl get volumeattachment` and kubelet's log on NODE.",
  ),
  "volume-mode": finding("error", "mode")(
    "A node uses the volume in another volume mode than the PersistentVolume has",
    `${STOP}, find out whether the data is a filesystem or a block device, and make the PersistentVolume anew accordingly.`,
  ),
  "access-mode": finding("error", "mode")(
    "A node is attached in an access mode that the PersistentVolume does not have",
    `If the PersistentVolume was edited, set its access modes back: \`kubectl edit pv PV\`. ${RESTART}`,
  ),
  "size-below-pv": finding("critical", "size")(
    "The disk is smaller than the PersistentVolume says. The end of the data may be gone.",
    `${STOP} and find out who changed the disk on the RDS. Never shrink a disk; growing it back does not bring data back. One of the earlier driver that was smaller from the beginning: ask for more in the claim, and it grows.`,
    ["attached-size"],
  ),
  "size-above-pv": finding("warning", "size")(
    "The disk is larger than the PersistentVolume says, and no expansion is asked for",
    "Ask for the disk's size in the claim, `kubectl -n NAMESPACE edit pvc CLAIM` (spec.resources.requests.storage): the expansion then finds it done.",
  ),
  "attached-size": finding("error", "size")(
    "The publish context of a node has a larger size than the disk",
    `${STOP} and find out who changed the disk on the RDS: volumes never shrink.`,
  ),
  "expansion-pending": finding("info", "size")(
    "The claim asks for more than the workload has yet: an expansion is under way",
    "Wait: a filesystem grows on the node that uses it. If it takes long: `kubectl -n NAMESPACE describe pvc CLAIM`.",
  ),
  "pv-missing": finding("warning", "name")(
    "No PersistentVolume of the cluster names the volume: an orphan",
    "Make sure that no other cluster uses it. `rds-csi volumes orphans` shows its age and whether it can be deleted; `rds-csi volumes orphans --delete HANDLE` plans its deletion with its data. To keep it, create a PersistentVolume with volumeHandle HANDLE.",
  ),
  "pv-ambiguous": finding("error", "name")(
    "Several PersistentVolumes name the volume, so two claims may write to it",
    'Keep one. Of each other one: `kubectl patch pv NAME -p \'{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}\'`, then `kubectl delete pv NAME`; the volume stays.',
  ),
  "pv-released": finding("warning", "name")(
    "The claim is gone, the PersistentVolume and the volume are still there",
    'With policy Retain that is as asked. To delete both with the data: `kubectl patch pv PV -p \'{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}\'`. With policy Delete: `kubectl describe pv PV` shows what keeps it.',
  ),
  "pv-deleting": finding("warning", "name")(
    "The PersistentVolume is being deleted, and something keeps it",
    "Look at its finalizers, `kubectl get pv PV -o yaml`, and at `kubectl get volumeattachment`. Never remove a finalizer while a node still uses the volume.",
  ),
  "claim-ref": finding("info", "claim")(
    "The record names another claim than the one that the PersistentVolume is bound to",
    "Nothing: the cluster's word counts.",
  ),
  "claim-missing": finding("warning", "claim")(
    "The PersistentVolume is bound to a claim that does not exist",
    "Kubernetes releases the PersistentVolume by itself. If it stays, read the log of kube-controller-manager.",
  ),
  "claim-replaced": finding("error", "claim")(
    "A claim of that name exists, and the PersistentVolume is bound to another one",
    'To give the data to the new claim: delete that claim, `kubectl patch pv PV -p \'{"spec":{"claimRef":{"uid":null}}}\'`, and create the claim again with spec.volumeName: PV.',
  ),
  "claim-lost": finding("error", "claim")(
    "The claim has lost its PersistentVolume",
    "Create the PersistentVolume again with volumeHandle HANDLE and with the claim in spec.claimRef.",
  ),
  "migration-overdue": finding("error", "migration")(
    "A live migration takes longer than allowed. Both nodes stay attached, and no further one is.",
    "Cancel it: `kubectl -n NAMESPACE get vmim`, then `kubectl -n NAMESPACE delete vmim NAME`. For new volumes the StorageClass may allow longer (migrationTimeoutSeconds).",
  ),
  "migration-record": finding("error", "migration")(
    "The record shows a migration without two nodes, or two nodes without a migration",
    "End the pod on the node that does not run the virtual machine: `kubectl -n NAMESPACE get vmi,pods -o wide`. Report it: this must not happen.",
  ),
  "migration-ended": finding("warning", "migration")(
    "Two nodes are attached for a migration, and KubeVirt knows of none that runs",
    "Look for a launcher pod that does not end, `kubectl -n NAMESPACE get pods -l kubevirt.io=virt-launcher -o wide`, and delete it.",
  ),
  "not-reconciled": finding("warning", "nodes")(
    "Reconcile failed on the volume, or took too long",
    `It is repeated every minute. The controller's log says why: ${LOG}.`,
  ),
} as const;

const entries = { ...rdsFindings, ...clusterFindings };

/** Stable id of a finding about a volume. */
export type VolumeFindingId = keyof typeof entries;

/**
 * Everything that RDS and cluster can say against a volume, causes before what follows from them. `volumes list`, `volumes show`,
 * `diagnose`, reconcile and its metric take their findings from here.
 */
export const volumeCatalogue: Readonly<Record<VolumeFindingId, FindingEntry>> = entries;

/** The ids in the order of the catalogue. */
export const VOLUME_FINDING_IDS = Object.keys(entries) as readonly VolumeFindingId[];
