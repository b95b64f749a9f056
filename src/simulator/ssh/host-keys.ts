import { Buffer } from "node:buffer";
import { createHash, createPrivateKey, createPublicKey } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import ssh2 from "ssh2";
import { newEd25519Key } from "../../domain/openssh-key.ts";
import { writeAtomically } from "../backend/atomic.ts";
import { SimulatorError } from "../errors.ts";

/** A host key; `pem` holds the private key in PEM or OpenSSH form. */
export interface HostKey {
  readonly type: "ed25519" | "rsa";
  readonly pem: string;
}

/** A new Ed25519 host key. */
export function generateHostKey(): HostKey {
  return { type: "ed25519", pem: newEd25519Key().private };
}

/** The host key kept in `dir`, made there when it is missing. */
export async function savedHostKey(dir: string): Promise<HostKey> {
  const file = path.join(dir, "ssh_host_ed25519_key");
  const pem = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (pem !== undefined) return { type: "ed25519", pem };
  const key = generateHostKey();
  await writeAtomically(file, key.pem);
  return key;
}

/** `SHA256:...` of a key, as OpenSSH prints it. @param blob the public key in SSH wire form */
export function fingerprint(blob: Uint8Array): string {
  const digest = createHash("sha256").update(blob).digest("base64").replace(/=+$/, "");
  return `SHA256:${digest}`;
}

/** The public part of a private or public key, in SSH wire form. @throws SimulatorError when it cannot be read */
export function publicBlob(text: string): Buffer {
  const parsed = ssh2.utils.parseKey(text);
  if (parsed instanceof Error) throw new SimulatorError(`a key cannot be read: ${parsed.message}`);
  const key = Array.isArray(parsed) ? parsed[0] : parsed;
  return Buffer.from(key.getPublicSSH());
}

/** Both halves of a host key in PKCS #8 form, as RouterOS exports them. @throws SimulatorError when it cannot be read */
export function pkcs8Of({ pem }: HostKey): { privatePem: string; publicPem: string } {
  const parsed = ssh2.utils.parseKey(pem);
  if (parsed instanceof Error) throw new SimulatorError(`a host key cannot be read: ${parsed.message}`);
  // ssh2 keeps the PKCS #8 form of each key for its own signatures; RSA keys may be in PKCS #1.
  const privateKey = createPrivateKey(parsed.getPrivatePEM());
  const privatePem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  return {
    privatePem,
    publicPem: createPublicKey(privatePem).export({ type: "spki", format: "pem" }).toString(),
  };
}
