import type { VolumeDrift } from "../../inspect/drift.ts";

export const VOLUME_STATES = ["available", "attached", "migrating", "foreign", "broken"] as const;

/** The state of a volume. `foreign`: not ours, never changed. `broken`: ours, with a finding that is an error. */
export type VolumeState = (typeof VOLUME_STATES)[number];

/** A fault of a volume, by its stable id. */
export type ListedFinding = Pick<VolumeDrift, "severity" | "text" | "node" | "remedy"> & {
  readonly id: string;
};

/** One node that a volume is attached to. */
export interface ListedNode {
  readonly node: string;
  /** RFC 3339, UTC. */
  readonly since: string;
  /** CSI access mode, e.g. SINGLE_NODE_WRITER. */
  readonly accessMode: string;
  readonly readonly: boolean;
}

/** A volume as `rds-csi volumes list` shows it; the input of every renderer. */
export interface ListedVolume {
  /** Slot on the RDS and CSI volume handle. */
  readonly handle: string;
  /** The CSI volume name (in Kubernetes `pvc-<uid>`); "" for foreign disks. */
  readonly csiName: string;
  readonly state: VolumeState;
  /** Bytes; 0 when the RDS reports none. */
  readonly sizeBytes: bigint;
  readonly pvc: { readonly namespace: string; readonly name: string } | undefined;
  /** In the order of attaching. */
  readonly nodes: readonly ListedNode[];
  readonly migration:
    | { readonly since: string; readonly timeoutSeconds: number; readonly overdue: boolean }
    | undefined;
  /** RFC 3339, UTC; undefined for foreign disks. */
  readonly createdAt: string | undefined;
  /** NQN of the export; "" when it has none. */
  readonly nqn: string;
  readonly exported: boolean;
  /** Backing file on the RDS. */
  readonly path: string;
  /** The worst first. */
  readonly findings: readonly ListedFinding[];
}

/** Whether somebody should look: a finding that is an error or a warning. */
export function hasProblem({ findings }: Pick<ListedVolume, "findings">): boolean {
  return findings.some(({ severity }) => severity !== "info");
}

/** The claim of a volume as `namespace/name`; undefined without one. */
export function claimOf({ pvc }: Pick<ListedVolume, "pvc">): string | undefined {
  return pvc === undefined ? undefined : `${pvc.namespace}/${pvc.name}`;
}
