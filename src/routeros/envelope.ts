import { ros, Script } from "./script.ts";

/**
 * Puts the value of an expression into the reply under `label`. The markers carry the nonce, so text from
 * an earlier command or from a stored comment can never be taken for a payload.
 */
export function payload(label: string, expression: Script): Script {
  return ros`:put ("~p:${Script.nonce}:${bare(label)}~" . ${expression} . "~e:${Script.nonce}~")`;
}

/** Puts the output of a statement into the reply under `label`; for commands whose output is text. */
export function printed(label: string, statement: Script): Script {
  return ros`:put "~p:${Script.nonce}:${bare(label)}~"; ${statement}; :put "~e:${Script.nonce}~"`;
}

/**
 * Wraps statements so that the reply's text carries the verdict: exit status and streams differ between
 * RouterOS versions. A line that is refused as a whole, or that ends at an unknown
 * command, prints no marker.
 * Source: RouterOS scripting manual, ":onerror" (7.13 and newer).
 */
export function envelope(body: Script): Script {
  return ros`:onerror e in={ ${body}; :put "~ok:${Script.nonce}~" } do={ :put ("~err:${Script.nonce}~" . $e) }`;
}

const LABEL = /^[a-z][a-z0-9-]{0,19}$/;

/** A checked label as code: it stands inside a literal of ours. */
function bare(label: string): Script {
  if (!LABEL.test(label)) throw new RangeError(`bad payload label ${JSON.stringify(label)}`);
  return Script.fromTemplate([label], []);
}

/** The result of a command. `runtime`: it started and failed; earlier statements kept their effect. */
export type Verdict =
  | { readonly kind: "ok" }
  | { readonly kind: "runtime"; readonly text: string }
  | { readonly kind: "none"; readonly text: string };

/** A command's reply, cut into verdict and payloads. */
export class Reply {
  readonly verdict: Verdict;
  readonly #raw: string;
  readonly #flat: string;
  readonly #nonce: string;

  constructor(verdict: Verdict, raw: string, nonce: string) {
    this.verdict = verdict;
    this.#raw = raw;
    this.#flat = flatten(raw);
    this.#nonce = nonce;
  }

  /** All of it, as it came. */
  get raw(): string {
    return this.#raw;
  }

  /** The nonce, for payload formats that have markers of their own. */
  get nonce(): string {
    return this.#nonce;
  }

  /**
   * The payload under `label` as one line: every line end inside it is an artefact of the console.
   * undefined when it is missing or cut off.
   */
  flat(label: string): string | undefined {
    return between(this.#flat, this.#nonce, label);
  }

  /** The payload under `label` with its line ends, for text output. undefined when missing or cut off. */
  text(label: string): string | undefined {
    return between(this.#raw, this.#nonce, label);
  }
}

/** Reads the reply to a rendered envelope. */
export function readReply(nonce: string, stdout: string, stderr: string): Reply {
  return new Reply(verdictOf(nonce, flatten(stdout), flatten(stderr)), stdout, nonce);
}

function verdictOf(nonce: string, stdout: string, stderr: string): Verdict {
  const error = `~err:${nonce}~`;
  for (const text of [stdout, stderr]) {
    const at = printedAt(text, error);
    if (at >= 0) return { kind: "runtime", text: text.slice(at + error.length).trim() };
  }
  if (printedAt(stdout, `~ok:${nonce}~`) >= 0) return { kind: "ok" };
  return { kind: "none", text: `${stdout} ${stderr}`.trim() };
}

function flatten(text: string): string {
  return text.replace(/[\r\n]+/g, "");
}

/**
 * Where a marker stands that the command has printed; -1 if nowhere. In the command itself, which a console may show, a quote stands before
 * each marker. A marker that was printed begins a line; before it stands the end of an earlier marker, or text of the console.
 */
function printedAt(text: string, marker: string): number {
  let at = text.indexOf(marker);
  while (text[at - 1] === '"') at = text.indexOf(marker, at + 1);
  return at;
}

/** A payload; undefined if it has no end, or if a marker of the same reply stands in it: then the end is that of a later payload. */
function between(text: string, nonce: string, label: string): string | undefined {
  const [start, end] = [`~p:${nonce}:${label}~`, `~e:${nonce}~`];
  const from = printedAt(text, start);
  if (from < 0) return undefined;
  const to = text.indexOf(end, from + start.length);
  if (to < 0) return undefined;
  const found = text.slice(from + start.length, to);
  const flat = flatten(found);
  return ["p", "ok", "err"].some((kind) => flat.includes(`~${kind}:${nonce}`)) ? undefined : found;
}
