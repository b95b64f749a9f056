import type { AccessMode, AccessType, Filesystem } from "../access-mode.ts";

/** One node that may use the volume. Order in the record is the order of attaching. */
export interface Attachment {
  /** CSI node id. */
  readonly node: string;
  /** The host NQN that the export allows. */
  readonly hostNqn: string;
  readonly accessMode: AccessMode;
  readonly accessType: AccessType;
  readonly readonly: boolean;
  /** Seconds since the Unix epoch. */
  readonly since: number;
  /**
   * The connection settings that the node was given, if the volume's are others by now. So the publish context is the same for the life
   * of an attachment. undefined: it was given the volume's.
   */
  readonly connection?: ConnectionSettings | undefined;
}

/** The name of the export of an attached volume. */
export interface ExportName {
  /** Subsystem NQN, at most 223 bytes. */
  readonly nqn: string;
  /** TCP port. */
  readonly port: number;
  /** Whether the export's list of allowed hosts is kept for these attachments (`--fencing epoch+hosts`). */
  readonly hosts: boolean;
}

/** A migration that runs: exactly two nodes are attached. */
export interface Migration {
  /** When the second node was attached; seconds since the Unix epoch. */
  readonly since: number;
  /** Allowed duration in seconds; 0 means that KubeVirt itself sets no limit. */
  readonly timeoutSeconds: number;
  /** The controller process that attached the second node, and reports it; "" once a jumped clock was corrected. */
  readonly by: string;
  /** The controller process that found it past its deadline, and reports that; then it has had its outcome. */
  readonly overdueBy: string | undefined;
}

/** A migration that has ended and whose outcome may not have been reported yet. */
export interface EndedMigration {
  /** When it began; seconds since the Unix epoch. With the volume, this names the migration. */
  readonly since: number;
  /** When it ended; seconds since the Unix epoch. */
  readonly at: number;
  /** The first node left, so the guest runs on the second. */
  readonly moved: boolean;
  /** Its outcome was counted when it passed its deadline. */
  readonly overdue: boolean;
  /** The node that keeps the volume; undefined when both left. */
  readonly stayed: string | undefined;
  /** The controller process that ended it, and reports it. */
  readonly by: string;
}

export const CONVERSIONS = ["copy", "switch", "tidy"] as const;
export type Conversion = (typeof CONVERSIONS)[number];

/** One run of the device, from a boot to the next one. */
export interface Boot {
  /** When it began, as its clock has it; seconds since the Unix epoch. */
  readonly at: number;
  /** Seconds that it has lasted at least. */
  readonly uptime: number;
}

/** How far the device has filled a volume with the bytes of another one. */
export interface CopyState {
  /** Bytes from the beginning that are proven to be copied, in the run `boot` of the device. */
  readonly done: bigint;
  /** Bytes that are to be copied: the size of the source when the copy began. */
  readonly total: bigint;
  /** `createdAt` and `epoch` of the source when the copy began: with others the source has been attached since, or is another volume. */
  readonly sourceCreatedAt: number;
  readonly sourceEpoch: number;
  /** The line that copied last, or a name that no line has: eight hex digits. So no two states of a volume have the same text. */
  readonly line: string;
  /** Whether that line copies now. A line that died stays so. */
  readonly isBusy: boolean;
  /**
   * The run of the device in which the bytes were copied: after a restart none of them counts, as the device may have lost what it had not
   * written to its disks. undefined: none was copied yet, or by a driver that noted no run.
   */
  readonly boot?: Boot | undefined;
}

/** Parameters of a StorageClass or VolumeAttributesClass that shape a volume's later life. */
export interface VolumeSettings {
  /** 30–3600 seconds, or `auto`: KubeVirt's own deadline for the VirtualMachineInstance. */
  readonly migrationTimeoutSeconds: number | "auto";
  readonly migrationGuard: "enforce" | "warn" | "off";
  /** Seconds until a node's kernel gives up a lost controller; -1 = never. */
  readonly ctrlLossTmo: number;
  /** Seconds between reconnects. */
  readonly reconnectDelay: number;
  /** NVMe keep-alive timeout in seconds. */
  readonly keepAliveTmo: number;
  /** Seconds after which I/O on a lost controller fails, although the kernel goes on reconnecting; -1 = off. */
  readonly fastIoFailTmo: number;
  /** I/O queues of a connection; 0 = the kernel's own number, one per CPU. */
  readonly nrIoQueues: number;
  /** Entries of an I/O queue; 0 = the kernel's own number, 128. */
  readonly queueSize: number;
}

