import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";

/** Host key types that RouterOS has (`/ip/ssh host-key-type`). */
export const HOST_KEY_TYPES = ["ssh-ed25519", "ssh-rsa"] as const;
export type HostKeyType = (typeof HOST_KEY_TYPES)[number];

/** One host key that the RDS may show. */
export interface HostKeyPin {
  /** `SHA256:` and the unpadded base64 of the SHA-256 of the key blob, as `ssh-keygen -l` prints it. */
  readonly fingerprint: string;
  /** Known if the pin was a whole key, unknown if it was a fingerprint. */
  readonly type: HostKeyType | undefined;
}

/** `SHA256:…` of a public key blob (RFC 4253, 6.6), in the form of `ssh-keygen -l`. */
export function fingerprintOf(blob: Uint8Array): string {
  return `SHA256:${createHash("sha256").update(blob).digest("base64").replace(/=+$/, "")}`;
}

/** The key type that a public key blob names in its first field, or undefined if the blob is malformed. */
function typeOfBlob(blob: Buffer): string | undefined {
  if (blob.length < 5) return undefined;
  const length = blob.readUInt32BE(0);
  return length > 0 && length <= 64 && 4 + length < blob.length
    ? blob.toString("latin1", 4, 4 + length)
    : undefined;
}

/** Key types of OpenSSH that RouterOS does not have. */
const OTHER_KEY_TYPES =
  /^(?:ssh-dss|ecdsa-sha2-nistp\d{3}|sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com|ssh-[a-z\d]{1,7}-cert-v01@openssh\.com)$/;

/**
 * Reads one pin: a fingerprint (`SHA256:…`), a public key (`ssh-ed25519 AAAA… [comment]`) or a known_hosts line
 * (`host ssh-rsa AAAA…`, also hashed; its host part is not compared, as the pin is for this RDS only).
 * @returns the pin, or the mistake of the text as a phrase ("is …")
 */
export function parseHostKeyPin(text: string): HostKeyPin | string {
  const words = text.trim().split(/\s+/);
  const first = words[0] ?? "";
  if (first === "") return "is empty";
  if (first.startsWith("@")) {
    const marker = ["@cert-authority", "@revoked"].find((known) => known === first) ?? "@…";
    return `has the marker ${marker}, which is not supported`;
  }
  if (/^SHA256:/i.test(first)) {
    const digest = first.slice(7).replace(/=+$/, "");
    if (words.length > 1 || !/^[A-Za-z0-9+/]{43}$/.test(digest)) {
      return "is not a fingerprint: SHA256: must be followed by 43 base64 characters";
    }
    return { fingerprint: `SHA256:${digest}`, type: undefined };
  }
  if (/^(MD5:|([0-9a-f]{2}:){15})/i.test(first)) {
    return "is an MD5 fingerprint; use the SHA256 one (ssh-keyscan HOST | ssh-keygen -lf -)";
  }
  const at = words.findIndex((word) => /^(ssh-|ecdsa-|sk-)/.test(word));
  if (at < 0 || at > 1) return "is neither SHA256:…, nor a public key, nor a known_hosts line";
  const type = HOST_KEY_TYPES.find((known) => known === words[at]);
  // Other words are not shown: the text may be a secret that was put in place of a key.
  const shown = OTHER_KEY_TYPES.test(words[at] ?? "") ? `the key type ${words[at]}` : "an unknown key type";
  if (type === undefined) return `has ${shown}; RouterOS host keys are ssh-ed25519 or ssh-rsa`;
  const encoded = words[at + 1] ?? "";
  const blob = Buffer.from(encoded, "base64");
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(encoded) || typeOfBlob(blob) !== type) {
    return `is not a complete ${type} public key`;
  }
  return { fingerprint: fingerprintOf(blob), type };
}

/**
 * Reads a file of pins, one per line; empty lines and lines that start with `#` are skipped.
 * @returns the pins and the mistakes, each with its line number
 */
export function parseHostKeyFile(text: string): { pins: HostKeyPin[]; mistakes: string[] } {
  const pins: HostKeyPin[] = [];
  const mistakes: string[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "" || line.trimStart().startsWith("#")) continue;
    const pin = parseHostKeyPin(line);
    if (typeof pin === "string") mistakes.push(`line ${index + 1} ${pin}`);
    else pins.push(pin);
  }
  return { pins, mistakes };
}

/** The host keys that the RDS may show. */
export interface HostKeySources {
  /** Pins that are fixed. */
  readonly hostKeys: readonly HostKeyPin[];
  /** A file with further ones. */
  readonly hostKeyFile?: string | undefined;
}

/**
 * The pins that count now. Called for every new connection, so a key that is put into the file, or taken out of it, counts from then on.
 * @throws HostKeyFileError naming the file and each line that is no pin
 */
export async function readHostKeys({
  hostKeys,
  hostKeyFile,
}: HostKeySources): Promise<readonly HostKeyPin[]> {
  if (hostKeyFile === undefined) return hostKeys;
  let text: string;
  try {
    text = await readFile(hostKeyFile, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new HostKeyFileError(`host key file ${hostKeyFile} cannot be read (${code})`, error);
  }
  const { pins, mistakes } = parseHostKeyFile(text);
  if (mistakes.length > 0) throw new HostKeyFileError(`host key file ${hostKeyFile}: ${mistakes.join("; ")}`);
  return [...hostKeys, ...pins];
}

/** A file of pins that cannot be used. */
export class HostKeyFileError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "HostKeyFileError";
  }
}

const ALGORITHMS = {
  "ssh-ed25519": ["ssh-ed25519"],
  "ssh-rsa": ["rsa-sha2-512", "rsa-sha2-256"],
} as const;

export type HostKeyAlgorithm = (typeof ALGORITHMS)[HostKeyType][number];

/**
 * The host key algorithms to offer: those of the pinned key types if every pin tells its type, else all. So a
 * server with several host keys shows the one that is pinned. SHA-1 (`ssh-rsa`) is never offered.
 */
export function hostKeyAlgorithms(pins: readonly HostKeyPin[]): HostKeyAlgorithm[] {
  const types = new Set(pins.map((pin) => pin.type));
  const all = types.size === 0 || types.has(undefined);
  return HOST_KEY_TYPES.filter((type) => all || types.has(type)).flatMap((type) => [...ALGORITHMS[type]]);
}

/** Whether the shown key is pinned. An empty list pins nothing: fail closed. */
export function isPinned(pins: readonly HostKeyPin[], blob: Uint8Array): boolean {
  const shown = fingerprintOf(blob);
  return pins.some((pin) => pin.fingerprint === shown);
}
