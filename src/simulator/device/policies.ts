/** User policies of RouterOS, in the order in which it prints them (manual, page "User"). */
export const POLICIES = [
  "local",
  "telnet",
  "ssh",
  "ftp",
  "reboot",
  "read",
  "write",
  "policy",
  "test",
  "winbox",
  "password",
  "web",
  "sniff",
  "sensitive",
  "api",
  "romon",
  "rest-api",
] as const;

export type Policy = (typeof POLICIES)[number];

/** The policies of a driver user as the documentation sets it up (facts section 5). */
export const DRIVER_POLICIES: readonly Policy[] = ["ssh", "read", "write", "test"];

/** The groups that every device has and that cannot be removed. */
export const DEFAULT_GROUPS: Readonly<Record<string, readonly Policy[]>> = {
  read: POLICIES.filter((policy) => !["ftp", "write", "policy"].includes(policy)),
  write: POLICIES.filter((policy) => !["ftp", "policy"].includes(policy)),
  full: POLICIES,
};

/** All policies of a group as RouterOS shows them: those granted, then the others with `!`. */
export function policyWords(granted: readonly Policy[]): string[] {
  const has = POLICIES.filter((policy) => granted.includes(policy));
  const not = POLICIES.filter((policy) => !granted.includes(policy));
  return [...has, ...not.map((policy) => `!${policy}`)];
}

/**
 * Applies words such as `ssh` and `!ftp` to a set of policies.
 * @returns undefined when a word is no policy
 */
export function applyPolicyWords(
  before: readonly Policy[],
  words: readonly string[],
): readonly Policy[] | undefined {
  const granted = new Set<Policy>(before);
  for (const word of words) {
    const policy = POLICIES.find((known) => known === word.replace(/^!/, ""));
    if (policy === undefined) return undefined;
    if (word.startsWith("!")) granted.delete(policy);
    else granted.add(policy);
  }
  return POLICIES.filter((policy) => granted.has(policy));
}
