import type { Attachment, CopyState } from "../../domain/record/volume-record.ts";
import type { VolumeState } from "../../inspect/compare.ts";
import type { SnapshotTotal } from "../../inspect/facts.ts";
import { type Finding, isProblem } from "../../inspect/finding.ts";
import type { FileLayout } from "../../rds/layout.ts";

/** One node that a volume is attached to. */
export interface ListedNode extends Pick<Attachment, "node" | "accessMode" | "readonly"> {
  /** RFC 3339, UTC. */
  readonly since: string;
}

/** A volume as `rds-csi volumes list` shows it; the input of every renderer. */
export interface ListedVolume {
  /** Slot on the RDS and CSI volume handle. */
  readonly handle: string;
  /** The CSI volume name (in Kubernetes `pvc-<uid>`); "" without a record. */
  readonly csiName: string;
  readonly state: VolumeState;
  /** Bytes; 0 when the RDS reports none. */
  readonly sizeBytes: bigint;
  /** The claim in the cluster; where that is not known, the claim in the record. */
  readonly pvc: { readonly namespace: string; readonly name: string } | undefined;
  /** In the order of attaching. */
  readonly nodes: readonly ListedNode[];
  readonly migration:
    | { readonly since: string; readonly timeoutSeconds: number; readonly overdue: boolean }
    | undefined;
  /** RFC 3339, UTC; undefined without a record. */
  readonly createdAt: string | undefined;
  /** NQN of the export; "" when it has none. */
  readonly nqn: string;
  readonly exported: boolean;
  /** Backing file on the RDS. */
  readonly path: string;
  /** Whether the file is in a Btrfs subvolume of its own, which can be snapshotted; undefined when its path tells neither. */
  readonly layout?: FileLayout | undefined;
  /** Handle of the snapshot or volume that it was made from. */
  readonly source?: string | undefined;
  /** Bytes that are copied, and that are to be copied; undefined: the volume is finished. */
  readonly copy?: Pick<CopyState, "done" | "total"> | undefined;
  /** undefined: they were not asked for, or are not known. */
  readonly snapshots?: SnapshotTotal | undefined;
  /** The RDS has the disk item, and its record cannot be used: claim and nodes of the record are not known. */
  readonly recordUnknown?: boolean;
  /** The worst first. */
  readonly findings: readonly Finding[];
}

/** A side that did not answer. */
export interface UnknownSide {
  /** `RDS`, `Kubernetes`, or the kinds of objects of one of them. */
  readonly what: string;
  readonly reason: string;
  readonly remedy: string | undefined;
}

/** Whether a person has to do something: a finding that is more than information. */
export function hasProblem({ findings }: Pick<ListedVolume, "findings">): boolean {
  return findings.some(isProblem);
}

/** The claim of a volume as `namespace/name`; undefined without one. */
export function claimOf({ pvc }: Pick<ListedVolume, "pvc">): string | undefined {
  return pvc === undefined ? undefined : `${pvc.namespace}/${pvc.name}`;
}
