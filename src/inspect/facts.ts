import type { VolumeRecord } from "../domain/record/volume-record.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { ClaimView, EventView, StorageClassView } from "../kubernetes/inspector.ts";
import type {
  AttachmentView,
  MigrationView,
  PersistentVolumeView,
  PodView,
  VmiView,
} from "../kubernetes/port.ts";
import type { Disk } from "../rds/disk.ts";
import type { ExportSettings } from "../rds/export.ts";
import type { RdsFile } from "../rds/survey.ts";
import type { RdsVolume } from "../rds/volume.ts";
import { type Fact, ifKnown } from "./fact.ts";

/** The mounted disk item that holds a file. Sizes in bytes, undefined when the RDS reports none. */
export interface PoolFacts extends Pick<Disk, "slot" | "mountPoint" | "fs"> {
  readonly sizeBytes: bigint | undefined;
  readonly freeBytes: bigint | undefined;
  /** What is wrong with the array that it is on, in words; one entry for each item. Left out: that was not asked for. */
  readonly arrayTroubles?: readonly string[];
}

/** The snapshots of one volume. */
export interface SnapshotTotal {
  readonly count: number;
  /** Bytes that they may hold at most: the sum of their sizes. RouterOS shows no bytes that a subvolume alone holds. */
  readonly bytesAtMost: bigint;
}

/** An item of a conversion. */
export interface MovedBy {
  readonly slot: string;
  /** Whether the copy is whole, so that the conversion can go on without the volume's own item. */
  readonly isWhole: boolean;
}

/** The RDS's side of one slot. */
export interface RdsFacts {
  readonly disk: Fact<Disk>;
  /** Absent also when the disk is another cluster's; unknown when its record cannot be used. */
  readonly record: Fact<VolumeRecord>;
  /** Why a disk item with this slot is no volume of this installation. */
  readonly foreign: string | undefined;
  /** The item that has its record instead of its own, which is absent: it moves into a subvolume. */
  readonly movedBy?: MovedBy | undefined;
  /** Unknown while its pool is not mounted. */
  readonly file: Fact<RdsFile>;
  /** Absent: nothing is mounted where the file should be. Unknown without a disk item. */
  readonly pool: Fact<PoolFacts>;
  /** Left out where they were not asked for. */
  readonly snapshots?: Fact<SnapshotTotal>;
}

/** A virtual machine that uses the claim, and its migrations, oldest first. */
export interface MachineFacts {
  readonly machine: VmiView;
  readonly migrations: readonly MigrationView[];
}

/** The cluster's side of one volume. Lists that are known and empty: there are none. */
export interface ClusterFacts {
  /** The PersistentVolume with this handle: the bound one, if there are several. */
  readonly pv: Fact<PersistentVolumeView>;
  /** Names of further PersistentVolumes with the same handle. */
  readonly otherPvs: readonly string[];
  readonly claim: Fact<ClaimView>;
  readonly storageClass: Fact<StorageClassView>;
  /** Of the PersistentVolumes with this handle; without one, those whose PersistentVolume is gone. */
  readonly attachments: Fact<readonly AttachmentView[]>;
  /** Pods of all nodes that have not ended and use the claim. */
  readonly pods: Fact<readonly PodView[]>;
  readonly machines: Fact<readonly MachineFacts[]>;
  /** Names of all Node objects. */
  readonly nodes: Fact<readonly string[]>;
  /** The newest first. */
  readonly events: Fact<readonly EventView[]>;
}

/** The controller's settings that name exports. */
export interface Installation extends ExportSettings {
  /** undefined: it is not configured, and the cluster did not say it. */
  readonly clusterId: string | undefined;
}

/** Everything that is known about one volume. */
export interface VolumeFacts {
  readonly handle: VolumeId;
  /** When it was looked up; milliseconds since the Unix epoch. */
  readonly now: number;
  readonly installation: Installation;
  readonly rds: RdsFacts;
  readonly cluster: ClusterFacts;
  /** The node on which `diagnose` sees the volume in use, whatever the other sides say. */
  readonly usedOn?: string | undefined;
}

/** The volume on the RDS; undefined unless disk and record are both known. */
export function volumeOf({ handle, rds }: VolumeFacts): RdsVolume | undefined {
  const disk = ifKnown(rds.disk);
  const record = ifKnown(rds.record);
  return disk === undefined || record === undefined ? undefined : { id: handle, disk, record };
}
