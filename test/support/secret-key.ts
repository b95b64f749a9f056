import { type KeyPair, newEd25519Key } from "../../src/domain/openssh-key.ts";
import { registerSecret } from "./canary.ts";

/** A new key pair whose private half is a canary. */
export function secretKey(name = "user key"): KeyPair {
  const key = newEd25519Key();
  registerSecret(name, key.private, key.public);
  return key;
}
