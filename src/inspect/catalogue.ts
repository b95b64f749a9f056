import { type Aspect, type FindingEntry, IO_STOPS, type Severity } from "./entry.ts";

interface More {
  readonly meaning?: string;
  readonly explains?: readonly string[];
}

/** Declares a finding about a volume. */
function of(
  severity: Severity,
  about: Aspect,
  title: string,
  remedy: string,
  { meaning = "", explains = [] }: More = {},
): FindingEntry {
  return { severity, about, title, meaning, remedy, explains };
}

const LOG = "`kubectl -n rds-csi logs deployment/rds-csi-controller -c driver`";
const RECONCILE = `Reconcile does that within a minute. If it stays, read the controller's log: ${LOG}.`;
const RESTART =
  "Restart the workload, so that the volume is detached and attached anew: `kubectl -n NAMESPACE delete pod POD`, or `virtctl -n NAMESPACE restart VM`.";
const STOP = "Stop the workload (a virtual machine: `virtctl -n NAMESPACE stop VM`; else scale it to 0)";
const NO_TARGET = ["storage-port-refused", ...IO_STOPS];
const NOT_HELD = [
  "volume-attached-elsewhere",
  "volume-not-attached",
  "leftover-connection",
  "volume-not-connected",
];

/**
 * Everything that RDS and cluster can say against a volume, causes before what follows from them. `volumes list`, `volumes show`,
 * `diagnose`, reconcile and its metric take their findings from here.
 */
