/**
 * The meaning of a RouterOS error text for the driver. `parse`: the version does not know a word of the line, see `Rejection`.
 * `own`: raised by a script of ours with `:error "rds-csi:<reason>"`.
 */
export const FAILURE_CLASSES = [
  "parse",
  "absent",
  "exists",
  "space",
  "busy",
  "permission",
  "transient",
  "argument",
  "own",
  "other",
] as const;
export type FailureClass = (typeof FAILURE_CLASSES)[number];

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

/** A line that RouterOS could not make sense of. */
export interface Rejection {
  /** `nothing`: the line was refused as a whole. `some`: the statements before the mistake may have run. */
  readonly ran: "nothing" | "some";
  /** The diagnostic, without its position. */
  readonly text: string;
}

const WHOLE_LINE = /^(syntax error|expected |missing closing)/i;
const IN_PLACE =
  /(?:bad command name|bad parameter|unknown parameter|syntax error|expected [a-z ]+)[^~(]{0,200}\(line \d+ column \d+\)$/i;

/**
 * Whether a reply without verdict is that of a line which RouterOS could not make sense of. Unknown menus, commands and
 * arguments compile, and their diagnostic comes when they are reached; `syntax error` and `expected ...` replace the whole
 * line. Source: outputs of `:parse` on RouterOS 7.20.8 to 7.23rc1.
 * @returns undefined when the reply ends in another way
 */
export function rejectionOf(text: string): Rejection | undefined {
  const trimmed = text.trim();
  if (WHOLE_LINE.test(trimmed)) return { ran: "nothing", text: tidyFailure(trimmed) };
  if (classifyFailure(trimmed) === "parse") return { ran: "some", text: tidyFailure(trimmed) };
  const inPlace = IN_PLACE.exec(trimmed.slice(-400))?.[0];
  return inPlace === undefined ? undefined : { ran: "some", text: tidyFailure(inPlace) };
}

/** The reason of an `own` failure, else undefined. */
export function ownReason(text: string): string | undefined {
  return OWN.exec(text.trim())?.[1];
}

/**
 * The text without RouterOS's trailing position, e.g. ` (/disk/add; line 1)`; at most 300 characters. A text that a script
 * caught and raised again ends with several.
 */
export function tidyFailure(text: string): string {
  // Cut first: the pattern may look at a run of blanks again for each of them.
  return text
    .slice(0, 2_000)
    .replace(/(?:\s*\((?:[^()]*;\s*)?line \d+[^()]*\))+\s*$/i, "")
    .trim()
    .slice(0, 300);
}
