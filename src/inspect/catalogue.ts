/** `error`: data or access is at risk, or the workload fails. `warning`: somebody should look. `info`: passes by itself. */
export type Severity = "error" | "warning" | "info";

/** The aspect of a volume that a drift is about: a line of `volumes show`. */
export type Aspect =
  | "name"
  | "claim"
  | "size"
  | "file"
  | "pool"
  | "mode"
  | "export"
  | "nqn"
  | "hosts"
  | "nodes"
  | "pods"
  | "migration";

/** One kind of drift. */
export interface DriftKindEntry {
  readonly severity: Severity;
  readonly about: Aspect;
  /** What it means, one sentence. */
  readonly meaning: string;
  /** What a person does about it. */
  readonly remedy: string;
}

const RECONCILE =
  "The controller's reconcile loop does that within a minute; if it stays, look at the controller's log.";

/** Everything on which a volume's record, disk, file, export and objects in the cluster may disagree, by its stable id. */
export const driftCatalogue = {
  "volume-missing": {
    severity: "error",
    about: "name",
    meaning: "A PersistentVolume names this volume, and the RDS has no disk item of that name.",
    remedy:
      "Stop the workload. Look for the file on the RDS and in its backups: with the file the disk item can be added again. Without it, delete claim and PersistentVolume.",
  },
  "foreign-disk": {
    severity: "warning",
    about: "name",
    meaning:
      "The disk item has a slot like ours, but no readable record of this installation; it is never changed.",
    remedy:
      "Compare --cluster-id with that of the controller. If the disk's comment was damaged, `rds-csi volumes record NAME` puts the record back. Do not remove the disk: it holds the data.",
  },
  "pv-missing": {
    severity: "warning",
    about: "name",
    meaning: "The RDS has the volume, and no PersistentVolume of the cluster names it: an orphan.",
    remedy:
      "Make sure that no other cluster uses it and that its data is not wanted, then remove the disk item and its file on the RDS; or create a PersistentVolume with this handle.",
  },
  "pv-ambiguous": {
    severity: "error",
    about: "name",
    meaning: "Several PersistentVolumes name this volume, so two claims may write to it.",
    remedy: "Keep one: set policy Retain on the others and delete those, so that the volume stays.",
  },
  "pv-released": {
    severity: "warning",
    about: "name",
    meaning: "The claim is gone, the PersistentVolume and the volume are still there.",
    remedy:
      "With policy Retain that is as asked: delete both by hand when the data is not wanted. With policy Delete look at the PersistentVolume's events for what keeps it.",
  },
  "pv-deleting": {
    severity: "warning",
    about: "name",
    meaning:
      "The PersistentVolume is being deleted, and something keeps it: a VolumeAttachment, or a finalizer.",
    remedy:
      "Look at its finalizers and VolumeAttachments with kubectl; never remove a finalizer while a node still uses the volume.",
  },
  "claim-ref": {
    severity: "warning",
    about: "claim",
    meaning: "The record names another claim than the one that the PersistentVolume is bound to.",
    remedy:
      "Nothing if the PersistentVolume was bound anew on purpose: the cluster's word counts. Else find out who changed it.",
  },
  "claim-missing": {
    severity: "warning",
    about: "claim",
    meaning: "The PersistentVolume is bound to a claim that does not exist.",
    remedy:
      "Kubernetes releases the PersistentVolume by itself; if it stays, look at kube-controller-manager.",
  },
  "claim-replaced": {
    severity: "error",
    about: "claim",
    meaning: "A claim of that name exists, but it is not the one that the PersistentVolume is bound to.",
    remedy:
      "To give the data to the new claim: delete that claim, clear spec.claimRef.uid of the PersistentVolume, and create the claim again with spec.volumeName.",
  },
  "claim-lost": {
    severity: "error",
    about: "claim",
    meaning: "The claim has lost its PersistentVolume.",
    remedy: "Create the PersistentVolume again with this handle and with the claim in spec.claimRef.",
  },
  "size-below-pv": {
    severity: "error",
    about: "size",
    meaning: "The disk is smaller than the PersistentVolume says: the end of the data may be gone.",
    remedy:
      "Stop the workload and check what was done on the RDS. Never shrink a disk; growing it back does not bring data back.",
  },
  "size-above-pv": {
    severity: "warning",
    about: "size",
    meaning: "The disk is larger than the PersistentVolume says, and no expansion is asked for.",
    remedy:
      "Ask for the disk's size in the claim (spec.resources.requests.storage): the expansion then finds it done.",
  },
  "expansion-pending": {
    severity: "info",
    about: "size",
    meaning: "The claim asks for more than the workload has yet: an expansion is under way.",
    remedy:
      "Wait; a filesystem grows on the node that uses it. If it takes long, look at the events of the claim.",
  },
  "attached-size": {
    severity: "error",
    about: "size",
    meaning: "A node was told a larger size than the disk has.",
    remedy: "Stop the workload and check what was done on the RDS: volumes never shrink.",
  },
  "size-file-disk": {
    severity: "error",
    about: "file",
    meaning: "The backing file has another size than the disk item.",
    remedy:
      "Stop the workload and check what was done to the file on the RDS. If the disk was just grown, detach the volume and attach it again.",
  },
  "file-missing": {
    severity: "error",
    about: "file",
    meaning: "The backing file is not there; the disk item is.",
    remedy:
      "Keep whatever still has the volume open running: the data may be readable there only. Then restore the file from a backup.",
  },
  "file-left": {
    severity: "warning",
    about: "file",
    meaning:
      "The backing file is there without a disk item: an interrupted deletion, or a disk item removed by hand.",
    remedy:
      "If the volume was to be deleted, remove the file on the RDS. If not, add the disk item again with this file and mount-filesystem=no.",
  },
  "pool-not-mounted": {
    severity: "error",
    about: "pool",
    meaning: "Nothing is mounted on the RDS where the file should be.",
    remedy:
      "Look at the pool's disk or RAID item on the RDS (/disk print) and mount it again; the volume then comes back.",
  },
  "device-not-ready": {
    severity: "error",
    about: "size",
    meaning: "The RDS reports no size for the disk item: its device is not ready.",
    remedy: "Look at the disk item's state and at the log of the RDS.",
  },
  "mount-filesystem": {
    severity: "error",
    about: "file",
    meaning: "mount-filesystem is on: the RDS may mount, and so change, what a node writes.",
    remedy: "Switch it off while no node is attached: /disk/set [find where slot=SLOT] mount-filesystem=no",
  },
  "not-exported": {
    severity: "error",
    about: "export",
    meaning: "Nodes are attached according to the record, and the export is off: their I/O hangs.",
    remedy:
      "Wait a minute: reconcile switches it on again if a VolumeAttachment wants it and the item has the NQN and port of the record. Else find out who changed it, and restart the workload, which attaches the volume anew.",
  },
  "re-export-interrupted": {
    severity: "error",
    about: "export",
    meaning: "An expansion switched the export off and did not switch it on again.",
    remedy: RECONCILE,
  },
  "exported-unattached": {
    severity: "warning",
    about: "export",
    meaning: "The volume is exported, and no node is attached according to the record.",
    remedy: "Switch nvme-tcp-export off, or attach and detach the volume once.",
  },
  "export-nqn": {
    severity: "error",
    about: "nqn",
    meaning: "The export has another NQN than its attachments were given.",
    remedy:
      "Find out who changed nvme-tcp-server-nqn. Restart the workload, which attaches the volume under a new NQN.",
  },
  "export-port": {
    severity: "error",
    about: "export",
    meaning: "The export is on another TCP port than its attachments were given.",
    remedy:
      "Find out who changed nvme-tcp-server-port. Restart the workload, which attaches the volume anew.",
  },
  "allowed-hosts": {
    severity: "error",
    about: "hosts",
    meaning: "The export's list of allowed hosts is not the one that its attachments ask for.",
    remedy: "Find out who changed nvme-tcp-server-allow-host-name; restart the workload, which sets it anew.",
  },
  "attached-nqn": {
    severity: "error",
    about: "nqn",
    meaning: "A node was told another NQN than the export has: it cannot reconnect.",
    remedy: "Restart the workload on that node, so that the volume is detached and attached anew.",
  },
  "attached-port": {
    severity: "error",
    about: "export",
    meaning: "A node was told another TCP port than the export has: it cannot reconnect.",
    remedy: "Restart the workload on that node, so that the volume is detached and attached anew.",
  },
  "attached-host-nqn": {
    severity: "error",
    about: "hosts",
    meaning: "A node was told another host NQN than the record allows.",
    remedy: "Restart the workload on that node, so that the volume is detached and attached anew.",
  },
  "record-host-nqn": {
    severity: "warning",
    about: "hosts",
    meaning: "The record's host NQN is not the one that follows from cluster id and node.",
    remedy: "Give this command the controller's --cluster-id; controller and nodes must have the same.",
  },
  "node-gone": {
    severity: "error",
    about: "nodes",
    meaning: "The volume is attached to a node that does not exist in the cluster.",
    remedy: `The attachment is to be cleared. ${RECONCILE}`,
  },
  "attachment-without-va": {
    severity: "error",
    about: "nodes",
    meaning: "The record attaches a node that has no VolumeAttachment.",
    remedy:
      "Make sure that no pod on that node uses the volume; then start and end a pod with the claim on that node, which detaches it.",
  },
  "va-without-attachment": {
    severity: "error",
    about: "nodes",
    meaning:
      "A VolumeAttachment says that a node is attached, and the record does not: the node has lost its access.",
    remedy: "Restart the workload on that node, so that the volume is detached and attached anew.",
  },
  "va-without-pv": {
    severity: "error",
    about: "nodes",
    meaning:
      "A VolumeAttachment is there whose PersistentVolume is gone: Kubernetes cannot detach the node, and the export stays on.",
    remedy:
      "End what uses the volume on that node. Make the PersistentVolume again, with the name in the VolumeAttachment, this volumeHandle and policy Retain; Kubernetes then detaches it. Never remove the VolumeAttachment's finalizer before.",
  },
  "va-error": {
    severity: "warning",
    about: "nodes",
    meaning: "A VolumeAttachment shows that the last attach or detach failed.",
    remedy: "Its message says why; the call is repeated by itself.",
  },
  "pod-without-attachment": {
    severity: "error",
    about: "pods",
    meaning: "A pod that uses the claim runs on a node that the record does not attach.",
    remedy: "Restart the pod: its node has lost its access to the volume.",
  },
  "attachment-without-pod": {
    severity: "info",
    about: "pods",
    meaning: "A node is attached, and no pod that uses the claim is on it: it is being detached.",
    remedy: "Wait; if it stays, look at the VolumeAttachment and at kubelet's log on that node.",
  },
  "access-mode": {
    severity: "error",
    about: "mode",
    meaning: "A node is attached in an access mode that the PersistentVolume does not have.",
    remedy: "Restart the workload. If the PersistentVolume was edited, set its access modes back.",
  },
  "volume-mode": {
    severity: "error",
    about: "mode",
    meaning:
      "A node uses the volume as block device, and the PersistentVolume is a filesystem, or the other way round.",
    remedy:
      "Stop the workload and find out which of the two the data is; set the PersistentVolume accordingly.",
  },
  "migration-overdue": {
    severity: "error",
    about: "migration",
    meaning: "A live migration takes longer than allowed; both nodes stay attached, no further one is.",
    remedy:
      "End or cancel the migration (kubectl get vmim). For new volumes the StorageClass may allow longer.",
  },
  "migration-record": {
    severity: "error",
    about: "migration",
    meaning: "The record shows a migration without two attached nodes, or two nodes without a migration.",
    remedy:
      "Detach the node that does not run the machine by ending its pod; report this, it must not happen.",
  },
  "migration-ended": {
    severity: "warning",
    about: "migration",
    meaning: "Two nodes are attached for a migration, and KubeVirt knows of none that runs.",
    remedy: "Look for a launcher pod that does not end on one of the two nodes, and delete it.",
  },
} as const satisfies Readonly<Record<string, DriftKindEntry>>;

export type DriftId = keyof typeof driftCatalogue;

/** The ids in the order of the catalogue. */
export const DRIFT_IDS = Object.keys(driftCatalogue) as readonly DriftId[];
