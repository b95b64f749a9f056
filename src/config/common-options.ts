import { type OptionTable, optional, withDefault } from "./option.ts";
import * as parse from "./parsers.ts";

const logFormat = withDefault(
  { flag: "log-format <format>", description: "form of the log on standard error" },
  "text",
  parse.oneOf("json", "text"),
);

const logLevel = (defaultLevel: "info" | "error") =>
  withDefault(
    {
      flag: "log-level <level>",
      description: "least severe level that is logged; debug adds RouterOS commands and stacks",
    },
    defaultLevel,
    parse.oneOf("debug", "info", "warn", "error"),
  );

/** Options of everything that runs for long. */
export const logOptions = { logLevel: logLevel("info"), logFormat } satisfies OptionTable;

/** The same for commands that a person waits for: their errors are printed anyway. */
export const quietLogOptions = { logLevel: logLevel("error"), logFormat } satisfies OptionTable;

export const DEFAULT_DRIVER_NAME = "rds.csi.srvlab.io";

/** Also says whose PersistentVolumes and VolumeAttachments are looked at. */
export const driverName = withDefault(
  {
    flag: "driver-name <name>",
    description: "CSI driver name; PersistentVolumes refer to it, so it is never changed later",
  },
  DEFAULT_DRIVER_NAME,
  parse.driverName,
);

/** Options of both CSI services. */
export const serviceOptions = {
  endpoint: withDefault(
    {
      flag: "endpoint <socket>",
      description: "unix socket of the CSI services",
      envAliases: ["CSI_ENDPOINT"],
    },
    "unix:///csi/csi.sock",
    parse.endpoint,
  ),
  driverName,
  metricsAddress: withDefault(
    {
      flag: "metrics-address <address>",
      description: "address of /metrics, /healthz and /readyz; empty or off: they are not served",
    },
    "",
    parse.metricsAddress,
  ),
  shutdownTimeoutSeconds: withDefault(
    {
      flag: "shutdown-timeout-seconds <seconds>",
      description: "time for running calls after SIGTERM; then they are aborted",
      expects: "a whole number of seconds from 1 to 600, below terminationGracePeriodSeconds",
    },
    "25",
    parse.integer(1, 600),
  ),
} satisfies OptionTable;

/** Options that are equal for controller, nodes and tools of one installation. */
export const clusterOptions = {
  clusterId: optional(
    {
      flag: "cluster-id <id>",
      description:
        "name of this installation, never changed later; volumes of other installations on the same RDS are left alone",
    },
    parse.matching(
      /^[A-Za-z0-9._-]{1,63}$/,
      "1 to 63 letters, digits, '.', '_' and '-', the same for controller and nodes",
    ),
    "with --orchestrator kubernetes the UID of the namespace kube-system, else default",
  ),
  nqnPrefix: withDefault(
    {
      flag: "nqn-prefix <nqn>",
      description: "start of the NQN of every export; the node touches no other NVMe subsystem",
      expects: "nqn.yyyy-mm.reversed.domain, at most 128 characters, the same for controller and nodes",
    },
    "nqn.2000-02.com.mikrotik",
    parse.nqnPrefix,
  ),
} satisfies OptionTable;

/** Further options that are equal for controller and nodes. */
export const limitOptions = {
  maxVolumesPerNode: withDefault(
    {
      flag: "max-volumes-per-node <count>",
      description:
        "most volumes on one node; nodes report the number, the controller refuses more; 0: no limit",
      expects: "a whole number from 0 to 4096, the same for controller and nodes",
    },
    "0",
    parse.integer(0, 4_096),
  ),
} satisfies OptionTable;

/** The cluster of the volumes. @param fallback the default */
export const orchestratorOptions = (
  fallback: "kubernetes" | "none",
  description = "source of nodes and workloads: kubernetes, or none (nodes by --nodes; the migration guard is off)",
) =>
  ({
    orchestrator: withDefault(
      {
        flag: "orchestrator <name>",
        description,
      },
      fallback,
      parse.oneOf("kubernetes", "none"),
    ),
    kubeconfig: optional(
      {
        flag: "kubeconfig <path>",
        description: "access to the Kubernetes API from outside the cluster",
        expects: "the absolute path of a kubeconfig file",
      },
      parse.absolutePath,
      "the service account of the pod",
    ),
  }) satisfies OptionTable;
