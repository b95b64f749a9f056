/** Another text in the place of a part of a text, by offsets in that text. */
export interface Replacement {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** Changes of a regular expression: anchors and quantifiers that are gone, classes that are turned round. */
export function regexReplacements(source: string): readonly Replacement[] {
  const found: Replacement[] = [];
  const replace = (pattern: RegExp, text: (match: string) => string) => {
    for (const match of source.matchAll(pattern))
      found.push({ start: match.index, end: match.index + match[0].length, text: text(match[0]) });
  };
  replace(/(?<=^\/|[(|])\^/g, () => "");
  replace(/(?<!\\)\$(?=[/|)])/g, () => "");
  replace(/(?<![\\[])\[\^?/g, (match) => (match === "[^" ? "[" : "[^"));
  replace(/\\[dDsSwWbB]/g, ([slash = "", letter = ""]) => slash + turned(letter));
  replace(/(?<=[^\\/(|])[+*](?!\/?$)|\{\d+(?:,\d*)?\}/g, () => "");
  return found;
}

function turned(letter: string): string {
  return letter === letter.toUpperCase() ? letter.toLowerCase() : letter.toUpperCase();
}

const SWAPS: readonly (readonly [RegExp, string])[] = [
  [/ and /g, " or "],
  [/ or /g, " and "],
  [/(?<== ?)no\b/g, "yes"],
  [/ > 0/g, " >= 0"],
  [/ = 0/g, " > 0"],
  [/!\(/g, "("],
];

/**
 * Changes of RouterOS script in a template: other operators, and statements and conditions that are gone.
 * @param source of the template literal, with its `${}`
 */
export function scriptReplacements(source: string): readonly Replacement[] {
  const found: Replacement[] = [];
  for (const [pattern, text] of SWAPS) {
    for (const match of source.matchAll(pattern))
      found.push({ start: match.index, end: match.index + match[0].length, text });
  }
  for (const match of source.matchAll(/ (?:and|or) (?:\$\{[^}]*\}|[^\s\]`;])+/g))
    found.push({ start: match.index, end: match.index + match[0].length, text: "" });
  for (const { start, end } of statements(source)) found.push({ start, end, text: "" });
  return found;
}

/** The statements between `; ` outside of braces; none if there is one only. */
function statements(source: string): readonly { start: number; end: number }[] {
  const found: { start: number; end: number }[] = [];
  let depth = 0;
  let start = 1;
  for (let at = 1; at < source.length; at += 1) {
    const rest = source.slice(at, at + 2);
    if (source[at] === "{") depth += 1;
    if (source[at] === "}") depth -= 1;
    const isLast = at === source.length - 1;
    if (depth === 0 && (rest === "; " || isLast)) {
      found.push({ start, end: isLast ? at : at + 2 });
      start = at + 2;
    }
  }
  return found.length > 1 ? found : [];
}
