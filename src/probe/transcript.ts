import type { Raw } from "./session.ts";

/** One line that was sent, and its answer. Texts are cut, and hold nothing that names people or their machines. */
export interface Exchanged {
  readonly line: string;
  readonly stdout: string;
  readonly stderr: string;
  /** null: none. */
  readonly exitCode: number | null;
  readonly tookMs: number;
}

/** Characters of each text that are kept. */
const KEPT = 400;

const PATTERNS: readonly (readonly [RegExp, string])[] = [
  [/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi, "<uuid>"],
  [/\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b/gi, "<mac>"],
  [/\b\d{1,3}(?:\.\d{1,3}){3}\b/g, "<address>"],
  [/\b(?:[0-9a-f]{1,4}:){3,7}[0-9a-f]{0,4}\b/gi, "<address>"],
  [/SHA256:[A-Za-z0-9+/]{43}/g, "<fingerprint>"],
  [/\b(serial|model|fs-uuid|raid-uuid)="[^"]*"/g, '$1="<hidden>"'],
];

/**
 * A text without what names people and their machines: addresses, UUIDs, fingerprints, serial numbers, and given words.
 * @param words such as the user's name; those of less than two characters are left
 */
export function redacted(text: string, words: readonly string[]): string {
  let out = text;
  for (const [pattern, name] of PATTERNS) out = out.replace(pattern, name);
  for (const word of words.filter(({ length }) => length > 1)) out = out.replaceAll(word, "<hidden>");
  return out;
}

const cut = (text: string): string =>
  text.length > KEPT ? `${text.slice(0, KEPT)}... (${text.length} characters)` : text;

/** The lines that a probe has sent, for a bundle. */
export class Transcript {
  readonly #entries: { line: string; answer: Raw; isPrivate: boolean }[] = [];

  /** @param isPrivate the answer lists things of other people: only its length is kept */
  add(line: string, answer: Raw, isPrivate: boolean): void {
    this.#entries.push({ line, answer, isPrivate });
  }

  /** The lines in order. @param words that are hidden */
  redacted(words: readonly string[]): readonly Exchanged[] {
    const shown = (text: string) => redacted(cut(text), words);
    return this.#entries.map(({ line, answer, isPrivate }) => ({
      line: shown(line),
      stdout: isPrivate ? `(${answer.stdout.length} characters, not shown)` : shown(answer.stdout),
      stderr: shown(answer.stderr),
      exitCode: answer.exitCode ?? null,
      tookMs: Math.round(answer.tookMs),
    }));
  }
}
