import { orchestratorOptions } from "./common-options.ts";
import { many, type OptionTable, optional, withDefault } from "./option.ts";
import * as parse from "./parsers.ts";

/** Options that only the controller has. */
export const controllerOnly = {
  nvmeAddress: optional(
    { flag: "nvme-address <ip>", description: "address at which nodes reach NVMe/TCP on the RDS" },
    parse.ipAddress,
    "rds-address, if that is a literal IP address",
  ),
  nvmePort: withDefault(
    { flag: "nvme-port <port>", description: "TCP port of the NVMe/TCP exports" },
    "4420",
    parse.port,
  ),
  reserveBytes: withDefault(
    { flag: "reserve-bytes <bytes>", description: "space of each pool that is never given to volumes" },
    "1GiB",
    parse.bytes,
  ),
  fencing: withDefault(
    {
      flag: "fencing <mode>",
      description: "fencing of nodes that have lost their attachment",
      expects: "epoch (a new NQN per attachment), epoch+hosts (and a list of allowed hosts) or off",
    },
    "epoch",
    parse.oneOf("epoch", "epoch+hosts", "off"),
  ),
  onlineExpansion: withDefault(
    {
      flag: "online-expansion <mode>",
      description: "expansion of an attached volume",
      expects:
        "announce (grow it; nodes see the size or rescan), re-export (grow it, then switch its export off for up to 3 s; try it first, as hosts may lose the device) or refuse",
    },
    "announce",
    parse.oneOf("announce", "re-export", "refuse"),
  ),
  ...orchestratorOptions("kubernetes"),
  leaseNamespace: optional(
    {
      flag: "lease-namespace <namespace>",
      description: "namespace of the Lease that lets one replica reconcile, and of the copies of the records",
    },
    parse.matching(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, "1 to 63 lower-case letters, digits and '-'"),
    "the namespace of the pod",
  ),
  podName: optional(
    { flag: "pod-name <name>", description: "name of this replica in Leases and events" },
    parse.matching(
      /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/,
      "1 to 253 lower-case letters, digits, '.' and '-'",
    ),
    "the host name",
  ),
  nodes: many(
    { flag: "nodes <node-id>", description: "node ids that may attach volumes, for --orchestrator none" },
    parse.nodeId,
  ),
} satisfies OptionTable;
