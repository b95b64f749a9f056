import { bad, many, type OptionTable, optional, withDefault } from "./option.ts";
import * as parse from "./parsers.ts";

/** Options that only the controller has. */
export const controllerOnly = {
  nvmeAddress: optional(
    {
      name: "nvme-address",
      placeholder: "<ip>",
      description: "address at which nodes reach NVMe/TCP on the RDS",
      expects: "a literal IPv4 or IPv6 address",
    },
    parse.ipAddress,
    "rds-address, if that is a literal IP address",
  ),
  nvmePort: withDefault(
    {
      name: "nvme-port",
      placeholder: "<port>",
      description: "TCP port of the NVMe/TCP exports",
      expects: "1 to 65535",
    },
    "4420",
    parse.port,
  ),
  reserveBytes: withDefault(
    {
      name: "reserve-bytes",
      placeholder: "<bytes>",
      description: "space of each pool that is never given to volumes",
      expects: "a number of bytes, also with Ki, Mi, Gi or Ti",
    },
    "1GiB",
    parse.bytes,
  ),
  fencing: withDefault(
    {
      name: "fencing",
      placeholder: "<mode>",
      description: "how a node that lost its attachment is kept from writing",
      expects: "epoch (a new NQN per attachment), epoch+hosts (and a list of allowed hosts) or off",
    },
    "epoch",
    parse.oneOf("epoch", "epoch+hosts", "off"),
  ),
  orchestrator: withDefault(
    {
      name: "orchestrator",
      placeholder: "<name>",
      description: "who knows the nodes; this version supports none only, with the nodes listed by --nodes",
      expects: "none",
    },
    "none",
    (text) =>
      text === "kubernetes"
        ? bad("is kubernetes, which this version does not support yet")
        : parse.oneOf("none")(text),
  ),
  nodes: many(
    {
      name: "nodes",
      placeholder: "<node-id>",
      description: "node ids that may attach volumes",
      expects: parse.NODE_ID,
    },
    parse.nodeId,
  ),
} satisfies OptionTable;
