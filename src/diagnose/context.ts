import type { RdsConfig } from "../config/load.ts";
import type { NodeSystem } from "../host/system.ts";
import type { Known } from "./known.ts";

/** What the command was told; a copy without secrets goes into the report. */
export interface DiagnoseConfig {
  readonly nodeId: string;
  /** Nobody said it: it is the host's name. */
  readonly nodeIdAssumed: boolean;
  /** undefined: it is not configured, and the cluster did not say it. */
  readonly clusterId: string | undefined;
  readonly nqnPrefix: string;
  readonly driverName: string;
  readonly dataPath: "nvme-tcp" | "loop";
  /** Directories of the data path loop; undefined: it is not that one. */
  readonly loop: { readonly exportsDir: string; readonly stateDir: string } | undefined;
  /** Path of the plugin's socket. */
  readonly endpoint: string;
  readonly kubeletDir: string;
  readonly orchestrator: "kubernetes" | "none";
  readonly kubeconfig: string | undefined;
  /** Storage addresses that were configured, with the options that named them. */
  readonly storageAddresses: readonly {
    readonly address: string;
    readonly port: number;
    readonly source: string;
  }[];
  /** Nodes have no RDS credentials; then it is not asked. */
  readonly rds: Known<RdsConfig>;
  /** Slot of the pool for volumes whose StorageClass names none. */
  readonly pool: string;
}

/** What a probe works with. */
export interface DiagnoseContext {
  readonly system: NodeSystem;
  readonly config: DiagnoseConfig;
  /** `/dev` */
  readonly devRoot: string;
  /** `/etc/nvme` of the host, the first that exists. */
  readonly etcNvme: readonly string[];
  /** Where programs are looked for. */
  readonly toolPath: readonly string[];
}
