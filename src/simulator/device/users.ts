import type { Policy } from "./policies.ts";

export { DRIVER_POLICIES, type Policy } from "./policies.ts";

/** Somebody who may log in, as the simulator is started with. */
export interface SimulatedUser {
  readonly name: string;
  /** OpenSSH one-line public keys, as in authorized_keys. */
  readonly publicKeys: readonly string[];
  /** Accepted only while the user has no key (`password-authentication=yes-if-no-key`). */
  readonly password?: string;
  /** Default: everything for "admin", else ssh, read, write, test. */
  readonly policies?: readonly Policy[];
  /** Prefixes that the user may log in from; default: any. */
  readonly addresses?: readonly string[];
}

/** A login such as `csi+ct80w`: the bare user name and the parameters behind the plus sign. */
export interface Login {
  readonly name: string;
  /** Columns from the `<n>w` parameter. */
  readonly width: number | undefined;
}

/** Splits a user name from its console parameters (facts section 1, login parameters). */
export function parseLogin(text: string): Login {
  const plus = text.indexOf("+");
  if (plus < 0) return { name: text, width: undefined };
  const width = /(\d+)w/.exec(text.slice(plus + 1))?.[1];
  return { name: text.slice(0, plus), width: width === undefined ? undefined : Number(width) };
}
