import type { DeviceScan } from "../host/helper-answers.ts";
import type { Fact } from "../inspect/fact.ts";
import type { DiagnoseConfig } from "./context.ts";
import type { AnswerFacts } from "./probes/answering.ts";
import type { ClusterAnswer } from "./probes/cluster.ts";
import type { ConnectionFacts } from "./probes/connections.ts";
import type { HungTask } from "./probes/hung-tasks.ts";
import type { KernelMessage } from "./probes/kernel-log.ts";
import type { AccessFacts, IdentityFacts, KernelFacts, ToolFacts } from "./probes/machine.ts";
import type { MountFacts } from "./probes/mounts.ts";
import type { KubeletFacts, PluginFacts } from "./probes/plugin.ts";
import type { RdsAnswer } from "./probes/rds.ts";
import type { StorageFacts } from "./probes/storage.ts";

/** Everything that was asked, each with its answer. */
export interface Facts {
  readonly kernel: Fact<KernelFacts>;
  readonly tools: Fact<readonly ToolFacts[]>;
  readonly access: Fact<AccessFacts>;
  readonly identity: Fact<IdentityFacts>;
  readonly connections: Fact<readonly ConnectionFacts[]>;
  readonly mounts: Fact<MountFacts>;
  readonly kernelLog: Fact<readonly KernelMessage[]>;
  readonly plugin: Fact<PluginFacts>;
  readonly kubelet: Fact<KubeletFacts>;
  readonly cluster: Fact<ClusterAnswer>;
  readonly rds: Fact<RdsAnswer>;
  readonly storage: Fact<readonly StorageFacts[]>;
  readonly users: Fact<DeviceScan>;
  readonly hungTasks: Fact<readonly HungTask[]>;
  readonly answering: Fact<readonly AnswerFacts[]>;
}

export type CheckId = keyof Facts;

/** What each check looks at, for people; in the order in which they are shown. */
export const CHECK_TITLES: Readonly<Record<CheckId, string>> = {
  kernel: "kernel and NVMe modules",
  tools: "programs and their versions",
  access: "rights of this process",
  identity: "host NQN and host ID",
  connections: "NVMe connections",
  mounts: "mounts and kubelet's records",
  kernelLog: "messages of the kernel",
  plugin: "the node plugin",
  kubelet: "registration at kubelet",
  cluster: "Kubernetes",
  rds: "the RDS",
  storage: "way to the storage address",
  users: "users of the devices",
  hungTasks: "hung processes",
  answering: "whether filesystems answer",
};

/** The facts, and for whom. */
export interface Gathered {
  readonly config: DiagnoseConfig;
  readonly facts: Facts;
  /** How long each check took, milliseconds. */
  readonly took: Readonly<Record<CheckId, number>>;
}
