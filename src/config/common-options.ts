import { type OptionTable, optional, withDefault } from "./option.ts";
import * as parse from "./parsers.ts";

const logFormat = withDefault(
  "log-format <format>",
  "form of the log on standard error",
  parse.oneOf("json", "text"),
  "text",
);

const logLevel = (defaultLevel: "info" | "error") =>
  withDefault(
    "log-level <level>",
    "least severe level that is logged; debug adds RouterOS commands and stacks",
    parse.oneOf("debug", "info", "warn", "error"),
    defaultLevel,
  );

/** Options of everything that runs for long. */
export const logOptions = { logLevel: logLevel("info"), logFormat } satisfies OptionTable;

/** The same for commands that a person waits for: their errors are printed anyway. */
export const quietLogOptions = { logLevel: logLevel("error"), logFormat } satisfies OptionTable;

export const DEFAULT_DRIVER_NAME = "rds.csi.srvlab.io";

/** Also says whose PersistentVolumes and VolumeAttachments are looked at. */
export const driverName = withDefault(
  "driver-name <name>",
  "CSI driver name; PersistentVolumes refer to it, so it is never changed later",
  parse.driverName,
  DEFAULT_DRIVER_NAME,
);

/** Options of both CSI services. */
export const serviceOptions = {
  endpoint: withDefault(
    "endpoint <socket>",
    "unix socket of the CSI services",
    parse.endpoint,
    "unix:///csi/csi.sock",
    { envAliases: ["CSI_ENDPOINT"] },
  ),
  driverName,
  metricsAddress: withDefault(
    "metrics-address <address>",
    "address of /metrics, /healthz and /readyz; empty or off: they are not served",
    parse.metricsAddress,
    "",
  ),
  shutdownTimeoutSeconds: withDefault(
    "shutdown-timeout-seconds <seconds>",
    "time for running calls after SIGTERM; then they are aborted",
    parse.integer(1, 600),
    "25",
    { expects: "a whole number of seconds from 1 to 600, below terminationGracePeriodSeconds" },
  ),
} satisfies OptionTable;

/** Options that are equal for controller, nodes and tools of one installation. */
export const clusterOptions = {
  clusterId: optional(
    "cluster-id <id>",
    "name of this installation, never changed later; volumes of other installations on the same RDS are left alone",
    parse.matching(
      /^[A-Za-z0-9._-]{1,63}$/,
      "1 to 63 letters, digits, '.', '_' and '-', the same for controller and nodes",
    ),
    "with --orchestrator kubernetes the UID of the namespace kube-system, else default",
  ),
  nqnPrefix: withDefault(
    "nqn-prefix <nqn>",
    "start of the NQN of every export; the node touches no other NVMe subsystem",
    parse.nqnPrefix,
    "nqn.2000-02.com.mikrotik",
    { expects: "nqn.yyyy-mm.reversed.domain, at most 128 characters, the same for controller and nodes" },
  ),
} satisfies OptionTable;

/** Further options that are equal for controller and nodes. */
export const limitOptions = {
  healthDialect: withDefault(
    "health-dialect <dialect>",
    "CSI version whose way of telling the health of volumes is offered: VolumeCondition, or the VolumeHealth RPCs",
    parse.oneOf("csi-1.12", "csi-1.13", "both"),
    "csi-1.12",
    { expects: "csi-1.12 (Kubernetes to 1.36), csi-1.13 or both" },
  ),
  maxVolumesPerNode: withDefault(
    "max-volumes-per-node <count>",
    "most volumes on one node; nodes report the number, the controller refuses more; 0: no limit",
    parse.integer(0, 4_096),
    "0",
    { expects: "a whole number from 0 to 4096, the same for controller and nodes" },
  ),
} satisfies OptionTable;

/** The cluster of the volumes. @param fallback the default */
export const orchestratorOptions = (
  fallback: "kubernetes" | "none",
  description = "source of nodes and workloads: kubernetes, or none (nodes by --nodes; the migration guard is off)",
) =>
  ({
    orchestrator: withDefault(
      "orchestrator <name>",
      description,
      parse.oneOf("kubernetes", "none"),
      fallback,
    ),
    kubeconfig: optional(
      "kubeconfig <path>",
      "access to the Kubernetes API from outside the cluster",
      parse.absolutePath,
      "the service account of the pod",
      { expects: "the absolute path of a kubeconfig file" },
    ),
  }) satisfies OptionTable;
