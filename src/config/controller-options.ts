import { orchestratorOptions } from "./common-options.ts";
import { many, type OptionTable, optional, withDefault } from "./option.ts";
import * as parse from "./parsers.ts";

/** Options that only the controller has. */
export const controllerOnly = {
  nvmeAddress: optional(
    "nvme-address <ip>",
    "address at which nodes reach NVMe/TCP on the RDS",
    parse.ipAddress,
    "rds-address, if that is a literal IP address",
  ),
  nvmePort: withDefault("nvme-port <port>", "TCP port of the NVMe/TCP exports", parse.port, "4420"),
  reserveBytes: withDefault(
    "reserve-bytes <bytes>",
    "space of each pool that is never given to volumes",
    parse.bytes,
    "1GiB",
  ),
  fencing: withDefault(
    "fencing <mode>",
    "fencing of nodes that have lost their attachment",
    parse.oneOf("epoch", "epoch+hosts", "off"),
    "epoch",
    { expects: "epoch (a new NQN per attachment), epoch+hosts (and a list of allowed hosts) or off" },
  ),
  onlineExpansion: withDefault(
    "online-expansion <mode>",
    "expansion of an attached volume",
    parse.oneOf("announce", "re-export", "refuse"),
    "announce",
    {
      expects:
        "announce (grow it; nodes see the size or rescan), re-export (grow it, then switch its export off for up to 3 s; try it first, as hosts may lose the device) or refuse",
    },
  ),
  deviceProfile: optional(
    "device-profile <path>",
    "answers of this RDS to `rds-csi probe --save`; features that they rule out are refused",
    parse.absolutePath,
  ),
  ...orchestratorOptions("kubernetes"),
  leaseNamespace: optional(
    "lease-namespace <namespace>",
    "namespace of the Lease that lets one replica reconcile, and of the copies of the records",
    parse.matching(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, "1 to 63 lower-case letters, digits and '-'"),
    "the namespace of the pod",
  ),
  podName: optional(
    "pod-name <name>",
    "name of this replica in Leases and events",
    parse.matching(
      /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/,
      "1 to 253 lower-case letters, digits, '.' and '-'",
    ),
    "the host name",
  ),
  nodes: many("nodes <node-id>", "node ids that may attach volumes, for --orchestrator none", parse.nodeId),
} satisfies OptionTable;
