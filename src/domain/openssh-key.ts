import { Buffer } from "node:buffer";
import { generateKeyPairSync, type KeyObject } from "node:crypto";

/** A key pair as OpenSSH writes it. */
export interface KeyPair {
  /** The private key file's content, unencrypted. */
  readonly private: string;
  /** `ssh-ed25519 AAAA…`, without a comment. */
  readonly public: string;
}

/** An SSH wire string (RFC 4251, 5). */
function wireString(value: Uint8Array | string): Buffer {
  const bytes = Buffer.from(value as string);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function publicBlob(publicKey: Buffer): Buffer {
  return Buffer.concat([wireString("ssh-ed25519"), wireString(publicKey)]);
}

/**
 * A private Ed25519 key in the unencrypted OpenSSH format, the only one from which ssh2 reads that type.
 * Source: openssh PROTOCOL.key.
 */
export function ed25519ToOpenSsh(key: KeyObject): string {
  const jwk = key.export({ format: "jwk" });
  const seed = Buffer.from(jwk.d ?? "", "base64url");
  const publicKey = Buffer.from(jwk.x ?? "", "base64url");
  const one = Buffer.from([0, 0, 0, 1]);
  const fields = [
    Buffer.alloc(8),
    wireString("ssh-ed25519"),
    wireString(publicKey),
    wireString(Buffer.concat([seed, publicKey])),
    wireString(""),
  ];
  let section = Buffer.concat(fields);
  const padding = (8 - (section.length % 8)) % 8;
  section = Buffer.concat([section, Buffer.from(Array.from({ length: padding }, (_, i) => i + 1))]);
  const blob = Buffer.concat([
    Buffer.from("openssh-key-v1\0", "latin1"),
    wireString("none"),
    wireString("none"),
    wireString(""),
    one,
    wireString(publicBlob(publicKey)),
    wireString(section),
  ]);
  const body = blob.toString("base64").replace(/(.{70})/g, "$1\n");
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${body.trimEnd()}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

/**
 * Makes an Ed25519 key pair. ssh2's own generator is not used: it drops leading zero bytes, so now and then a key
 * comes out that nobody can read.
 */
export function newEd25519Key(): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const x = Buffer.from(publicKey.export({ format: "jwk" }).x ?? "", "base64url");
  return {
    private: ed25519ToOpenSsh(privateKey),
    public: `ssh-ed25519 ${publicBlob(x).toString("base64")}`,
  };
}
