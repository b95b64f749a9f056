import { createPrivateKey, type KeyObject } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import ssh2, { type ParsedKey } from "ssh2";
import { ed25519ToOpenSsh } from "../../domain/openssh-key.ts";

/** Where the private key of the RDS user is; only paths, as secrets come from files alone. */
export interface UserKeyFiles {
  readonly keyFile: string;
  readonly passphraseFile?: string | undefined;
}

const MAX_KEY_BYTES = 64 * 1024;

/** A key file that cannot be used; `message` names the file and what to do, and never holds key material. */
export class UserKeyError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "UserKeyError";
  }
}

async function readSmallFile(path: string, what: string): Promise<string> {
  try {
    const found = await stat(path);
    if (!found.isFile()) throw new UserKeyError(`${what} ${path} is not a file`);
    if (found.size > MAX_KEY_BYTES)
      throw new UserKeyError(`${what} ${path} is larger than ${MAX_KEY_BYTES} bytes`);
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof UserKeyError) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new UserKeyError(`${what} ${path} cannot be read (${code})`, error);
  }
}

function unsupported(path: string, type: string): UserKeyError {
  return new UserKeyError(
    `key file ${path} holds a key of type ${type}, which RouterOS refuses; make one with: ssh-keygen -t ed25519`,
  );
}

/** PKCS#8 (`BEGIN [ENCRYPTED] PRIVATE KEY`), which ssh2 does not read, as a text that it reads. */
function fromPkcs8(text: string, passphrase: string | undefined, path: string): string {
  let key: KeyObject;
  try {
    key = createPrivateKey(passphrase === undefined ? text : { key: text, passphrase });
  } catch (error) {
    throw new UserKeyError(`key file ${path} cannot be decoded: wrong passphrase or damaged key`, error);
  }
  if (key.asymmetricKeyType === "ed25519") return ed25519ToOpenSsh(key);
  if (key.asymmetricKeyType === "rsa") return key.export({ type: "pkcs1", format: "pem" }).toString();
  throw unsupported(path, key.asymmetricKeyType ?? "unknown");
}

/**
 * Reads a private key: Ed25519 or RSA, in the OpenSSH, PEM (PKCS#1) or PKCS#8 form, encrypted or not. Called for
 * every new connection, so a rotated key is used from then on.
 * @throws UserKeyError naming the file and the remedy
 */
export async function readUserKey(files: UserKeyFiles): Promise<ParsedKey> {
  const path = files.keyFile;
  const text = (await readSmallFile(path, "key file")).trim();
  const passphrase =
    files.passphraseFile === undefined
      ? undefined
      : (await readSmallFile(files.passphraseFile, "passphrase file")).replace(/\r?\n$/, "");
  const encrypted = text.includes("BEGIN ENCRYPTED PRIVATE KEY") || /^Proc-Type: *4,ENCRYPTED/m.test(text);
  if (encrypted && passphrase === undefined) {
    throw new UserKeyError(`key file ${path} is encrypted, but no passphrase file is set`);
  }
  const readable = /^-----BEGIN (ENCRYPTED )?PRIVATE KEY-----/.test(text)
    ? fromPkcs8(text, passphrase, path)
    : text;
  const parsed = ssh2.utils.parseKey(readable, passphrase);
  const key = Array.isArray(parsed) ? (parsed[0] as ParsedKey) : parsed;
  if (key instanceof Error) {
    if (/passphrase|encrypted|integrity/i.test(key.message)) {
      const cure =
        passphrase === undefined ? "it is encrypted, but no passphrase file is set" : "wrong passphrase";
      throw new UserKeyError(`key file ${path} cannot be decoded: ${cure}`, key);
    }
    throw new UserKeyError(`key file ${path} holds no private key in OpenSSH, PEM or PKCS#8 form`, key);
  }
  if (key.type !== "ssh-ed25519" && key.type !== "ssh-rsa") throw unsupported(path, key.type);
  if (!key.isPrivateKey())
    throw new UserKeyError(`key file ${path} holds a public key; the private key is needed`);
  return key;
}
