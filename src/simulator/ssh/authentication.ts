import { Buffer } from "node:buffer";
import { timingSafeEqual } from "node:crypto";
import ssh2, { type AuthContext, type AuthenticationType } from "ssh2";
import type { Account, Accounts } from "../device/accounts.ts";
import { withinPrefixes } from "../device/addresses.ts";
import { type Policy, parseLogin } from "../device/users.ts";

/** Somebody who has logged in. */
export interface LoggedIn {
  readonly name: string;
  /** Where the client is. */
  readonly address: string;
  readonly group: string;
  /** Those of the group at the time of the login. */
  readonly policies: ReadonlySet<Policy>;
  /** Columns that the login name asked for. */
  readonly width: number | undefined;
}

/** Whether the user may log in at all, and from there. */
function welcome(user: Account, address: string): boolean {
  if (user.disabled) return false;
  return user.addresses.length === 0 || withinPrefixes(address, user.addresses);
}

function samePassword(given: string, wanted: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(wanted)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Whether the offered key is one of the given ones and, once a signature is there, whether that is right. */
function keyAccepted(
  context: Extract<AuthContext, { method: "publickey" }>,
  keys: readonly string[],
): boolean {
  for (const line of keys) {
    const parsed = ssh2.utils.parseKey(line);
    if (parsed instanceof Error) continue;
    const key = Array.isArray(parsed) ? parsed[0] : parsed;
    if (!Buffer.from(key.getPublicSSH()).equals(context.key.data)) continue;
    if (context.signature === undefined || context.blob === undefined) return true;
    return key.verify(context.blob, context.signature, context.hashAlgo) === true;
  }
  return false;
}

/**
 * Answers one authentication request (facts section 1, keys): public keys of type ed25519 or rsa; a password only
 * while the user has no key; the policy `ssh` is needed, and an address that the user may come from.
 * @param address where the client is
 * @param accepted called once the login is complete
 */
export function authenticate(
  context: AuthContext,
  accounts: Accounts,
  address: string,
  accepted: (user: LoggedIn) => void,
): void {
  const login = parseLogin(context.username);
  const user = accounts.user(login.name);
  const policies = user === undefined ? new Set<Policy>() : accounts.policiesOf(user);
  const keys = accounts.keysOf(login.name).map((key) => key.line);
  const passwordAllowed = user?.password !== undefined && keys.length === 0;
  const methods: AuthenticationType[] = passwordAllowed
    ? ["password", "keyboard-interactive"]
    : ["publickey"];
  if (user === undefined || !policies.has("ssh") || !welcome(user, address)) {
    context.reject(methods);
    return;
  }
  const done = () => {
    accepted({ name: login.name, address, group: user.group, policies, width: login.width });
    context.accept();
  };
  if (
    context.method === "publickey" &&
    !context.key.algo.startsWith("ecdsa-") &&
    keyAccepted(context, keys)
  ) {
    if (context.signature === undefined) context.accept();
    else done();
  } else if (context.method === "password" && passwordAllowed) {
    if (samePassword(context.password, user.password ?? "")) done();
    else context.reject(methods);
  } else if (context.method === "keyboard-interactive" && passwordAllowed) {
    context.prompt([{ prompt: "Password: ", echo: false }], (answers: string[]) => {
      if (samePassword(answers[0] ?? "", user.password ?? "")) done();
      else context.reject(methods);
    });
  } else {
    context.reject(methods);
  }
}
