import { entry } from "./entry.ts";
import { GrpcCode } from "./grpc-code.ts";

/** Failures of the RDS, of the link to it, and of its disks and files. */
export const rdsErrors = {
  rdsUnreachable: entry<{ address: string; reason: string }>(
    GrpcCode.UNAVAILABLE,
    (p) => `the RDS at ${p.address} is not reachable over SSH: ${p.reason}`,
    "Check power, network and /ip/service of the RDS; the call is repeated by itself.",
  ),
  rdsSilent: entry<{ address: string; what: string; seconds: number }>(
    GrpcCode.UNAVAILABLE,
    (p) =>
      `${p.what}: the RDS at ${p.address} accepted the SSH login, but has not answered this command within ${p.seconds} s`,
    "Power, network and SSH of the RDS work. Look at its load (`/system/resource/print`), its log and its disks (`/disk/print`): a command that hangs often waits for a disk. If no command is answered, reboot the RDS. The repeated call reads the state of the RDS first.",
  ),
  rdsOutcomeUnknown: entry<{ what: string; reason: string }>(
    GrpcCode.UNAVAILABLE,
    (p) => `${p.what}: the connection to the RDS was lost before its answer arrived (${p.reason})`,
    "Nothing to do: the repeated call reads the state of the RDS first.",
  ),
  rdsQueueFull: entry<{ limit: number }>(
    GrpcCode.UNAVAILABLE,
    (p) => `the command queue to the RDS is full (${p.limit} waiting)`,
    "Wait; the call is repeated by itself. If it persists, the RDS answers too slowly.",
  ),
  hostKeyMismatch: entry<{ address: string; offered: string; pinned: readonly string[] }>(
    GrpcCode.UNAVAILABLE,
    (p) =>
      `the SSH host key of ${p.address} is ${p.offered}, which is not pinned (pinned: ${p.pinned.join(", ") || "none"})`,
    "If the RDS was replaced or its host key regenerated, pin the new fingerprint; otherwise suspect an attack and do not continue.",
  ),
  authenticationFailed: entry<{ address: string; user: string }>(
    GrpcCode.UNAVAILABLE,
    (p) => `the RDS at ${p.address} refused the SSH key of user ${p.user}`,
    "Import the driver's public key for that user (/user/ssh-keys) and check the user's allowed address.",
  ),
  userKeyUnusable: entry<{ address: string; reason: string }>(
    GrpcCode.UNAVAILABLE,
    (p) => `no login at the RDS ${p.address}: ${p.reason}`,
    "Mount a private Ed25519 or RSA key at --rds-key-file; it is read anew for the next connection.",
  ),
  permissionDenied: entry<{ what: string; detail: string }>(
    GrpcCode.PERMISSION_DENIED,
    (p) => `${p.what}: the RouterOS user lacks a permission (${p.detail})`,
    "Give the user's group the policies ssh, read, write and test.",
  ),
  versionTooOld: entry<{ version: string; minimum: string }>(
    GrpcCode.FAILED_PRECONDITION,
    (p) => `RouterOS ${p.version} is too old: ${p.minimum} or newer is required (nvme-tcp-server-nqn)`,
    "Upgrade the RDS; 7.23.8 (long-term) or 7.24.5 (stable) and later are recommended.",
  ),
  replyUnreadable: entry<{ what: string; detail: string }>(
    GrpcCode.UNAVAILABLE,
    (p) => `${p.what}: the answer of the RDS could not be read (${p.detail})`,
    "The call is repeated by itself. If it persists, report the RouterOS version.",
  ),
  commandRejected: entry<{ what: string; detail: string }>(
    GrpcCode.INTERNAL,
    (p) => `${p.what}: RouterOS rejected the command (${p.detail})`,
    "Report the RouterOS version and this text.",
  ),
  commandHalfRun: entry<{ what: string; detail: string }>(
    GrpcCode.UNAVAILABLE,
    (p) => `${p.what}: RouterOS stopped in the middle of the command (${p.detail})`,
    "Report the RouterOS version and this text. The repeated call reads the state of the RDS first.",
  ),
  rdsBusy: entry<{ what: string; detail: string }>(
    GrpcCode.UNAVAILABLE,
    (p) => `${p.what}: the RDS is busy (${p.detail})`,
    "The call is repeated by itself.",
  ),
  poolNotFound: entry<{ pool: string }>(
    GrpcCode.INVALID_ARGUMENT,
    (p) => `pool ${JSON.stringify(p.pool)} does not exist on the RDS`,
    "Set the StorageClass parameter pool (or --pool) to the slot of a mounted disk, RAID or Btrfs pool.",
  ),
  poolNotMounted: entry<{ pool: string }>(
    GrpcCode.UNAVAILABLE,
    (p) => `pool ${JSON.stringify(p.pool)} is not mounted on the RDS`,
    "Mount the pool; until then nothing is created, as the file would land on the internal flash.",
  ),
  filePoolNotMounted: entry<{ volume: string; pool: string }>(
    GrpcCode.UNAVAILABLE,
    (p) =>
      `volume ${p.volume} cannot be deleted: pool ${JSON.stringify(p.pool)}, which may hold its file, is not mounted on the RDS`,
    "Mount the pool; the call is repeated by itself. If the pool is gone for good: remove the disk items of the volumes that were on it by hand on the RDS (`/disk/remove [find where slot=<volume>]`), set --pool to another pool if it was that one, and restart the controller.",
  ),
  fileNotProven: entry<{ volume: string; files: readonly string[] }>(
    GrpcCode.FAILED_PRECONDITION,
    (p) =>
      `volume ${p.volume} has no disk item, and ${p.files.join(" and ")} on the RDS may be its file or a copy`,
    "Look at the file on the RDS. Move a copy out of the folder of the volumes. Remove a file that is not needed. The call is repeated by itself.",
  ),
  poolFull: entry<{ pool: string; wanted: string; available: string }>(
    GrpcCode.RESOURCE_EXHAUSTED,
    (p) =>
      `pool ${p.pool} has ${p.available} left for volumes by the driver's own count, ${p.wanted} are needed; the RDS was not asked`,
    "Delete unused volumes, extend the pool, or use another one. The count takes every volume at its full size and keeps --reserve-bytes free.",
  ),
  poolRefused: entry<{ pool: string; wanted: string; available: string; detail: string }>(
    GrpcCode.RESOURCE_EXHAUSTED,
    (p) =>
      `RouterOS refused ${p.wanted} in pool ${p.pool} for want of space (${p.detail}); the driver had counted ${p.available} as left`,
    "Look at the free space of the pool on the RDS (`/disk/print detail`): files of others, snapshots and Btrfs metadata take space too. Free some, extend the pool, or raise --reserve-bytes by the difference.",
  ),
  volumeNotFound: entry<{ volume: string }>(
    GrpcCode.NOT_FOUND,
    (p) => `volume ${p.volume} does not exist on the RDS`,
    "Check the volume handle; `rds-csi volumes list` shows what exists.",
  ),
  volumeExistsDifferently: entry<{ name: string; difference: string }>(
    GrpcCode.ALREADY_EXISTS,
    (p) => `a volume with name ${JSON.stringify(p.name)} exists with other properties: ${p.difference}`,
    "Delete that volume first, or use another name.",
  ),
  foreignDisk: entry<{ slot: string; reason: string }>(
    GrpcCode.FAILED_PRECONDITION,
    (p) => `disk ${p.slot} on the RDS is not managed by this driver: ${p.reason}`,
    "The driver never changes it. Find its owner before you change it by hand: compare --cluster-id, and look at the item with `rds-csi volumes record`.",
  ),
  recordUnusable: entry<{ volume: string; reason: string }>(
    GrpcCode.FAILED_PRECONDITION,
    (p) => `the record of volume ${p.volume} on the RDS cannot be used: ${p.reason}`,
    "The driver changes nothing meanwhile. `rds-csi volumes record NAME` shows the record; put it back with --restore or --rebuild. Do not remove the disk item or its file: they hold the data.",
  ),
  recordKept: entry<{ volume: string; reason: string }>(
    GrpcCode.FAILED_PRECONDITION,
    (p) => `the record of volume ${p.volume} is left as it is: ${p.reason}`,
    "Follow the message and repeat the command; nothing was changed.",
  ),
  recordConflict: entry<{ volume: string; attempts: number }>(
    GrpcCode.ABORTED,
    (p) => `the record of volume ${p.volume} was changed by someone else, ${p.attempts} times in a row`,
    "The call is repeated by itself.",
  ),
  recordTooLarge: entry<{ volume: string; bytes: number; limit: number }>(
    GrpcCode.INVALID_ARGUMENT,
    (p) => `the record of volume ${p.volume} would need ${p.bytes} bytes, the limit is ${p.limit} bytes`,
    "Use shorter names for the PersistentVolumeClaim, its namespace or the nodes.",
  ),
  volumeNotReady: entry<{ volume: string }>(
    GrpcCode.UNAVAILABLE,
    (p) => `volume ${p.volume} has no block device on the RDS at present`,
    "The call is repeated by itself. If it persists, check that the pool of the volume is online and mounted.",
  ),
  sizeNotConfirmed: entry<{ volume: string; wanted: bigint; found: string }>(
    GrpcCode.UNAVAILABLE,
    (p) => `volume ${p.volume} was created, but the RDS reports size ${p.found} instead of ${p.wanted}`,
    "The call is repeated by itself; the volume is not exported before its size is right.",
  ),
  notVerified: entry<{ what: string; detail: string }>(
    GrpcCode.UNAVAILABLE,
    (p) => `${p.what} was sent, but the RDS shows another state: ${p.detail}`,
    "The call is repeated by itself.",
  ),
} as const;
