import { orchestratorOptions } from "./common-options.ts";
import { many, type OptionTable, optional, required, withDefault } from "./option.ts";
import * as parse from "./parsers.ts";

/** Options that only the node service has. */
export const nodeOnly = {
  nodeId: required("node-id <id>", "CSI node id; in Kubernetes the name of the node", parse.nodeId),
  dataPath: withDefault(
    "data-path <kind>",
    "path to the data: NVMe/TCP, or the image files of a simulator on this machine",
    parse.oneOf("nvme-tcp", "loop"),
    "nvme-tcp",
  ),
  loopExportsDir: optional(
    "loop-exports-dir <path>",
    "directory of the simulator's exports; required with --data-path loop",
    parse.absolutePath,
  ),
  maxConcurrentConnects: withDefault(
    "max-concurrent-connects <count>",
    "most NVMe connects at once on this node; further ones wait",
    parse.integer(1, 64),
    "4",
  ),
  // The controller's own option, in the configuration file that it shares with the nodes.
  nvmeAddress: optional(
    "nvme-address <ip>",
    "only address at which this node connects volumes; any other from controller or Kubernetes is refused",
    parse.ipAddress,
    "any address",
    { expects: "a literal IPv4 or IPv6 address, the same for controller and nodes" },
  ),
  formerNvmeAddress: many(
    "former-nvme-address <ip>",
    "addresses that are allowed besides nvme-address, for attachments from before its change",
    parse.ipAddress,
  ),
  stateDir: withDefault(
    "state-dir <path>",
    "directory for the state of this node",
    parse.absolutePath,
    "/var/lib/rds-csi",
  ),
  removeStartupTaint: withDefault(
    "remove-startup-taint <true|false>",
    "with --orchestrator kubernetes: remove the taint <driver-name>/agent-not-ready from this node once it is ready and kubelet has registered the driver",
    parse.boolean,
    "true",
  ),
  ...orchestratorOptions(
    "none",
    "receiver of events about abnormal volumes: kubernetes (on their claims), or none (log only)",
  ),
} satisfies OptionTable;
