import { entry, type List, REPEATED } from "./entry.ts";

/** A volume and its device, e.g. `/dev/nvme0n1`. */
interface OnDevice {
  readonly volume: string;
  readonly device: string;
}
interface OfFilesystem extends OnDevice {
  readonly filesystem: string;
}

/** Failures on a node: connecting, formatting, mounting, releasing. */
export const nodeErrors = {
  toolMissing: entry.FAILED_PRECONDITION<{ tool: string }>(
    (p) => `the program ${p.tool} is not available on this node`,
    "Use the driver's own image, which ships it.",
  ),
  mountNotPropagated: entry.FAILED_PRECONDITION<{ path: string; mountPoint: string }>(
    (p) =>
      `a mount at ${p.path} would be visible in the driver's container only: ${p.mountPoint} there is not shared with the machine`,
    "Set mountPropagation: Bidirectional for kubelet's directory in the node DaemonSet. Without it a pod would write to the node's own disk.",
  ),
  nodeCommandFailed: entry.INTERNAL<{ what: string; detail: string }>(
    (p) => `${p.what} failed: ${p.detail}`,
    "Look at the kernel log of the node.",
    REPEATED,
  ),
  nodeStateUnknown: entry.UNAVAILABLE<{ what: string; detail: string }>(
    (p) => `${p.what} could not be determined: ${p.detail}`,
    "Nothing was changed.",
    REPEATED,
  ),
  hostIdentityMismatch: entry.FAILED_PRECONDITION<{ volume: string; expected: string; own: string }>(
    (p) => `volume ${p.volume} is attached for host NQN ${p.expected}, this node's is ${p.own}`,
    "Give controller and node the same --cluster-id, or leave it out and give both --orchestrator kubernetes. Give each node its own --node-id (the Kubernetes node name).",
  ),
  nqnForeign: entry.FAILED_PRECONDITION<{ nqn: string; volume: string; prefix: string }>(
    (p) => `NQN ${p.nqn} is not that of volume ${p.volume} under the prefix ${p.prefix}`,
    "Give controller and node the same --nqn-prefix. The driver never connects or disconnects a foreign NQN.",
  ),
  storageAddressForeign: entry.FAILED_PRECONDITION<{ volume: string; address: string; allowed: List }>(
    (p) =>
      `the publish context of volume ${p.volume} names the address ${p.address}, but this node connects to ${p.allowed.join(", ")} only`,
    "Give controller and nodes the same --nvme-address. After a change, name the old address with --former-nvme-address on the nodes until every volume has been attached anew. Without a change, find out who wrote the VolumeAttachment.",
  ),
  epochOutdated: entry.FAILED_PRECONDITION<{ volume: string; nqn: string; connected: string }>(
    (p) => `volume ${p.volume} cannot be staged through ${p.nqn}: the newer ${p.connected} is connected here`,
    "The request belongs to an attachment that has been replaced; the next one carries the new NQN.",
  ),
  connectRefused: entry.UNAVAILABLE<{ nqn: string; address: string; reason: string }>(
    (p) => `${p.address} did not accept a connection to ${p.nqn}: ${p.reason}`,
    "Check that the RDS is up, that the node reaches its storage address, and that the volume is attached to this node.",
  ),
  subsystemNotOffered: entry.UNAVAILABLE<{ nqn: string; address: string }>(
    (p) => `${p.address} answers, but refuses ${p.nqn} to this host`,
    "The volume is not exported, or not to this node's host NQN; the kernel log of the node says which.",
  ),
  nvmeModuleMissing: entry.FAILED_PRECONDITION<{ module: string }>(
    (p) => `the kernel module ${p.module} is not loaded on this node`,
    "Load it at boot: a line `nvme-tcp` in a file below /etc/modules-load.d.",
  ),
  connectQueueFull: entry.UNAVAILABLE<{ what: string; seconds: number; limit: number; ahead: number }>(
    (p) =>
      `${p.what} waited ${p.seconds} s for its turn: ${p.limit} connects run on this node, ${p.ahead} more are ahead`,
    "The call is repeated by itself. If connects hang, check the RDS; if there are only many, raise --max-concurrent-connects.",
  ),
  connectedElsewhere: entry.FAILED_PRECONDITION<{ nqn: string; found: string; wanted: string; users: List }>(
    (p) =>
      `${p.nqn} is connected to ${p.found} instead of ${p.wanted}, and cannot be moved: ${p.users.join("; ")}`,
    "End these users; the call is repeated by itself and connects to the right address once nobody is left.",
  ),
  connectionNotTuned: entry.UNAVAILABLE<{
    nqn: string;
    controller: string;
    attribute: string;
    wanted: string;
    found: string;
    detail: string;
  }>(
    (p) =>
      `${p.attribute} of ${p.controller} (${p.nqn}) is ${p.found} instead of ${p.wanted} and could not be changed: ${p.detail}`,
    "The node plugin needs the host's /sys writable (a privileged container).",
    REPEATED,
  ),
  namespaceAbsent: entry.UNAVAILABLE<{ nqn: string; controllers: string; seconds: number }>(
    (p) => `${p.nqn} is connected (${p.controllers}), but has no namespace after ${p.seconds} s and a rescan`,
    "Check on the RDS that the disk is ready and exported, with `rds-csi volumes list`.",
    REPEATED,
  ),
  connectedAsOtherHost: entry.FAILED_PRECONDITION<{ nqn: string; host: string; own: string }>(
    (p) => `${p.nqn} is already connected, as host ${p.host} instead of ${p.own}`,
    "It was connected by hand or under another --cluster-id. Disconnect it once nothing uses it.",
  ),
  deviceNotReady: entry.UNAVAILABLE<{ nqn: string; state: string; seconds: number }>(
    (p) => `${p.nqn} had no usable device after ${p.seconds} s (${p.state})`,
    "Check the network between node and RDS.",
    REPEATED,
  ),
  deviceAmbiguous: entry.FAILED_PRECONDITION<{ nqn: string; devices: List }>(
    (p) => `${p.nqn} has several devices (${p.devices.join(", ")}), the driver makes exactly one`,
    "It was connected a second time, or a namespace was added, by hand. Undo that.",
  ),
  deviceTooSmall: entry.FAILED_PRECONDITION<{ device: string; nqn: string; expected: bigint; found: bigint }>(
    (p) => `${p.device} (${p.nqn}) has ${p.found} bytes, the volume has ${p.expected} bytes`,
    "Compare the file size and the export on the RDS with `rds-csi volumes list`. After an expansion of an attached volume the RDS may show hosts the new size only once it is detached from every node, or with --online-expansion re-export.",
  ),
  deviceChanged: entry.ABORTED<{ device: string; nqn: string; found: string }>(
    (p) => `${p.device} was ${p.nqn} a moment ago and is now ${p.found}`,
    "Nothing was written.",
    REPEATED,
  ),
  deviceLost: entry.UNAVAILABLE<{ volume: string; path: string }>(
    (p) => `the device under ${p.path} (volume ${p.volume}) has vanished; only its mount is left`,
    "Delete the pods that use it on this node: their replacements get a fresh mount.",
  ),
  deviceNumberTaken: entry.FAILED_PRECONDITION<OnDevice & { number: string; paths: List }>(
    (p) =>
      `volume ${p.volume} (${p.device}) has the device number ${p.number}, and paths of other volumes, whose devices have vanished, still lead to this number: ${p.paths.join("; ")}`,
    "Delete the pods of those volumes on this node: their writes would land in this volume. The call is repeated by itself and succeeds once the paths are unpublished. If none of these pods is left, unmount and remove the paths.",
  ),
  deviceInUse: entry.FAILED_PRECONDITION<OnDevice & { users: List }>(
    (p) => `volume ${p.volume} (${p.device}) is still in use: ${p.users.join("; ")}`,
    "End these users; the call is repeated by itself and succeeds once none is left. `kubectl get pods -A -o custom-columns=UID:.metadata.uid,NAMESPACE:.metadata.namespace,NAME:.metadata.name` names the pod of a UID. If multipathd or LVM of the node holds the device, exclude the volumes there (docs/install.md, Multipath and LVM on the nodes), then let the device go with `multipath -f MAP` or `vgchange -an GROUP`.",
  ),
  disconnectNotProven: entry.UNAVAILABLE<{ nqn: string; detail: string }>(
    (p) => `${p.nqn} is still there after a disconnect: ${p.detail}`,
    "The call is repeated by itself; the volume stays attached until then.",
  ),
  filesystemMismatch: entry.FAILED_PRECONDITION<OnDevice & { wanted: string; found: string }>(
    (p) => `volume ${p.volume} (${p.device}) holds ${p.found}, but ${p.wanted} is asked for`,
    "Set csi.storage.k8s.io/fstype (or fsType of the PV) to the filesystem that it holds. The driver never formats it anew.",
  ),
  filesystemMissing: entry.FAILED_PRECONDITION<OnDevice & { wanted: string }>(
    (p) =>
      `volume ${p.volume} (${p.device}) should hold data, but no ${p.wanted} filesystem was found on it; it is not formatted`,
    'Give it to a pod as a block device (docs/troubleshooting.md, "Work on a volume by hand") and look at it there. If it is really meant to be empty, make the filesystem yourself.',
  ),
  filesystemDamaged: entry.FAILED_PRECONDITION<OfFilesystem & { detail: string }>(
    (p) => `the ${p.filesystem} of volume ${p.volume} (${p.device}) is damaged and not mounted: ${p.detail}`,
    'Copy the volume on the RDS first; then give it to a pod as a block device (docs/troubleshooting.md, "Work on a volume by hand") and repair it there, with e2fsck -f or xfs_repair. The driver does nothing that may cost data.',
  ),
  filesystemUnfinished: entry.FAILED_PRECONDITION<OfFilesystem & { reason: string }>(
    (p) =>
      `volume ${p.volume} (${p.device}) holds an ${p.filesystem} whose mkfs was interrupted, and it is not proven that it holds no data: ${p.reason}`,
    'If the volume never held data, delete its claim and create it again. Else give it to a pod as a block device (docs/troubleshooting.md, "Work on a volume by hand") and look for the data there.',
  ),
  filesystemUnsafe: entry.FAILED_PRECONDITION<OfFilesystem & { reason: string }>(
    (p) =>
      `the ${p.filesystem} of volume ${p.volume} (${p.device}) is not mounted, as it would reach beyond its volume: ${p.reason}`,
    'Give the volume to a pod as a block device (docs/troubleshooting.md, "Work on a volume by hand") and mend the superblock there: tune2fs -O ^has_journal and then -j for a journal of its own, tune2fs -E clear_mntopts for its mount options. An XFS with an external log or a realtime section has to be copied into a new one.',
  ),
  filesystemNotMade: entry.UNAVAILABLE<OfFilesystem & { detail: string }>(
    (p) => `the ${p.filesystem} of volume ${p.volume} (${p.device}) was not made: ${p.detail}`,
    "The volume holds no data yet. The call is repeated by itself and makes the filesystem anew; if it fails each time, look at the kernel log of the node and at the connection to the RDS.",
  ),
  filesystemNotChecked: entry.UNAVAILABLE<OfFilesystem & { detail: string }>(
    (p) =>
      `the ${p.filesystem} of volume ${p.volume} (${p.device}) is marked with errors and could not be checked, so it is not mounted: ${p.detail}`,
    "Its data may be sound. The call is repeated by itself and checks again. If it fails each time, look in the kernel log of the node for a lack of memory and for I/O errors; give the node plugin more memory or stage the volume on another node.",
  ),
  filesystemUuidNotSet: entry.UNAVAILABLE<OfFilesystem & { detail: string }>(
    (p) =>
      `the ${p.filesystem} of volume ${p.volume} (${p.device}), a clone, did not get a UUID of its own and is not mounted: ${p.detail}`,
    "Its data is complete. The call is repeated by itself and goes on from there. If it fails each time, look at the kernel log of the node and at the connection to the RDS.",
  ),
  filesystemFailed: entry.FAILED_PRECONDITION<{ volume: string; path: string }>(
    (p) =>
      `the filesystem of volume ${p.volume} at ${p.path} is mounted for writing, but met an error and refuses every write`,
    "Look at the kernel log of the node. Delete the pods that use the volume on this node: once the last of them has gone, the filesystem is unmounted, checked and mounted anew.",
  ),
  deviceNotBlank: entry.FAILED_PRECONDITION<OnDevice & { offset: number }>(
    (p) =>
      `volume ${p.volume} (${p.device}) has no known filesystem, but holds data at byte ${p.offset}; it is not formatted`,
    'If the volume never held data (an interrupted mkfs leaves this, too), delete its claim and create it again. Else give it to a pod as a block device (docs/troubleshooting.md, "Work on a volume by hand"), look at it there, and wipe it only if its content is worthless.',
  ),
  deviceUnreadable: entry.UNAVAILABLE<{ device: string; detail: string }>(
    (p) => `${p.device} could not be read, so its content is unknown: ${p.detail}`,
    "Nothing was written.",
    REPEATED,
  ),
  signatureUnclear: entry.FAILED_PRECONDITION<OnDevice & { detail: string }>(
    (p) => `the content of volume ${p.volume} (${p.device}) is ambiguous: ${p.detail}`,
    'It is neither mounted nor formatted. Give it to a pod as a block device (docs/troubleshooting.md, "Work on a volume by hand") and look at it with wipefs --no-act.',
  ),
  mountFailed: entry.INTERNAL<{ source: string; target: string; detail: string }>(
    (p) => `mounting ${p.source} at ${p.target} failed: ${p.detail}`,
    "Look at the kernel log of the node; a mount option that the filesystem does not know is named there.",
  ),
  unmountFailed: entry.FAILED_PRECONDITION<{ target: string; detail: string }>(
    (p) => `${p.target} could not be unmounted: ${p.detail}`,
    "End the processes that use it, or delete their pods; the call is repeated by itself. `rds-csi diagnose` on the node names claims and pods, and `kubectl get pods -A -o custom-columns=UID:.metadata.uid,NAMESPACE:.metadata.namespace,NAME:.metadata.name` the pod of a UID.",
  ),
  mountFlagRefused: entry.INVALID_ARGUMENT<{ flag: string; filesystem: string; reason: string }>(
    (p) => `mount option ${JSON.stringify(p.flag)} is not allowed for ${p.filesystem}: ${p.reason}`,
    "Remove it from mountOptions of the PV, and of the StorageClass for the volumes to come.",
  ),
  pathOccupied: entry.FAILED_PRECONDITION<{ path: string; found: string }>(
    (p) => `${p.path} is occupied by ${p.found}`,
    "The driver did not make it and leaves it alone; remove it by hand.",
  ),
  pathNotEmpty: entry.FAILED_PRECONDITION<{ volume: string; path: string; found: string }>(
    (p) =>
      `volume ${p.volume} is not mounted at ${p.path}: no volume is mounted there, but it holds ${p.found} on the node's own disk`,
    "Data was written there while no volume was mounted. Move it away, so that the directory is empty (or the file of a block volume has no content); the call is repeated by itself. A mount would hide the data, and unpublish could never remove the path, as it deletes no data.",
  ),
  parentMissing: entry.FAILED_PRECONDITION<{ path: string }>(
    (p) => `the parent directory of ${p.path} does not exist`,
    "The orchestrator creates it. Check that the kubelet directory is mounted into the driver's container.",
  ),
  stagingPathMissing: entry.FAILED_PRECONDITION<Record<never, never>>(
    () => "staging_target_path is required, as this driver stages volumes",
    "Set the field and repeat the call.",
  ),
  stagedDifferently: entry.ALREADY_EXISTS<{ volume: string; path: string; difference: string }>(
    (p) => `volume ${p.volume} is staged at ${p.path} already: ${p.difference}`,
    "Unstage it first.",
  ),
  contextDropped: entry.FAILED_PRECONDITION<{ volume: string; path: string; difference: string }>(
    (p) => `volume ${p.volume} was mounted at ${p.path} ${p.difference}; it was unmounted again`,
    "The mount program took SELinux for switched off. The node pod needs the host's /sys with /sys/fs/selinux writable, and a file /etc/selinux/config, as image and manifests have them.",
  ),
  notStaged: entry.FAILED_PRECONDITION<{ volume: string; path: string; found: string }>(
    (p) => `volume ${p.volume} is not staged at ${p.path}: ${p.found}`,
    "Stage it first; after a reboot of the node the orchestrator does so by itself.",
  ),
  publishedDifferently: entry.ALREADY_EXISTS<{ volume: string; target: string; difference: string }>(
    (p) => `volume ${p.volume} is published at ${p.target} already: ${p.difference}`,
    "Unpublish it first.",
  ),
  publishedElsewhere: entry.FAILED_PRECONDITION<{ volume: string; targets: List; reason: string }>(
    (p) => `volume ${p.volume} is published on this node at ${p.targets.join(", ")}: ${p.reason}`,
    "Wait until the other pod has ended.",
  ),
  volumePathNotFound: entry.NOT_FOUND<{ volume: string; path: string }>(
    (p) => `volume ${JSON.stringify(p.volume)} is not found at ${JSON.stringify(p.path)} on this node`,
    "Nothing has to be done if the pod has gone.",
  ),
} as const;
