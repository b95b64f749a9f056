import type { DiagnoseConfigValues, RdsConfig } from "../config/load.ts";
import type { NodeSystem } from "../host/system.ts";
import type { Fact } from "../inspect/fact.ts";
import type { Installation } from "../inspect/facts.ts";

/** What the command was told; a copy without secrets goes into the report. */
export interface DiagnoseConfig
  extends Pick<
    DiagnoseConfigValues,
    | "clusterId"
    | "nqnPrefix"
    | "driverName"
    | "dataPath"
    | "endpoint"
    | "kubeletDir"
    | "orchestrator"
    | "kubeconfig"
    | "pool"
  > {
  readonly nodeId: string;
  /** Nobody said it: it is the host's name. */
  readonly nodeIdAssumed: boolean;
  /** Directories of the data path loop; undefined: it is not that one. */
  readonly loop: { readonly exportsDir: string; readonly stateDir: string } | undefined;
  /** Storage addresses that were configured, with the options that named them. */
  readonly storageAddresses: readonly {
    readonly address: string;
    readonly port: number;
    readonly source: string;
  }[];
  /** Nodes have no RDS credentials; then it is not asked. */
  readonly rds: Fact<RdsConfig>;
}

/** The settings that name exports; those that nodes do not have matter for records of version 0.1 only. */
export function installationOf({ clusterId, nqnPrefix }: DiagnoseConfig): Installation {
  return { clusterId, nqnPrefix, nvmePort: 4420, fencing: "epoch" };
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