/** The settings of a volume that shape its connections. */
export type ConnectionSettings = Omit<VolumeSettings, "migrationTimeoutSeconds" | "migrationGuard">;

/** The connection settings among a volume's settings. */
export function connectionOf(settings: VolumeSettings): ConnectionSettings {
  const { migrationTimeoutSeconds: _time, migrationGuard: _guard, ...connection } = settings;
  return connection;
}

/** The connection settings that each attached node was given, in the order of attaching. */
export function givenConnections({ attachments, settings }: VolumeRecord): readonly ConnectionSettings[] {
  return attachments.map(({ connection }) => connection ?? connectionOf(settings));
}

/**
 * Everything that is known about a volume, kept on the RDS in the disk item's comment. It is the only
 * copy: nothing about a volume lives in a process.
 */
export interface VolumeRecord {
  /** The CSI volume name of its CreateVolume, 1–128 bytes. */
  readonly name: string;
  /** The installation that owns it. */
  readonly cluster: string;
  /** The PersistentVolumeClaim, when the provisioner passed it. */
  readonly claim: { readonly namespace: string; readonly name: string } | undefined;
  /** Seconds since the Unix epoch. */
  readonly createdAt: number;
  /** Handle of the snapshot or volume it was made from. */
  readonly source: string | undefined;
  /**
   * How the volume's file lies on the RDS, as CreateVolume chose; undefined: `plain`. The path of the file decides where both are known.
   */
  readonly layout?: "subvolume" | undefined;
  /** Bytes that a volume with a source is to have at least; until then its CreateVolume is not finished. */
  readonly wantedBytes?: bigint | undefined;
  /**
   * There while the volume is being filled by a copy: until then it is unfinished, and must not be used. Such a record is of a version that
   * earlier drivers refuse to read.
   */
  readonly copy?: CopyState | undefined;
  /**
   * How far the volume is on its way into a subvolume: `copy` – its data is copied; `switch` – the copy is whole, and the disk item is to be made
   * anew on it; `tidy` – it has the copy, and the old file goes. No node gets the volume meanwhile. Earlier drivers refuse to read such a record.
   */
  readonly conversion?: Conversion | undefined;
  /**
   * The filesystem that a node was first allowed to make; undefined while it never was. With a `source`: that of the source at the
   * cut, for ever.
   */
  readonly filesystem: Filesystem | undefined;
  /** Raised with every fresh attach; part of the NQN. 0 = never attached. */
  readonly epoch: number;
  /** At most two. */
  readonly attachments: readonly Attachment[];
  /**
   * NQN and port that the present attachments were given: chosen by the fresh attach, kept until the last node has left, so
   * that no later setting renames an export in use. undefined while nothing is attached, and in records before 0.2.
   */
  readonly exportName?: ExportName | undefined;
  /**
   * Counts the calls that found nothing to change, and the nodes that left while another stayed: without the count the record would have an
   * earlier text. So an earlier attach or detach, whose line has not run yet, compares with a text that is gone. undefined: 0.
   */
  readonly invalidations?: number | undefined;
  /** Set exactly while two nodes are attached. */
  readonly migration: Migration | undefined;
  /** Oldest first; each stays until it has been reported, so that no crash loses an outcome. */
  readonly ended: readonly EndedMigration[];
  /**
   * Since when an expansion switches the export off and on, so that its hosts see the new size; seconds since the Unix
   * epoch. Set in the same command before the export goes off, and removed when it is on again: while it is set, the export
   * may be off by an interrupted expansion.
   */
  readonly reExportSince?: number | undefined;
  readonly settings: VolumeSettings;
  /** Fields that a newer driver wrote: kept as they are, in order. */
  readonly unknown: readonly (readonly [key: string, value: string])[];
}

/**
 * How the export must stand after the record is written:
 * `fresh` – switched on under the record's new epoch; `keep` – on, as it is; `off` – not exported;
 * `leave` – unchanged.
 */
export type ExportState = "fresh" | "keep" | "off" | "leave";

/** Settings of a volume whose StorageClass says nothing. */
export const DEFAULT_SETTINGS = {
  migrationTimeoutSeconds: 300,
  migrationGuard: "enforce",
  ctrlLossTmo: -1,
  reconnectDelay: 5,
  keepAliveTmo: 5,
  fastIoFailTmo: -1,
  nrIoQueues: 0,
  queueSize: 0,
} as const satisfies VolumeSettings;
