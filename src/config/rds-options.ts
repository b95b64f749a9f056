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
  rdsAddress: required(
    { flag: "rds-address <host[:port]>", description: "SSH address of the RDS" },
    parse.hostPort,
  ),
  rdsPort: optional(
    { flag: "rds-port <port>", description: "SSH port of the RDS, if the address has none" },
    parse.port,
    "22",
  ),
  rdsUser: withDefault(
    {
      flag: "rds-user <user>",
      description: "RouterOS user; its group needs the policies ssh, read, write and test",
    },
    "csi",
    parse.matching(/^[A-Za-z0-9._@][A-Za-z0-9._@+-]{0,63}$/, "1 to 64 letters, digits and any of . _ @ + -"),
  ),
  rdsKeyFile: required(
    {
      flag: "rds-key-file <path>",
      description: "private SSH key of the user (Ed25519 or RSA); read for every connection",
      expects: "the absolute path of an Ed25519 or RSA key in OpenSSH, PEM or PKCS#8 form",
    },
    parse.absolutePath,
  ),
  rdsKeyPassphraseFile: optional(
    { flag: "rds-key-passphrase-file <path>", description: "file with the passphrase of the private key" },
    parse.absolutePath,
  ),
  rdsHostKey: many(
    {
      flag: "rds-host-key <pin>",
      description: "SSH host key of the RDS; several prepare a change of the key",
      split: splitPins,
    },
    described("SHA256:… (43 characters), a line 'ssh-ed25519 AAAA…' or a known_hosts line", (text) => {
      const pin = parseHostKeyPin(text);
      return typeof pin === "string" ? bad(pin) : good(pin);
    }),
  ),
  rdsHostKeyFile: optional(
    {
      flag: "rds-host-key-file <path>",
      description: "file with SSH host keys of the RDS, one per line; read at start",
      expects: "the absolute path of a file in known_hosts form",
    },
    parse.absolutePath,
  ),
  pool: withDefault(
    {
      flag: "pool <slot>",
      description: "slot of the disk, RAID or Btrfs pool for volumes whose StorageClass names none",
    },
    "storage-pool",
    parse.slot,
  ),
  directory: withDefault(
    { flag: "directory <folder>", description: "folder of the volumes below the pool's mount point" },
    "csi",
    parse.folder,
  ),
} satisfies OptionTable;
