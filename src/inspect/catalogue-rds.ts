import { finding, IO_STOPS, LOG, RESTART, STOP } from "./entry.ts";

const NO_TARGET = ["storage-port-refused", ...IO_STOPS];

/** Findings about a volume's disk item, file, pool, record and export on the RDS. */
export const rdsFindings = {
  "pool-not-mounted": finding("critical", "pool")(
    "The pool of volumes is not mounted on the RDS. The backing files are away with it, and their volumes are not exported.",
    "Look at the pool's item on the RDS, `/disk print detail where slot=POOL`, and at the disks that it is made of; mount it again. Nodes reconnect by themselves.",
    ["file-missing", "device-not-ready", ...NO_TARGET],
  ),
  "volume-missing": finding("critical", "name")(
    "The RDS has no disk item of this volume. A PersistentVolume names it or a node uses it. The item was removed by hand, or the RDS was reset or replaced.",
    'Do not delete the PersistentVolume. Look for the backing file: `/file print where name~"HANDLE"`. With the file, add the disk item again: `/disk add type=file file-path=FILE slot=HANDLE mount-filesystem=no`, then `rds-csi volumes record HANDLE --restore`. Without it, restore the file from a backup.',
    ["leftover-connection", ...IO_STOPS],
  ),
  "volume-converting": finding("warning", "name")(
    "The volume is being moved into a subvolume. Until that is done each call that uses or changes it is refused, and it may have no disk item of its own.",
    "Let `rds-csi volumes convert` end if it runs. If it was interrupted, `rds-csi volumes convert HANDLE --yes` goes on where it ended, or says why it cannot. Until then add and remove no disk item and no file of the volume by hand: only together do they hold its record and its data.",
  ),
  "record-unusable": finding("critical", "name")(
    "The volume's record on the RDS is missing, unreadable, or of another installation. A PersistentVolume of this cluster names the volume, or a node uses it; the controller changes nothing about it.",
    "If the comment was damaged: `rds-csi volumes record HANDLE --restore`. If the record names another cluster, compare --cluster-id of controller, nodes and this command. If the earlier driver made the volume: `rds-csi volumes adopt HANDLE`.",
    IO_STOPS,
  ),
  "foreign-disk": finding("warning", "name")(
    "A disk item with a slot like ours is no volume of this installation. No PersistentVolume of this cluster is known to name it. It is never changed. One that is exported and whose record cannot be used is an error: a node may use it.",
    "If it is of another cluster: nothing. If its comment was damaged: `rds-csi volumes record HANDLE`. Do not remove the disk: it holds the data.",
  ),
  "file-missing": finding("critical", "file")(
    "The backing file of the volume is missing on the RDS. The disk item exists and its pool is mounted.",
    'Keep a workload running that still has the volume open: the data may be readable there only. Look for the file under another name or in a snapshot, `/file print where name~"HANDLE"`, before anything writes to the pool; else restore FILE from a backup.',
    ["device-not-ready", ...NO_TARGET],
  ),
  "pool-degraded": finding("warning", "pool")(
    "The array of the pool is degraded: it does without a member, or rebuilds one. Its volumes work. The next disk that fails may take them with it.",
    'Look at the members on the RDS, `/disk print detail where raid-master!="none"`, and at `/log print where topics~"disk"`; replace the disk that failed. Take a backup before.',
  ),
  "pool-filling": finding("warning", "pool")(
    "Less than a tenth of the pool is free. On a full pool writes of volumes fail whose files do not hold their space yet, and on Btrfs those of every volume.",
    'Look at what takes the space, `/disk print detail where slot=POOL` and `/file print where name~"POOL"`: delete what is not needed, snapshots among it, or add disks.',
  ),
  "file-owner-unknown": finding("error", "file")(
    "The backing file is there without a disk item, its owner is unknown. Kubernetes was not asked or did not answer, and a PersistentVolume may name the volume.",
    "Do not remove the file. Repeat `rds-csi volumes show HANDLE` when Kubernetes answers. To use the volume again: `/disk add type=file file-path=FILE slot=HANDLE mount-filesystem=no`, then `rds-csi volumes record HANDLE --restore`.",
  ),
  "file-left": finding("warning", "file")(
    "The backing file is there without a disk item. A deletion was interrupted, or the disk item was removed by hand.",
    "To use the volume again: `/disk add type=file file-path=FILE slot=HANDLE mount-filesystem=no`, then `rds-csi volumes record HANDLE --restore`. If it was to be deleted: `rds-csi volumes orphans` says whether it can be, and `rds-csi volumes orphans --delete HANDLE` plans that.",
  ),
  "device-not-ready": finding("error", "size")(
    "The RDS reports no size for the disk item: its device is not ready",
    '`rds-csi volumes show HANDLE` looks whether its file is there. Wait some seconds. If it stays: `/disk print detail where slot=HANDLE` and `/log print where topics~"disk"` on the RDS.',
    NO_TARGET,
  ),
  "not-exported": finding("critical", "export")(
    "The volume is attached according to its record, and its export is off. I/O of its nodes hangs.",
    `Wait a minute: reconcile switches it on if a VolumeAttachment wants it and the item has NQN and port of the record. If it stays off: ${RESTART}`,
    NO_TARGET,
  ),
  "re-export-interrupted": finding("critical", "export")(
    "An expansion switched the export off and did not switch it on again",
    `Reconcile does that within a minute. If it stays, read the controller's log: ${LOG}.`,
    NO_TARGET,
  ),
  "exported-unattached": finding("error", "export")(
    "The volume is exported, and its record attaches no node. A node that knows the NQN can still write.",
    "`/disk set [find where slot=HANDLE] nvme-tcp-export=no`",
  ),
  "export-nqn": finding("critical", "nqn")(
    "The export has another NQN than its attachments were given",
    `Somebody changed nvme-tcp-server-nqn on the RDS. ${RESTART}`,
    ["attached-nqn", ...IO_STOPS],
  ),
  "export-port": finding("critical", "export")(
    "The export is on another TCP port than its attachments were given",
    `Somebody changed nvme-tcp-server-port on the RDS. ${RESTART}`,
    ["attached-port", ...NO_TARGET],
  ),
  "allowed-hosts": finding("critical", "hosts")(
    "The export's list of allowed hosts is not the one that its attachments ask for",
    `Somebody changed nvme-tcp-server-allow-host-name on the RDS. ${RESTART}`,
    ["host-not-allowed", ...IO_STOPS],
  ),
  "record-host-nqn": finding("warning", "hosts")(
    "The record's host NQN is not the one that follows from cluster id and node",
    "Compare --cluster-id of controller, nodes and this command.",
  ),
  "size-file-disk": finding("error", "file")(
    "The backing file has another size than the disk item",
    `${STOP} and find out who changed the file on the RDS. If the disk was just grown, detach the volume and attach it again.`,
  ),
  "mount-filesystem": finding("error", "file")(
    "mount-filesystem is on: the RDS may mount, and so change, the filesystem of a node",
    "While no node is attached: `/disk set [find where slot=HANDLE] mount-filesystem=no`",
  ),
} as const;
