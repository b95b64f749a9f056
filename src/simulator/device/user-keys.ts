import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import ssh2 from "ssh2";
import { RunFailure } from "../errors.ts";

/** A public key as /user/ssh-keys shows it. */
export interface KeyFacts {
  readonly type: string;
  readonly bits: number;
  /** `SHA256:...`, as OpenSSH prints it. */
  readonly fingerprint: string;
  /** The comment at the end of the line. */
  readonly info: string;
}

/** Bits of an RSA key's modulus, the third field of its SSH wire form. */
function rsaBits(blob: Buffer): number {
  let at = 0;
  let field: Buffer = Buffer.alloc(0);
  for (let count = 0; count < 3; count += 1) {
    const length = blob.readUInt32BE(at);
    field = blob.subarray(at + 4, at + 4 + length);
    at += 4 + length;
  }
  const significant = field[0] === 0 ? field.subarray(1) : field;
  return significant.length * 8;
}

/** Reads a public key of any type in OpenSSH's one-line form; undefined when it cannot be read. */
export function keyFacts(line: string): KeyFacts | undefined {
  const parsed = ssh2.utils.parseKey(line);
  if (parsed instanceof Error) return undefined;
  const key = Array.isArray(parsed) ? parsed[0] : parsed;
  const blob = Buffer.from(key.getPublicSSH());
  const type = key.type.replace(/^ssh-/, "");
  const digest = createHash("sha256").update(blob).digest("base64").replace(/=+$/, "");
  return {
    type,
    bits: type === "rsa" ? rsaBits(blob) : 256,
    fingerprint: `SHA256:${digest}`,
    info: line.trim().split(/\s+/).slice(2).join(" "),
  };
}

/** Checks a key as `/user/ssh-keys/add` does: public, one line, Ed25519 or RSA of at least 2048 bits. */
export function checkUserKey(line: string): void {
  const facts = /^ssh-(ed25519|rsa) \S+( .*)?$/.test(line.trim()) ? keyFacts(line) : undefined;
  if (facts === undefined) throw new RunFailure("unable to load key file (wrong format or bad passphrase)!");
  if (facts.type === "rsa" && facts.bits < 2048) {
    throw new RunFailure("keys smaller than 2048bit are not allowed");
  }
}
