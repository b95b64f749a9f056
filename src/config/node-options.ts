import { orchestratorOptions } from "./common-options.ts";
import { many, type OptionTable, optional, required, withDefault } from "./option.ts";
import * as parse from "./parsers.ts";

/** Options that only the node service has. */
export const nodeOnly = {
  nodeId: required(
    { flag: "node-id <id>", description: "CSI node id; in Kubernetes the name of the node" },
    parse.nodeId,
  ),
  dataPath: withDefault(
    {
      flag: "data-path <kind>",
      description: "how volumes are reached: NVMe/TCP, or the image files of a simulator on this machine",
    },
    "nvme-tcp",
    parse.oneOf("nvme-tcp", "loop"),
  ),
  loopExportsDir: optional(
    {
      flag: "loop-exports-dir <path>",
      description: "where the simulator writes its exports; only for --data-path loop, which needs it",
    },
    parse.absolutePath,
  ),
  maxConcurrentConnects: withDefault(
    {
      flag: "max-concurrent-connects <count>",
      description: "most NVMe connects that this node runs at once; the others wait for their turn",
    },
    "4",
    parse.integer(1, 64),
  ),
  // The controller's own option, in the configuration file that it shares with the nodes.
  nvmeAddress: optional(
    {
      flag: "nvme-address <ip>",
      description:
        "the only address that a volume may be connected at, whatever the controller or Kubernetes says",
      expects: "a literal IPv4 or IPv6 address, the same for controller and nodes",
    },
    parse.ipAddress,
    "any address",
  ),
  formerNvmeAddress: many(
    {
      flag: "former-nvme-address <ip>",
      description: "addresses that count besides nvme-address, for attachments made before it was changed",
    },
    parse.ipAddress,
  ),
  stateDir: withDefault(
    { flag: "state-dir <path>", description: "this node's own directory" },
    "/var/lib/rds-csi",
    parse.absolutePath,
  ),
  removeStartupTaint: withDefault(
    {
      flag: "remove-startup-taint <true|false>",
      description:
        "with --orchestrator kubernetes: whether the taint <driver-name>/agent-not-ready is removed from this node once it is ready and kubelet has registered the driver",
    },
    "true",
    parse.boolean,
  ),
  ...orchestratorOptions(
    "none",
    "where events about abnormal volumes go: to their claims in kubernetes, or none (only into the log)",
  ),
} satisfies OptionTable;
