import { Buffer } from "node:buffer";
import { timingSafeEqual } from "node:crypto";
import ssh2, { type AuthContext, type AuthenticationType } from "ssh2";
import { DRIVER_POLICIES, type Policy, parseLogin, type SimulatedUser } from "../device/users.ts";

/** Somebody who has logged in. */
export interface LoggedIn {
  readonly name: string;
  readonly policies: ReadonlySet<Policy>;
  /** Columns that the login name asked for. */
  readonly width: number | undefined;
}

function samePassword(given: string, wanted: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(wanted)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Whether the offered key is one of the user's and, once a signature is there, whether that is right. */
function keyAccepted(context: Extract<AuthContext, { method: "publickey" }>, user: SimulatedUser): boolean {
  for (const line of user.publicKeys) {
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
 * while the user has no key; the policy `ssh` is needed.
 * @param accepted called once the login is complete
 */
export function authenticate(
  context: AuthContext,
  users: readonly SimulatedUser[],
  accepted: (user: LoggedIn) => void,
): void {
  const login = parseLogin(context.username);
  const user = users.find((candidate) => candidate.name === login.name);
  const policies = new Set(user?.policies ?? DRIVER_POLICIES);
  const passwordAllowed = user?.password !== undefined && user.publicKeys.length === 0;
  const methods: AuthenticationType[] = passwordAllowed
    ? ["password", "keyboard-interactive"]
    : ["publickey"];
  if (user === undefined || !policies.has("ssh")) {
    context.reject(methods);
    return;
  }
  const done = () => {
    accepted({ name: login.name, policies, width: login.width });
    context.accept();
  };
  if (
    context.method === "publickey" &&
    !context.key.algo.startsWith("ecdsa-") &&
    keyAccepted(context, user)
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
