import { finding, IO_STOPS } from "../../inspect/entry.ts";

/** Findings about one volume: its record and export, its connection, its device, its mounts. */
export const volumeFindings = {
  "host-not-allowed": finding("critical")(
    "The RDS does not allow this node's host NQN. nvme-tcp-server-allow-host-name of the disk names other hosts (or the kernel heard so from the target): it was changed by hand, or --cluster-id or --node-id of the node is not what the controller knows.",
    "Compare --cluster-id and --node-id of controller and node; delete the pods of the volume, so that it is attached anew.",
    IO_STOPS,
  ),
  "volume-attached-elsewhere": finding("critical")(
    "The volume was taken from this node and is attached to another. The record names other nodes only. This node still has a connection or mount of an earlier attachment, under an NQN that is no longer exported: fencing works as intended, and its unsaved data is lost.",
    "End the pods that use it here. Do not reconnect by hand: another node writes to it.",
    IO_STOPS,
  ),
  "volume-not-attached": finding("error")(
    "The volume is attached to no node, but this one uses it. The record names no node, while this node has a connection or mount: it was detached by force, or the record was changed by hand.",
    "End the pods that use it here; a new pod attaches it again.",
    IO_STOPS,
  ),
  "leftover-connection": finding("warning")(
    "A connection is left of a volume that this node does not have. Neither the record nor a VolumeAttachment, mount or pod of this node says that it is in use.",
    "Make sure that nothing uses the device (users are listed below), then `nvme disconnect -n NQN`.",
    IO_STOPS,
  ),
  "storage-port-refused": finding("critical")(
    "Nothing listens on the NVMe/TCP port of the storage address. The address answers, but refuses the TCP connection: no disk is exported on this port, or RouterOS has just started.",
    "Check on the RDS that the volumes of this node are exported (`/disk print where nvme-tcp-export`), on which port, and that no firewall rule rejects.",
    IO_STOPS,
  ),
  "connected-as-other-host": finding("critical")(
    "The volume's NQN is connected under another host NQN or host ID. Somebody connected it by hand, or --cluster-id or --node-id changed while it was connected. The driver refuses to use such a connection.",
    "End whatever uses the device, then `nvme disconnect -n NQN`; the next stage connects it rightly.",
    ["connected-elsewhere", ...IO_STOPS],
  ),
  "epoch-superseded": finding("error")(
    "The connection belongs to an earlier attachment of the volume. The NQN carries a lower epoch than the record: the volume was detached and attached again meanwhile, and this connection can never come back.",
    "End the pods that use the old device; the node clears it away when the volume is staged again, or when the node plugin starts.",
    IO_STOPS,
  ),
  "target-refuses-connection": finding("critical")(
    "The target refuses the connection to the volume's NQN. The kernel reaches the target, which rejects the connect: the NQN is not exported (any more).",
    "Look at the export of the volume on the RDS (`rds-csi volumes list`); repeat this command with the RDS options to have it compared.",
    IO_STOPS.filter((id) => id !== "target-refuses-connection"),
  ),
  "connected-elsewhere": finding("error")(
    "The connection leads to another address than the volume's attachment. The RDS got another address, or somebody connected it by hand.",
    "End the pods of the volume, so that it is connected anew; a live connection in use is never moved.",
  ),
  "device-ambiguous": finding("critical")(
    "The volume's NQN has several devices. More than one namespace or, without native multipath, more than one path; the driver refuses to choose.",
    "Disconnect the further path; if the target exports several namespaces under this NQN, somebody changed the export.",
  ),
  "device-held-by-host": finding("error")(
    "Something on this node holds the volume's device. The kernel has a device on top of it or of a partition of it: a map of multipathd, a volume group that the node's LVM found inside a virtual machine's disk, an md array. While it does, a filesystem on it cannot be mounted, the volume cannot be unstaged, and two systems may write to it.",
    "Exclude the volumes in multipath.conf and lvm.conf of the node (docs/install.md, Multipath and LVM on the nodes), then let the device go: `multipath -f MAP`, `vgchange -an GROUP`, `mdadm -S ARRAY`.",
    ["volume-not-connected"],
  ),
  "device-size-differs": finding("error")(
    "The device has another size than the volume on the RDS. Larger on the RDS: an expansion has not reached this node. Smaller: the device under this NQN is not the volume, or its file was cut.",
    "If the RDS is larger, `nvme ns-rescan` of the controller, or wait for NodeExpandVolume. If it is smaller, stop the pods and find out why before anything is written.",
  ),
  "connection-not-live": finding("error")(
    "The connection is not live; I/O on it waits. The controller is `connecting`, `resetting` or being deleted. The kernel goes on trying until ctrl-loss-tmo is over.",
    "Find out why the target does not answer or refuses; nothing is lost as long as the kernel tries.",
    ["connection-gives-up-soon", "mount-not-answering", "io-waits", "hung-tasks", "nvme-kernel-errors"],
  ),
  "connection-gives-up-soon": finding("warning")(
    "The kernel will give the connection up. ctrl-loss-tmo is limited: when it is over the device vanishes, and filesystems on it fail.",
    "Bring the target back before, or write a longer time (or -1) into ctrl_loss_tmo of the controller in /sys/class/nvme.",
  ),
  "connection-no-namespace": finding("error")(
    "The connection has no namespace. The controller is live, and there is no device: the target shows no namespace under this NQN.",
    "Look at the export on the RDS; `nvme ns-rescan` of the controller has the kernel look again.",
    ["mount-device-vanished", "io-waits"],
  ),
  "volume-not-connected": finding("error")(
    "The volume is attached to this node, but not connected. Record or VolumeAttachment say so and a pod waits, or a mount is there, but there is no connection.",
    "Look at the events of the pod and at the log of the node plugin: staging fails or was not asked for.",
  ),
  "mount-device-vanished": finding("error")(
    "A mount is left whose device has vanished. The device number of the mount is gone or belongs to another device: the connection was given up or disconnected under it. The mount still looks well, reads fail or come from memory.",
    "Delete the pods that use it on this node; their replacements get a fresh mount, and the node clears the old one away.",
    ["filesystem-errors", "filesystem-read-only", "mount-not-answering"],
  ),
  "mount-other-device": finding("critical")(
    "A path of the volume is mounted from another device. kubelet's record beside the path names this volume, but what is mounted there is something else.",
    "Stop the pods of the volume at once: they read and write the wrong device.",
  ),
  "mount-not-answering": finding("critical")(
    "The filesystem of the volume does not answer. statfs in a process of its own did not come back in time; that process waits in the kernel and cannot be ended.",
    "Bring the connection back; then everything that waits goes on by itself. A reboot of the node is the last resort.",
    ["hung-tasks"],
  ),
  "io-waits": finding("error")(
    "The volume is in use, and its I/O waits. It is mounted or published on this node while its connection is not live. What was written and not yet acknowledged stays in memory.",
    "Do not unmount, disconnect or reboot if the target can come back: then nothing is lost.",
    ["hung-tasks"],
  ),
  "hung-tasks": finding("error")(
    "Processes hang in uninterruptible sleep on a volume. They are in state D, made no progress while this command ran, and use the volume's device, its mount or its journal. SIGKILL does not end them.",
    "Bring the volume's connection back; they go on by themselves.",
  ),
  "filesystem-read-only": finding("error")(
    "The filesystem of the volume went read-only after an error. The kernel stopped writing when I/O failed or the filesystem was found damaged.",
    "End its pods on this node, so that it is unmounted, checked and mounted anew.",
  ),
  "filesystem-errors": finding("warning")(
    "The kernel has counted errors in the volume's ext4. errors_count of the filesystem is not zero, since its last check.",
    "It is checked at its next mount: end its pods on this node when it suits.",
  ),
  "mounts-stacked": finding("warning")(
    "The same path is mounted many times over. A publish was repeated without looking; each layer costs kernel memory and has to be unmounted.",
    "End the pod; if layers stay, unmount them by hand, one by one.",
  ),
  "leftover-staging": finding("warning")(
    "kubelet's record of a volume is left that this node does not have. A staging directory of this driver with vol_data.json, without mount, connection or attachment.",
    "kubelet removes it when it is unstaged; if the volume is gone for good, remove vol_data.json and the empty directory.",
  ),
  "connection-lookalike": finding("info")(
    "A connection resembles the driver's, but is not its. Its NQN begins with --nqn-prefix and does not name a volume of this driver. It is never touched.",
    "Nothing, if it is yours; otherwise compare --nqn-prefix.",
  ),
  "nvme-kernel-errors": finding("info")(
    "The kernel has reported NVMe errors lately. Messages of the last quarter of an hour about connections or devices of volumes.",
    "Read them; together with the findings above they tell when it began.",
  ),
} as const;
