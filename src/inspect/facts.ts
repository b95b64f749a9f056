import type { VolumeRecord } from "../domain/record/volume-record.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type {
  AttachmentView,
  MigrationView,
  PersistentVolumeView,
  PodView,
  VmiView,
} from "../kubernetes/port.ts";
import type { Disk } from "../rds/disk.ts";
import type { ExportSettings } from "../rds/export.ts";
import { absent, type Fact, known, unknown } from "./fact.ts";

/** The backing file, as `/file` lists it. */
export interface FileFacts {
  /** Without a leading slash. */
  readonly path: string;
  /** Logical size in bytes; undefined when the RDS gives it rounded. */
  readonly sizeBytes: bigint | undefined;
}

/** The mounted disk item that the file is on. Sizes in bytes, undefined when the RDS reports none. */
export interface PoolFacts {
  readonly slot: string;
  readonly mountPoint: string;
  readonly fs: string;
  readonly sizeBytes: bigint | undefined;
  readonly freeBytes: bigint | undefined;
}

/** What the RDS says about one slot. */
export interface RdsFacts {
  readonly disk: Fact<Disk>;
  /** Absent also when the disk is foreign. */
  readonly record: Fact<VolumeRecord>;
  /** Why a disk that is there is not ours. */
  readonly foreign: string | undefined;
  readonly file: Fact<FileFacts>;
  /** Absent: nothing is mounted where the file should be. */
  readonly pool: Fact<PoolFacts>;
}

/** A PersistentVolume, with what only a person wants to know. */
export interface PvFacts extends PersistentVolumeView {
  /** Bytes; undefined when it is no quantity. */
  readonly capacityBytes: bigint | undefined;
  /** Delete or Retain. */
  readonly reclaimPolicy: string;
  /** Milliseconds since the Unix epoch. */
  readonly createdAt?: number | undefined;
  /** spec.csi.readOnly */
  readonly readOnly?: boolean | undefined;
}

/** A PersistentVolumeClaim. Sizes in bytes. */
export interface ClaimFacts {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Pending, Bound or Lost. */
  readonly phase: string;
  /** spec.volumeName; undefined before it is bound. */
  readonly pvName: string | undefined;
  readonly requestedBytes: bigint | undefined;
  /** status.capacity: what the workload has; undefined before it is bound. */
  readonly capacityBytes: bigint | undefined;
  readonly deleting: boolean;
}

export interface StorageClassFacts {
  readonly name: string;
  readonly provisioner: string;
  readonly reclaimPolicy: string;
  readonly parameters: Readonly<Record<string, string>>;
}

/** An error that a VolumeAttachment shows. */
export interface AttachErrorFacts {
  readonly message: string;
  /** RFC 3339; undefined when it has none. */
  readonly time: string | undefined;
}

/** A VolumeAttachment, with what the controller told the node. */
export interface AttachmentFacts extends AttachmentView {
  /** status.attachmentMetadata: the publish context; empty before it is attached. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly attachError: AttachErrorFacts | undefined;
  readonly detachError: AttachErrorFacts | undefined;
}

/** A virtual machine that uses the claim, and its migrations, oldest first. */
export interface MachineFacts {
  readonly machine: VmiView;
  readonly migrations: readonly MigrationView[];
}

export interface EventFacts {
  /** Kind/name of what it is about. */
  readonly about: string;
  readonly type: string;
  readonly reason: string;
  readonly message: string;
  readonly count: number;
  /** When it happened last; milliseconds since the Unix epoch, 0 when it does not say. */
  readonly at: number;
}

/** What the cluster says about one volume. Lists that are known and empty: there are none. */
export interface ClusterFacts {
  /** The PersistentVolume with this handle: the bound one, if there are several. */
  readonly pv: Fact<PvFacts>;
  /** Names of further PersistentVolumes with the same handle. */
  readonly otherPvs: readonly string[];
  readonly claim: Fact<ClaimFacts>;
  readonly storageClass: Fact<StorageClassFacts>;
  /** Of the PersistentVolumes with this handle; without one, those whose PersistentVolume is gone. */
  readonly attachments: Fact<readonly AttachmentFacts[]>;
  /** Pods that have not ended and use the claim. */
  readonly pods: Fact<readonly PodView[]>;
  readonly machines: Fact<readonly MachineFacts[]>;
  /** Names of all Node objects. */
  readonly nodes: Fact<readonly string[]>;
  /** The newest first. */
  readonly events: Fact<readonly EventFacts[]>;
}

/** Everything that is known about one volume. */
export interface VolumeFacts {
  readonly handle: VolumeId;
  /** When it was looked up; milliseconds since the Unix epoch. */
  readonly now: number;
  /** As the controller is configured. */
  /** The cluster id is undefined when it is not configured and the cluster did not say it. */
  readonly installation: ExportSettings & { readonly clusterId: string | undefined };
  readonly rds: RdsFacts;
  readonly cluster: ClusterFacts;
}

/** The facts of an RDS that could not be asked. */
export function unknownRds(reason: string): RdsFacts {
  const nothing = unknown(reason);
  return { disk: nothing, record: nothing, foreign: undefined, file: nothing, pool: nothing };
}

/** The facts of an RDS that has no disk of this slot. */
export function absentOnRds(file: Fact<FileFacts>): RdsFacts {
  return { disk: absent, record: absent, foreign: undefined, file, pool: absent };
}

/** The facts of a cluster that could not be asked, or was not to be asked. */
export function unknownCluster(reason: string): ClusterFacts {
  const nothing = unknown(reason);
  return {
    pv: nothing,
    otherPvs: [],
    claim: nothing,
    storageClass: nothing,
    attachments: nothing,
    pods: nothing,
    machines: nothing,
    nodes: nothing,
    events: nothing,
  };
}

/**
 * The facts of a cluster that has no PersistentVolume with this handle.
 * @param attachments VolumeAttachments that were of one
 */
export function absentInCluster(
  nodes: Fact<readonly string[]>,
  attachments: Fact<readonly AttachmentFacts[]> = known([]),
): ClusterFacts {
  const none = known([]);
  return {
    pv: absent,
    otherPvs: [],
    claim: absent,
    storageClass: absent,
    attachments,
    pods: none,
    machines: none,
    nodes,
    events: none,
  };
}
