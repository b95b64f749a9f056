import { generateKeyPairSync } from "node:crypto";
import ssh2 from "ssh2";
import { ed25519ToOpenSsh } from "./user-key.ts";

/** A key pair as OpenSSH writes it. */
export interface KeyPair {
  /** The private key file's content, unencrypted. */
  readonly private: string;
  /** `ssh-ed25519 AAAA…`, without a comment. */
  readonly public: string;
}

/**
 * Makes an Ed25519 key pair. ssh2's own generator is not used: it drops leading zero bytes, so now and then a key
 * comes out that nobody can read.
 */
export function newEd25519Key(): KeyPair {
  const text = ed25519ToOpenSsh(generateKeyPairSync("ed25519").privateKey);
  const parsed = ssh2.utils.parseKey(text);
  if (parsed instanceof Error) throw parsed;
  return { private: text, public: `ssh-ed25519 ${parsed.getPublicSSH().toString("base64")}` };
}
