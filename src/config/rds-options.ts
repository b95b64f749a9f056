import { parseHostKeyPin } from "../routeros/transport/host-keys.ts";
import { bad, described, good, many, type OptionTable, optional, required, withDefault } from "./option.ts";
import * as parse from "./parsers.ts";

/** Splits at line breaks, and at commas between pins: known_hosts lines hold commas themselves. */
const splitPins = (text: string): readonly string[] =>
  text
    .split(/\r?\n|,(?=\s*(?:SHA256:|ssh-|ecdsa-|@))|(?<=SHA256:[A-Za-z0-9+/]{43}=?),/i)
    .map((part) => part.trim())
    .filter((part) => part !== "");

/** How to reach the RDS over SSH, and where volumes are on it. */
export const rdsOptions = {
  rdsAddress: required("rds-address <host[:port]>", "SSH address of the RDS", parse.hostPort),
  rdsPort: optional("rds-port <port>", "SSH port of the RDS, if the address has none", parse.port, "22"),
  rdsUser: withDefault(
    "rds-user <user>",
    "RouterOS user; its group needs the policies ssh, read, write and test",
    parse.matching(/^[A-Za-z0-9._@][A-Za-z0-9._@+-]{0,63}$/, "1 to 64 letters, digits and any of . _ @ + -"),
    "csi",
  ),
  rdsKeyFile: required(
    "rds-key-file <path>",
    "private SSH key of the user (Ed25519 or RSA); read for every connection",
    parse.absolutePath,
    { expects: "the absolute path of an Ed25519 or RSA key in OpenSSH, PEM or PKCS#8 form" },
  ),
  rdsKeyPassphraseFile: optional(
    "rds-key-passphrase-file <path>",
    "file with the passphrase of the private key",
    parse.absolutePath,
  ),
  rdsHostKey: many(
    "rds-host-key <pin>",
    "SSH host key of the RDS; several prepare a change of the key",
    described("SHA256:… (43 characters), a line 'ssh-ed25519 AAAA…' or a known_hosts line", (text) => {
      const pin = parseHostKeyPin(text);
      return typeof pin === "string" ? bad(pin) : good(pin);
    }),
    { split: splitPins },
  ),
  rdsHostKeyFile: optional(
    "rds-host-key-file <path>",
    "file with SSH host keys of the RDS, one per line; read for each connection",
    parse.absolutePath,
    undefined,
    { expects: "the absolute path of a file in known_hosts form" },
  ),
  rdsChannels: withDefault(
    "rds-channels <n>",
    "commands that each SSH connection to the RDS may run at once; fewer where the RDS allows fewer",
    parse.integer(1, 8),
    "8",
  ),
  pool: withDefault(
    "pool <slot>",
    "slot of the disk, RAID or Btrfs pool for volumes whose StorageClass names none",
    parse.slot,
    "storage-pool",
  ),
  directory: withDefault(
    "directory <folder>",
    "folder of the volumes below the pool's mount point",
    parse.folder,
    "csi",
  ),
} satisfies OptionTable;
