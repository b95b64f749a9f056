import { isIP } from "node:net";
import { clusterOptions, driverName, quietLogOptions, serviceOptions } from "./common-options.ts";
import { controllerOnly } from "./controller-options.ts";
import { nodeOnly } from "./node-options.ts";
import { type OptionDefinition, type OptionTable, optional, parser, withDefault } from "./option.ts";
import * as parse from "./parsers.ts";
import { rdsOptions } from "./rds-options.ts";

/** The same option where nothing depends on it. */
function mayMiss<T>(option: OptionDefinition<T>, shownDefault?: string): OptionDefinition<T | undefined> {
  return {
    ...option,
    required: false,
    defaultText: option.defaultText ?? shownDefault,
    read: (texts) => (texts === undefined && option.required ? { value: undefined } : option.read(texts)),
  };
}

const storageAddress = parser("an IPv4 or IPv6 address, with a port if it is not 4420", (text) => {
  const found = parse.hostPort(text);
  if (!("value" in found) || isIP(found.value.host) === 0) return undefined;
  return { address: found.value.host, port: found.value.port ?? 4_420 };
});

const { nodeId, dataPath, loopExportsDir, stateDir, orchestrator, kubeconfig } = nodeOnly;
const { rdsAddress, rdsKeyFile, ...otherRds } = rdsOptions;

/** Options of `rds-csi diagnose`: those of the node, and those of the RDS if it is to be asked too. */
export const diagnoseOptions = {
  endpoint: serviceOptions.endpoint,
  driverName,
  ...clusterOptions,
  nodeId: mayMiss(nodeId, "the host's name"),
  dataPath,
  loopExportsDir,
  stateDir,
  orchestrator,
  kubeconfig,
  kubeletDir: withDefault(
    "kubelet-dir <path>",
    "kubelet's directory on this node, its root-dir",
    parse.absolutePath,
    "/var/lib/kubelet",
  ),
  storageAddress: optional(
    "storage-address <ip[:port]>",
    "NVMe/TCP address to test, besides nvme-address and those of connections and VolumeAttachments",
    storageAddress,
  ),
  // Of the controller, in the configuration file that it shares with the nodes.
  nvmeAddress: { ...controllerOnly.nvmeAddress, defaultText: "none" },
  nvmePort: controllerOnly.nvmePort,
  rdsAddress: mayMiss(rdsAddress, "the RDS is not asked"),
  rdsKeyFile: mayMiss(rdsKeyFile, "the RDS is not asked"),
  ...otherRds,
  ...quietLogOptions,
} satisfies OptionTable;
