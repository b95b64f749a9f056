/**
 * What a RouterOS error text means for the driver. `parse`: the line was rejected and nothing ran.
 * `own`: raised by a script of ours with `:error "rds-csi:<reason>"`.
 */
export type FailureClass =
  | "parse"
  | "absent"
  | "exists"
  | "space"
  | "busy"
  | "permission"
  | "transient"
  | "argument"
  | "own"
  | "other";

const OWN = /^rds-csi:([a-z-]+)/;

const RULES: readonly (readonly [FailureClass, RegExp])[] = [
  [
    "parse",
    /^(bad command name|syntax error|expected end of command|expected command name|expected closing|expected |bad parameter|unknown parameter|missing closing)/,
  ],
  ["permission", /not enough permissions|not allowed|device-mode/],
  ["space", /no space|not enough space|no free|disk full|too large/],
  ["absent", /no such item|invalid internal item number|not found/],
  ["exists", /already (have|exists)|exists|in use by another/],
  ["busy", /in use|busy|could not unmount|stop using/],
  ["transient", /timed out|timeout|interrupted|try again/],
  [
    "argument",
    /invalid value|does not match any value|out of range|missing value|contains invalid|bad name|too long|ambiguous value/,
  ],
];

/**
 * Classifies an error text. Source: RouterOS error texts as seen on 7.x consoles; none of them is
 * documented, so an unknown text is `other` and nothing is concluded from it.
 */
export function classifyFailure(text: string): FailureClass {
  const trimmed = text.trim();
  if (OWN.test(trimmed)) return "own";
  const lower = trimmed.toLowerCase();
  for (const [kind, pattern] of RULES) {
    if (pattern.test(lower)) return kind;
  }
  return "other";
}

/** The reason of an `own` failure, else undefined. */
export function ownReason(text: string): string | undefined {
  return OWN.exec(text.trim())?.[1];
}

/** The text without RouterOS's trailing position, e.g. ` (/disk/add; line 1)`; at most 300 characters. */
export function tidyFailure(text: string): string {
  // Cut first: the pattern may look at a run of blanks again for each of them.
  return text
    .slice(0, 2_000)
    .replace(/\s*\((?:[^()]*;\s*)?line \d+[^()]*\)\s*$/i, "")
    .trim()
    .slice(0, 300);
}
