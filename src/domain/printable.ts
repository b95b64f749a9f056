/**
 * Characters that act on a terminal, or make a text read differently from how it is stored: control characters (C0, DEL
 * and C1), format characters (among them the bidirectional controls), line and paragraph separators, and halves of
 * surrogate pairs. Source: Unicode general categories Cc, Cf, Zl, Zp and Cs.
 */
const ACTIVE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

const hex = (code: number): string => code.toString(16);

/** Whether a text holds a character that `printable` escapes. */
export function isPrintable(text: string): boolean {
  return text.search(ACTIVE) < 0;
}

/** Foreign text for people: every active character is written as an escape such as `\u{1b}`, so none takes effect. */
export function printable(text: string): string {
  return text.replace(ACTIVE, (character) => `\\u{${hex(character.codePointAt(0) ?? 0)}}`);
}

/** As `printable`, for text of several lines: line feeds stay. */
export function printableLines(text: string): string {
  return text.split("\n").map(printable).join("\n");
}

/** JSON in which active characters are escaped; it stands for the same value. Line feeds between its tokens stay. */
export function printableJson(json: string): string {
  return json.replace(ACTIVE, (character) =>
    character === "\n"
      ? character
      : [...Array(character.length).keys()]
          .map((index) => `\\u${hex(character.charCodeAt(index)).padStart(4, "0")}`)
          .join(""),
  );
}

/** YAML whose active characters are all inside double quotes, with these escaped; it stands for the same value. */
export function printableYaml(yaml: string): string {
  return yaml.replace(ACTIVE, (character) => {
    const code = character.codePointAt(0) ?? 0;
    if (character === "\n") return character;
    return code > 0xffff ? `\\U${hex(code).padStart(8, "0")}` : `\\u${hex(code).padStart(4, "0")}`;
  });
}

/** `text`, or its beginning and `…` when it has more than `limit` UTF-16 units. */
export function shortened(text: string, limit: number): string {
  // toWellFormed: the cut may have halved a surrogate pair.
  return text.length <= limit ? text : `${text.slice(0, limit - 1).toWellFormed()}…`;
}