const entries = {
  "pool-not-mounted": of(
    "critical",
    "pool",
    "The pool of volumes is not mounted on the RDS",
    "Look at the pool's item on the RDS, `/disk print detail where slot=POOL`, and at the disks that it is made of; mount it again. Nodes reconnect by themselves.",
    {
      meaning: "The backing files are away with it, and their volumes are not exported.",
      explains: ["file-missing", "device-not-ready", ...NO_TARGET],
    },
  ),
  "volume-missing": of(
    "critical",
    "name",
    "The RDS has no disk item of this volume",
    'Do not delete the PersistentVolume. Look for the backing file: `/file print where name~"HANDLE"`. With the file, add the disk item again: `/disk add type=file file-path=FILE slot=HANDLE mount-filesystem=no`, then `rds-csi volumes record HANDLE --restore`. Without it, restore the file from a backup.',
    {
      meaning:
        "A PersistentVolume names it or a node uses it. The item was removed by hand, or the RDS was reset or replaced.",
      explains: ["leftover-connection", ...IO_STOPS],
    },
  ),
  "record-unusable": of(
    "critical",
    "name",
    "The volume's record on the RDS is unreadable, or of another installation",
    "If the comment was damaged: `rds-csi volumes record HANDLE --restore`. If the record names another cluster, compare --cluster-id of controller, nodes and this command.",
    {
      meaning:
        "A PersistentVolume of this cluster names the volume, or a node uses it; the controller changes nothing about it.",
      explains: IO_STOPS,
    },
  ),
  "foreign-disk": of(
    "warning",
    "name",
    "A disk item with a slot like ours is no volume of this installation",
    "If it is of another cluster: nothing. If its comment was damaged: `rds-csi volumes record HANDLE`. Do not remove the disk: it holds the data.",
    { meaning: "No PersistentVolume of this cluster is known to name it. It is never changed." },
  ),
  "file-missing": of(
    "critical",
    "file",
    "The backing file of the volume is missing on the RDS",
    'Keep a workload running that still has the volume open: the data may be readable there only. Look for the file under another name or in a snapshot, `/file print where name~"HANDLE"`, before anything writes to the pool; else restore FILE from a backup.',
    {
      meaning: "The disk item exists and its pool is mounted.",
      explains: ["device-not-ready", ...NO_TARGET],
    },
  ),
  "file-left": of(
    "warning",
    "file",
    "The backing file is there without a disk item",
    'If the volume was to be deleted: `/file remove [find where name="FILE"]`. If not: `/disk add type=file file-path=FILE slot=HANDLE mount-filesystem=no`, then `rds-csi volumes record HANDLE --restore`.',
    { meaning: "A deletion was interrupted, or the disk item was removed by hand." },
  ),
  "device-not-ready": of(
    "error",
    "size",
    "The RDS reports no size for the disk item: its device is not ready",
    'Wait some seconds. If it stays: `/disk print detail where slot=HANDLE` and `/log print where topics~"disk"` on the RDS.',
    { explains: NO_TARGET },
  ),
  "not-exported": of(
    "critical",
    "export",
    "The volume is attached according to its record, and its export is off",
    `Wait a minute: reconcile switches it on if a VolumeAttachment wants it and the item has NQN and port of the record. If it stays off: ${RESTART}`,
    { meaning: "I/O of its nodes hangs.", explains: NO_TARGET },
  ),
  "re-export-interrupted": of(
    "critical",
    "export",
    "An expansion switched the export off and did not switch it on again",
    RECONCILE,
    { explains: NO_TARGET },
  ),
  "exported-unattached": of(
    "error",
    "export",
    "The volume is exported, and its record attaches no node",
    "`/disk set [find where slot=HANDLE] nvme-tcp-export=no`",
    { meaning: "A node that knows the NQN can still write." },
  ),
  "export-nqn": of(
    "critical",
    "nqn",
    "The export has another NQN than its attachments were given",
    `Somebody changed nvme-tcp-server-nqn on the RDS. ${RESTART}`,
    { explains: ["attached-nqn", ...IO_STOPS] },
  ),
  "export-port": of(
    "critical",
    "export",
    "The export is on another TCP port than its attachments were given",
    `Somebody changed nvme-tcp-server-port on the RDS. ${RESTART}`,
    { explains: ["attached-port", ...NO_TARGET] },
  ),
  "allowed-hosts": of(
    "critical",
    "hosts",
    "The export's list of allowed hosts is not the one that its attachments ask for",
    `Somebody changed nvme-tcp-server-allow-host-name on the RDS. ${RESTART}`,
    { explains: ["host-not-allowed", ...IO_STOPS] },
  ),
  "attached-nqn": of(
    "error",
    "nqn",
    "The publish context of a node has another NQN than the export",
    RESTART,
    { meaning: "The node cannot reconnect.", explains: IO_STOPS },
  ),
  "attached-port": of(
    "error",
    "export",
    "The publish context of a node has another TCP port than the export",
    RESTART,
    { meaning: "The node cannot reconnect.", explains: IO_STOPS },
  ),
  "attached-host-nqn": of(
    "error",
    "hosts",
    "The publish context of a node has another host NQN than the record",
    RESTART,
    { explains: IO_STOPS },
  ),
  "record-host-nqn": of(
    "warning",
    "hosts",
    "The record's host NQN is not the one that follows from cluster id and node",
    "Compare --cluster-id of controller, nodes and this command.",
  ),
  "node-gone": of(
    "error",
    "nodes",
    "The volume is attached to a node that does not exist in the cluster",
    `The attachment is to be cleared. ${RECONCILE}`,
  ),
  "attachment-without-pv": of(
    "error",
    "nodes",
    "A node is attached, and no PersistentVolume of this cluster names the volume",
    "Nothing if another cluster with this cluster id uses it. Else stop the pods on NODE and make the PersistentVolume PV again, with volumeHandle HANDLE and policy Retain: Kubernetes then detaches the node. Never remove the finalizer of the VolumeAttachment before.",
    { meaning: "Kubernetes needs the PersistentVolume to detach, so the export stays on." },
  ),
  "attachment-without-va": of(
    "error",
    "nodes",
    "The record attaches a node that has no VolumeAttachment",
    `Reconcile clears it after 15 minutes if no pod on NODE uses the claim: \`kubectl -n NAMESPACE get pods -o wide\`. If it stays, read the controller's log: ${LOG}.`,
    { explains: NOT_HELD },
  ),
  "va-without-attachment": of(
    "error",
    "nodes",
    "A VolumeAttachment is attached, and the record does not attach its node",
    RESTART,
    {
      meaning: "The node has lost its access.",
      explains: ["pod-without-attachment", ...NOT_HELD, ...IO_STOPS],
    },
  ),
  "va-error": of(
    "warning",
    "nodes",
    "A VolumeAttachment shows that the last attach or detach failed",
    "Its message says why; the call is repeated by itself.",
  ),
  "pod-without-attachment": of(
    "error",
    "pods",
    "A pod that uses the claim runs on a node that the record does not attach",
    "Restart the pod: `kubectl -n NAMESPACE delete pod POD`.",
    { meaning: "The node has lost its access." },
  ),
  "attachment-without-pod": of(
    "info",
    "pods",
    "A node is attached, and no pod that uses the claim is on it",
    "Wait: it is being detached. If it stays: `kubectl get volumeattachment` and kubelet's log on NODE.",
  ),
  "volume-mode": of(
    "error",
    "mode",
    "A node uses the volume in another volume mode than the PersistentVolume has",
    `${STOP}, find out whether the data is a filesystem or a block device, and make the PersistentVolume anew accordingly.`,
  ),
  "access-mode": of(
    "error",
    "mode",
    "A node is attached in an access mode that the PersistentVolume does not have",
    `If the PersistentVolume was edited, set its access modes back: \`kubectl edit pv PV\`. ${RESTART}`,
  ),
  "size-below-pv": of(
    "critical",
    "size",
    "The disk is smaller than the PersistentVolume says",
    `${STOP} and find out who changed the disk on the RDS. Never shrink a disk; growing it back does not bring data back.`,
    { meaning: "The end of the data may be gone.", explains: ["attached-size"] },
  ),
  "size-above-pv": of(
    "warning",
    "size",
    "The disk is larger than the PersistentVolume says, and no expansion is asked for",
    "Ask for the disk's size in the claim, `kubectl -n NAMESPACE edit pvc CLAIM` (spec.resources.requests.storage): the expansion then finds it done.",
  ),
  "attached-size": of(
    "error",
    "size",
    "The publish context of a node has a larger size than the disk",
    `${STOP} and find out who changed the disk on the RDS: volumes never shrink.`,
  ),
  "size-file-disk": of(
    "error",
    "file",
    "The backing file has another size than the disk item",
    `${STOP} and find out who changed the file on the RDS. If the disk was just grown, detach the volume and attach it again.`,
  ),
  "expansion-pending": of(
    "info",
    "size",
    "The claim asks for more than the workload has yet: an expansion is under way",
    "Wait: a filesystem grows on the node that uses it. If it takes long: `kubectl -n NAMESPACE describe pvc CLAIM`.",
  ),
  "mount-filesystem": of(
    "error",
    "file",
    "mount-filesystem is on: the RDS may mount, and so change, the filesystem of a node",
    "While no node is attached: `/disk set [find where slot=HANDLE] mount-filesystem=no`",
  ),
  "pv-missing": of(
    "warning",
    "name",
    "No PersistentVolume of the cluster names the volume: an orphan",
    'Make sure that no other cluster uses it. To delete it with its data: `/disk remove [find where slot=HANDLE]`, then `/file remove [find where name="FILE"]`. To keep it, create a PersistentVolume with volumeHandle HANDLE.',
  ),
  "pv-ambiguous": of(
    "error",
    "name",
    "Several PersistentVolumes name the volume, so two claims may write to it",
    'Keep one. Of each other one: `kubectl patch pv NAME -p \'{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}\'`, then `kubectl delete pv NAME`; the volume stays.',
  ),
  "pv-released": of(
    "warning",
    "name",
    "The claim is gone, the PersistentVolume and the volume are still there",
    'With policy Retain that is as asked. To delete both with the data: `kubectl patch pv PV -p \'{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}\'`. With policy Delete: `kubectl describe pv PV` shows what keeps it.',
  ),
  "pv-deleting": of(
    "warning",
    "name",
    "The PersistentVolume is being deleted, and something keeps it",
    "Look at its finalizers, `kubectl get pv PV -o yaml`, and at `kubectl get volumeattachment`. Never remove a finalizer while a node still uses the volume.",
  ),
  "claim-ref": of(
    "info",
    "claim",
    "The record names another claim than the one that the PersistentVolume is bound to",
    "Nothing: the cluster's word counts, and the record takes the claim over with the next attach.",
  ),
  "claim-missing": of(
    "warning",
    "claim",
    "The PersistentVolume is bound to a claim that does not exist",
    "Kubernetes releases the PersistentVolume by itself. If it stays, read the log of kube-controller-manager.",
  ),
  "claim-replaced": of(
    "error",
    "claim",
    "A claim of that name exists, and the PersistentVolume is bound to another one",
    'To give the data to the new claim: delete that claim, `kubectl patch pv PV -p \'{"spec":{"claimRef":{"uid":null}}}\'`, and create the claim again with spec.volumeName: PV.',
  ),
  "claim-lost": of(
    "error",
    "claim",
    "The claim has lost its PersistentVolume",
    "Create the PersistentVolume again with volumeHandle HANDLE and with the claim in spec.claimRef.",
  ),
  "migration-overdue": of(
    "error",
    "migration",
    "A live migration takes longer than allowed",
    "Cancel it: `kubectl -n NAMESPACE get vmim`, then `kubectl -n NAMESPACE delete vmim NAME`. For new volumes the StorageClass may allow longer (migrationTimeoutSeconds).",
    { meaning: "Both nodes stay attached, and no further one is." },
  ),
  "migration-record": of(
    "error",
    "migration",
    "The record shows a migration without two nodes, or two nodes without a migration",
    "End the pod on the node that does not run the virtual machine: `kubectl -n NAMESPACE get vmi,pods -o wide`. Report it: this must not happen.",
  ),
  "migration-ended": of(
    "warning",
    "migration",
    "Two nodes are attached for a migration, and KubeVirt knows of none that runs",
    "Look for a launcher pod that does not end, `kubectl -n NAMESPACE get pods -l kubevirt.io=virt-launcher -o wide`, and delete it.",
  ),
  "not-reconciled": of(
    "warning",
    "nodes",
    "Reconcile failed on the volume, or took too long",
    `It is repeated every minute. The controller's log says why: ${LOG}.`,
  ),
} as const satisfies Readonly<Record<string, FindingEntry>>;

/** Stable id of a finding about a volume. */
export type VolumeFindingId = keyof typeof entries;

export const volumeCatalogue: Readonly<Record<VolumeFindingId, FindingEntry>> = entries;

/** The ids in the order of the catalogue. */
export const VOLUME_FINDING_IDS = Object.keys(entries) as readonly VolumeFindingId[];
