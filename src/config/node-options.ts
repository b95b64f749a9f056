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
      description: "path to the data: NVMe/TCP, or the image files of a simulator on this machine",
    },
    "nvme-tcp",
    parse.oneOf("nvme-tcp", "loop"),
  ),
  loopExportsDir: optional(
    {
      flag: "loop-exports-dir <path>",
      description: "directory of the simulator's exports; required with --data-path loop",
    },
    parse.absolutePath,
  ),
  maxConcurrentConnects: withDefault(
    {
      flag: "max-concurrent-connects <count>",
      description: "most NVMe connects at once on this node; further ones wait",
    },
    "4",
    parse.integer(1, 64),
  ),
  // The controller's own option, in the configuration file that it shares with the nodes.
  nvmeAddress: optional(
    {
      flag: "nvme-address <ip>",
      description:
        "only address at which this node connects volumes; any other from controller or Kubernetes is refused",
      expects: "a literal IPv4 or IPv6 address, the same for controller and nodes",
    },
    parse.ipAddress,
    "any address",
  ),
  formerNvmeAddress: many(
    {
      flag: "former-nvme-address <ip>",
      description: "addresses that are allowed besides nvme-address, for attachments from before its change",
    },
    parse.ipAddress,
  ),
  stateDir: withDefault(
    { flag: "state-dir <path>", description: "directory for the state of this node" },
    "/var/lib/rds-csi",
    parse.absolutePath,
  ),
  removeStartupTaint: withDefault(
    {
      flag: "remove-startup-taint <true|false>",
      description:
        "with --orchestrator kubernetes: remove the taint <driver-name>/agent-not-ready from this node once it is ready and kubelet has registered the driver",
    },
    "true",
    parse.boolean,
  ),
  ...orchestratorOptions(
    "none",
    "receiver of events about abnormal volumes: kubernetes (on their claims), or none (log only)",
  ),
} satisfies OptionTable;
