import { logOptions } from "../config/common-options.ts";
import {
  bad,
  described,
  good,
  many,
  type OptionTable,
  optional,
  type Parsed,
  parser,
  required,
  type ValuesOf,
  withDefault,
} from "../config/option.ts";
import * as parse from "../config/parsers.ts";
import { SimulatorError } from "./errors.ts";
import { PROFILES, type ProfileName } from "./profiles.ts";
import { parseSimulatorSwitch, type Switches } from "./switches.ts";

/** A pool of the simulated RDS. Size in bytes. */
export interface SimulatedPool {
  readonly slot: string;
  readonly fs: "btrfs" | "xfs" | "ext4";
  readonly size: bigint;
}

const profileNames = Object.keys(PROFILES) as ProfileName[];

/** `slot`, `slot:fs` or `slot:fs:size`. */
function pool(text: string): Parsed<SimulatedPool> {
  const [slot = "", fs = "btrfs", size = "1TiB", ...rest] = text.split(":");
  const filesystem = parse.oneOf("btrfs", "xfs", "ext4")(fs);
  const bytes = parse.bytes(size);
  if (rest.length > 0 || !("value" in parse.slot(slot))) return bad("is not slot[:fs[:size]]");
  if (!("value" in filesystem)) return filesystem;
  if (!("value" in bytes)) return bytes;
  return bytes.value >= 16n << 20n
    ? good({ slot, fs: filesystem.value, size: bytes.value })
    : bad("is smaller than 16 MiB");
}

function switchValue(text: string): Parsed<Partial<Switches>> {
  try {
    return good(parseSimulatorSwitch(text));
  } catch (error) {
    if (error instanceof SimulatorError) return bad(`is refused: ${error.message}`);
    throw error;
  }
}

/** Options of `rds-csi simulate`. */
export const simulateOptions = {
  listen: withDefault(
    "listen <host:port>",
    "SSH address of the simulated RDS; port 0: a free port",
    parser("an IP address and a port, e.g. 127.0.0.1:2222", (text) => {
      const found = /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9A-Za-z.-]+)):(\d{1,5})$/.exec(text);
      const port = Number(found?.[3]);
      return found === null || port > 65_535 ? undefined : { host: found[1] ?? found[2] ?? "", port };
    }),
    "127.0.0.1:2222",
  ),
  dir: required(
    "dir <path>",
    "directory of the simulated device: state, host key, images and exports",
    parse.absolutePath,
  ),
  backend: withDefault(
    "backend <kind>",
    "place of image files: memory, or sparse files below the directory; nvmet also exports the files through this machine's kernel",
    parse.oneOf("memory", "files", "nvmet"),
    "files",
  ),
  nvmetAddress: withDefault(
    "nvmet-address <ip>",
    "listen address of the backend nvmet; each disk has its own TCP port",
    parse.ipAddress,
    "0.0.0.0",
    { expects: "an IPv4 or IPv6 address of this machine's initial network namespace, 0.0.0.0 or ::" },
  ),
  profile: withDefault("profile <name>", "RouterOS to simulate", parse.oneOf(...profileNames), "current"),
  profileFile: optional(
    "profile-file <path>",
    "behaves as an RDS that `rds-csi probe --save` has asked, over the profile",
    parse.absolutePath,
  ),
  switches: many(
    "switch <name=value>",
    "changes one behaviour of the profile",
    described("name=value; docs/simulator.md lists them", switchValue),
    {
      // Values are texts that may hold commas.
      split: (text) => text.split("\n").filter((part) => part.trim() !== ""),
    },
  ),
  pools: many(
    "pool <slot[:fs[:size]]>",
    "pool of the simulated device",
    described(
      "a slot, then btrfs, xfs or ext4, then a size of at least 16MiB, e.g. storage-pool:btrfs:1TiB",
      pool,
    ),
    { defaultText: "storage-pool:btrfs:1TiB" },
  ),
  user: withDefault(
    "user <user>",
    "RouterOS user that may log in",
    parse.matching(/^[A-Za-z0-9._@][A-Za-z0-9._@-]{0,63}$/, "1 to 64 letters, digits and any of . _ @ -"),
    "csi",
  ),
  authorizedKeysFile: required(
    "authorized-keys-file <path>",
    "public keys of that user, one per line",
    parse.absolutePath,
    { expects: "the absolute path of a file of lines 'ssh-ed25519 AAAA…' or 'ssh-rsa AAAA…'" },
  ),
  hostKeyFile: optional(
    "host-key-file <path>",
    "file for the public host key, as --rds-host-key-file takes it",
    parse.absolutePath,
  ),
  readyFile: optional(
    "ready-file <path>",
    "file that gets the address once SSH is answered",
    parse.absolutePath,
  ),
  latencyMs: withDefault(
    "latency-ms <ms>",
    "delay of every command in milliseconds",
    parse.integer(0, 60_000),
    "0",
  ),
  commandLog: optional(
    "command-log <path>",
    "file that gets every command as a line of JSON",
    parse.absolutePath,
  ),
  controlSocket: optional(
    "control-socket <path>",
    "unix socket through which tests inject faults",
    parse.absolutePath,
    undefined,
    { expects: "an absolute path of at most 107 bytes" },
  ),
  ...logOptions,
} satisfies OptionTable;

export type SimulateConfig = ValuesOf<typeof simulateOptions>;
