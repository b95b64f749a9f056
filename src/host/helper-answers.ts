import type { Filesystem } from "../domain/access-mode.ts";

/** The result of a look for data on a device. `offset` is in bytes. */
export type BlankFinding =
  | { readonly kind: "blank"; readonly bytesRead: number }
  | { readonly kind: "data"; readonly offset: number }
  | { readonly kind: "unreadable"; readonly detail: string };

/**
 * The content of the place where a filesystem keeps its primary superblock:
 * - `whole`: that of the wanted filesystem, sane, its checksum right. It says nothing about the rest of the device;
 * - `unfinished`: one that was never mounted for writing and whose mkfs did not end: an XFS with its own flag for that, or an
 *   ext4 whose superblock was torn while mkfs wrote it;
 * - `damaged`: that of the wanted filesystem, but it cannot be true;
 * - `zeros`: only zeros there and before; for XFS also in the first 4 KiB, where other filesystems have their superblock;
 * - `other`: any other content, also another filesystem.
 */
export type Superblock =
  | { readonly kind: "whole"; readonly uuid: string }
  | { readonly kind: "unfinished"; readonly uuid: string }
  | { readonly kind: "damaged"; readonly detail: string }
  | { readonly kind: "zeros" }
  | { readonly kind: "other" };

/**
 * The mark of a filesystem in the making. The driver writes it onto a device that it has proven to be blank, before mkfs,
 * and takes it away after mkfs, before the first mount. So the content of a device with a mark, and without a whole
 * filesystem, is the work of an mkfs that did not end: nobody's data.
 */
export interface MkfsMark {
  /** Handle of the volume. */
  readonly volume: string;
  /** Of the attachment during which it was written. */
  readonly epoch: number;
  readonly filesystem: Filesystem;
  /**
   * Random, 32 hex digits. The UUID of the filesystem is derived from it and does not reveal it: beside a filesystem, no
   * content of a file can pass for its mark.
   */
  readonly token: string;
}

/** The superblock and the marks on a device. */
export type FilesystemFinding =
  | {
      readonly kind: "read";
      readonly superblock: Superblock;
      /** Why that filesystem must not be mounted or checked, see superblockDanger(). */
      readonly danger?: string;
      /** Marks of a filesystem in the making, of any volume; at most two. */
      readonly marks: readonly MkfsMark[];
    }
  | { readonly kind: "unreadable"; readonly detail: string };

/** Whether a mark was written or taken away; `refused` changed nothing, `failed` may have. */
export type MarkOutcome =
  | { readonly kind: "done" }
  | { readonly kind: "refused" | "failed"; readonly detail: string };

/**
 * Whether a filesystem has a UUID that it is to have.
 * - `changeable`: it has the other one of `uuid`; `unsettled` says why a mount and an unmount have to come before the change;
 * - `kept`: its UUID cannot be changed, for this reason.
 */
export type UuidFinding =
  | { readonly kind: "same" }
  | { readonly kind: "changeable"; readonly uuid: string; readonly unsettled?: string }
  | { readonly kind: "kept"; readonly reason: string }
  | { readonly kind: "unreadable"; readonly detail: string };

/** Whether a filesystem got another UUID; `kept` and `refused` changed nothing, `failed` may have. */
export type UuidOutcome = MarkOutcome | Extract<UuidFinding, { kind: "kept" }>;

/** The health of an ext4, from its superblock. */
export type Ext4State =
  | {
      readonly kind: "ext4";
      /**
       * The kernel or e2fsck found damage, or a filesystem without journal was not unmounted. A mount goes on in spite
       * of it and repairs nothing; replaying the journal does not clear it.
       */
      readonly needsCheck: boolean;
      /** Errors that the kernel has counted since the last check. */
      readonly errorCount: number;
      /** The journal holds what a mount replays: the trace of a crash, not of damage. */
      readonly needsRecovery: boolean;
    }
  | { readonly kind: "other" }
  | { readonly kind: "unreadable"; readonly detail: string };

export interface ProcessScan {
  readonly uses: readonly ProcessUse[];
  /** Processes that could not be looked into: no permission, or their mappings never stood still. */
  readonly unreadable: number;
  /** Some of them, for people: `4242 (name)`. */
  readonly unread?: readonly string[];
  /** Descriptors, mappings and mounts that were looked at. */
  readonly entries?: number;
  /** Why the scan did not end, in words; it then knows nothing of the processes that are left. */
  readonly overrun?: string;
}

export interface BackingScan {
  readonly files: readonly FoundFile[];
  /** `major:minor` of the network filesystems that are mounted anywhere. */
  readonly remote: readonly string[];
}

/** The result of the inspection of a device for users. */
export interface DeviceInspection {
  /**
   * Answer to opening the device with O_EXCL, which the kernel refuses (`busy`) while a filesystem, even one whose
   * umount hangs, device-mapper or swap has it. `error` means that nothing is known.
   */
  readonly exclusive: "free" | "busy" | "changed" | "error";
  readonly detail: string;
  readonly processes: ProcessScan;
  /** Where the files of loop devices were found. */
  readonly backing: BackingScan;
}

/** Whether `delete_controller` of a controller was written. The end of the controller shows in sysfs. */
export type EndedController =
  | { readonly kind: "written" }
  /** It is another one, or gone: nothing was written. */
  | { readonly kind: "other"; readonly detail: string }
  | { readonly kind: "failed"; readonly detail: string };

/** A process that uses a device. */
export interface ProcessUse {
  readonly pid: number;
  /** UID of its pod; missing for a process of the machine itself. */
  readonly pod?: string;
  readonly command: string;
  /** Process id of its parent; 0 when it ended before that was read. */
  readonly parent: number;
  /** e.g. `fd 7`, `cwd`, `mapped file`, `mapped device`. */
  readonly how: string;
}

/** A file that one of some paths leads to, in one of the mount namespaces of this machine. */
export interface FoundFile {
  /** As asked for. */
  readonly path: string;
  /** `major:minor` of the filesystem that holds it. */
  readonly filesystem: string;
  readonly inode: string;
  /** `major:minor` of the device that it is a node of; "" if it is no block device. */
  readonly device: string;
}

/** A process that uses one of several devices. */
export interface DeviceUserFacts extends Omit<ProcessUse, "parent"> {
  /** `major:minor` */
  readonly device: string;
}

/** The processes that use some devices: for messages, never as proof. */
export interface DeviceScan {
  readonly users: readonly DeviceUserFacts[];
  /** Processes that could not be looked into, or had too much to look at. */
  readonly hidden: number;
  /** Those that had too much to look at, in words; the first few. */
  readonly crowded?: readonly string[];
}
