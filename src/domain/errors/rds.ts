import { entry, type List, REPEATED } from "./entry.ts";

/** What the driver does at the next call, after a command with an unclear outcome. */
const READS_FIRST = "The repeated call reads the state of the RDS first.";

/** Failures of the RDS, of the link to it, and of its disks and files. */
export const rdsErrors = {
  devicePremise: entry.FAILED_PRECONDITION<{
    feature: string;
    experiment: string;
    answer: string;
    came: string;
  }>(
    (p) =>
      `this RDS cannot do ${p.feature}: the answer to the experiment ${p.experiment} of \`rds-csi probe\` is ${p.answer} (${p.came})`,
    "docs/probe.md has the answer's meaning. After a change of the RDS: run `rds-csi probe --save` again and restart the controller with the new file.",
  ),
  rdsUnreachable: entry.UNAVAILABLE<{ address: string; reason: string }>(
    (p) => `the RDS at ${p.address} is not reachable over SSH: ${p.reason}`,
    "Check power, network and /ip/service of the RDS.",
    REPEATED,
  ),
  rdsSilent: entry.UNAVAILABLE<{ address: string; what: string; seconds: number }>(
    (p) =>
      `${p.what}: the RDS at ${p.address} accepted the SSH login, but has not answered this command within ${p.seconds} s of sending it`,
    "Power, network and SSH of the RDS work. Look at its load (`/system/resource/print`), its log and its disks (`/disk/print`): a command that hangs often waits for a disk. If no command is answered, reboot the RDS.",
    READS_FIRST,
  ),
  rdsOutcomeUnknown: entry.UNAVAILABLE<{ what: string; reason: string }>(
    (p) => `${p.what}: the answer of the RDS did not arrive (${p.reason}); the command may have run`,
    "",
    `Nothing to do. ${READS_FIRST}`,
  ),
  rdsQueueFull: entry.UNAVAILABLE<{ limit: number }>(
    (p) => `the command queue to the RDS is full (${p.limit} waiting)`,
    "Wait. If it persists, the RDS answers too slowly.",
    REPEATED,
  ),
  rdsQueueSlow: entry.UNAVAILABLE<{ what: string; seconds: number; ahead: number }>(
    (p) =>
      `${p.what}: waited ${p.seconds} s in the driver's command queue, behind ${p.ahead} others at first; nothing was sent to the RDS`,
    "Wait. If it persists, the RDS answers too slowly: look at its load (`/system/resource/print`) and at `rds_csi_rds_command_duration_seconds`.",
    REPEATED,
  ),
  hostKeyMismatch: entry.UNAVAILABLE<{ address: string; offered: string; pinned: List }>(
    (p) =>
      `the SSH host key of ${p.address} is ${p.offered}, which is not pinned (pinned: ${p.pinned.join(", ") || "none"})`,
    "If the RDS was replaced or its host key regenerated, pin the new fingerprint; otherwise suspect an attack and do not continue.",
  ),
  authenticationFailed: entry.UNAVAILABLE<{ address: string; user: string }>(
    (p) => `the RDS at ${p.address} refused the SSH key of user ${p.user}`,
    "Import the driver's public key for that user (/user/ssh-keys) and check the user's allowed address.",
  ),
  userKeyUnusable: entry.UNAVAILABLE<{ address: string; reason: string }>(
    (p) => `no login at the RDS ${p.address}: ${p.reason}`,
    "Mount a private Ed25519 or RSA key at --rds-key-file; it is read anew for the next connection.",
  ),
  hostKeysUnusable: entry.UNAVAILABLE<{ address: string; reason: string }>(
    (p) => `no login at the RDS ${p.address}: ${p.reason}`,
    "Mount a file with one host key per line at --rds-host-key-file; it is read anew for the next connection.",
  ),
  permissionDenied: entry.PERMISSION_DENIED<{ what: string; detail: string }>(
    (p) => `${p.what}: the RouterOS user lacks a permission (${p.detail})`,
    "Give the user's group the policies ssh, read, write and test.",
  ),
  versionTooOld: entry.FAILED_PRECONDITION<{ version: string; minimum: string }>(
    (p) => `RouterOS ${p.version} is too old: ${p.minimum} or newer is required (nvme-tcp-server-nqn)`,
    "Upgrade the RDS; 7.23.8 (long-term) or 7.24.5 (stable) and later are recommended.",
  ),
  replyUnreadable: entry.UNAVAILABLE<{ what: string; detail: string }>(
    (p) => `${p.what}: the answer of the RDS could not be read (${p.detail})`,
    "If it persists, report the RouterOS version.",
    REPEATED,
  ),
  commandRejected: entry.INTERNAL<{ what: string; detail: string }>(
    (p) => `${p.what}: RouterOS rejected the command (${p.detail})`,
    "Report the RouterOS version and this text.",
  ),
  commandHalfRun: entry.UNAVAILABLE<{ what: string; detail: string }>(
    (p) => `${p.what}: RouterOS stopped in the middle of the command (${p.detail})`,
    "Report the RouterOS version and this text.",
    READS_FIRST,
  ),
  rdsBusy: entry.UNAVAILABLE<{ what: string; detail: string }>(
    (p) => `${p.what}: the RDS is busy (${p.detail})`,
    "",
    REPEATED,
  ),
  poolNotFound: entry.INVALID_ARGUMENT<{ pool: string }>(
    (p) => `pool ${JSON.stringify(p.pool)} does not exist on the RDS`,
    "Set the StorageClass parameter pool (or --pool) to the slot of a mounted disk, RAID or Btrfs pool.",
  ),
  poolNotMounted: entry.UNAVAILABLE<{ pool: string }>(
    (p) => `pool ${JSON.stringify(p.pool)} is not mounted on the RDS`,
    "Mount the pool; until then nothing is created, as the file would land on the internal flash.",
  ),
  filePoolNotMounted: entry.UNAVAILABLE<{ volume: string; pool: string }>(
    (p) =>
      `volume ${p.volume} cannot be deleted: pool ${JSON.stringify(p.pool)}, which may hold its file, is not mounted on the RDS`,
    "Mount the pool. If the pool is gone for good: remove the disk items of the volumes that were on it by hand on the RDS (`/disk/remove [find where slot=<volume>]`), set --pool to another pool if it was that one, and restart the controller.",
    REPEATED,
  ),
  fileNotProven: entry.FAILED_PRECONDITION<{ volume: string; files: List }>(
    (p) =>
      `volume ${p.volume} has no disk item, and ${p.files.join(" and ")} on the RDS may be its file or a copy`,
    "Look at the file on the RDS. Move a copy out of the folder of the volumes. Remove a file that is not needed.",
    REPEATED,
  ),
  poolFull: entry.RESOURCE_EXHAUSTED<{ pool: string; wanted: string; available: string }>(
    (p) =>
      `pool ${p.pool} has ${p.available} left for volumes by the driver's own count, ${p.wanted} are needed; the RDS was not asked`,
    "Delete unused volumes, extend the pool, or use another one. The count takes every volume at its full size and keeps --reserve-bytes free.",
  ),
  poolRefused: entry.RESOURCE_EXHAUSTED<{
    pool: string;
    wanted: string;
    available: string | undefined;
    detail: string;
  }>(
    (p) =>
      `RouterOS refused ${p.wanted} in pool ${p.pool} for want of space (${p.detail})${p.available === undefined ? "" : `; the driver had counted ${p.available} as left`}`,
    "Look at the free space of the pool on the RDS (`/disk/print detail`): files of others, snapshots and Btrfs metadata take space too. Free some, extend the pool, or raise --reserve-bytes by the difference.",
  ),
  volumeNotFound: entry.NOT_FOUND<{ volume: string }>(
    (p) => `volume ${p.volume} does not exist on the RDS`,
    "Check the volume handle; `rds-csi volumes list` shows what exists.",
  ),
  volumeExistsDifferently: entry.ALREADY_EXISTS<{ name: string; difference: string }>(
    (p) => `a volume with name ${JSON.stringify(p.name)} exists with other properties: ${p.difference}`,
    "Delete that volume first, or use another name.",
  ),
  foreignDisk: entry.FAILED_PRECONDITION<{ slot: string; reason: string }>(
    (p) => `disk ${p.slot} on the RDS is not managed by this driver: ${p.reason}`,
    "The driver never changes it. Find its owner before you change it by hand: compare --cluster-id, and look at the item with `rds-csi volumes record`.",
  ),
  volumeNotAdopted: entry.FAILED_PRECONDITION<{ volume: string; reason: string }>(
    (p) => `volume ${p.volume} is not adopted: ${p.reason}`,
    "`rds-csi volumes adopt NAME`, in the controller's pod, plans its record; with --yes it writes it (docs/adopt.md). Before that the driver changes nothing about the volume.",
    REPEATED,
  ),
  adoptionRefused: entry.FAILED_PRECONDITION<{ volume?: string; reason: string }>(
    (p) => `${p.volume === undefined ? "volumes" : `volume ${p.volume}`} cannot be adopted: ${p.reason}`,
    "Follow the message and repeat the command; nothing was changed.",
  ),
  notGivenBack: entry.FAILED_PRECONDITION<{ volume: string; reason: string }>(
    (p) => `volume ${p.volume} is not given back to the earlier driver: ${p.reason}`,
    "Follow the message and repeat the command; nothing was changed.",
  ),
  recordUnusable: entry.FAILED_PRECONDITION<{ volume: string; reason: string }>(
    (p) => `the record of volume ${p.volume} on the RDS cannot be used: ${p.reason}`,
    "The driver changes nothing meanwhile. `rds-csi volumes record NAME` shows the record; put it back with --restore or --rebuild. Do not remove the disk item or its file: they hold the data.",
  ),
  recordKept: entry.FAILED_PRECONDITION<{ volume: string; reason: string }>(
    (p) => `the record of volume ${p.volume} is left as it is: ${p.reason}`,
    "Follow the message and repeat the command; nothing was changed.",
  ),
  recordConflict: entry.ABORTED<{ volume: string; attempts: number }>(
    (p) => `the record of volume ${p.volume} was changed by someone else, ${p.attempts} times in a row`,
    "",
    REPEATED,
  ),
  recordTooLarge: entry.INVALID_ARGUMENT<{ volume: string; bytes: number; limit: number }>(
    (p) => `the record of volume ${p.volume} would need ${p.bytes} bytes, the limit is ${p.limit} bytes`,
    "Use shorter names for the PersistentVolumeClaim, its namespace or the nodes.",
  ),
  volumeNotReady: entry.UNAVAILABLE<{ volume: string }>(
    (p) => `volume ${p.volume} has no block device on the RDS at present`,
    "If it persists, check that the pool of the volume is online and mounted.",
    REPEATED,
  ),
  sizeNotConfirmed: entry.UNAVAILABLE<{ volume: string; wanted: bigint; found: string }>(
    (p) => `volume ${p.volume} was created, but the RDS reports size ${p.found} instead of ${p.wanted}`,
    "The volume is not exported before its size is right.",
    REPEATED,
  ),
  notVerified: entry.UNAVAILABLE<{ what: string; detail: string }>(
    (p) => `${p.what} was sent, but the RDS shows another state: ${p.detail}`,
    "",
    REPEATED,
  ),
} as const;
