/**
 * Breaks a text into lines at blanks, keeping those at its start, none at the end of a line; a word that is
 * longer than a line stays whole.
 * @param width columns; undefined: one line
 * @param hanging blanks before every line but the first
 */
export function wrap(text: string, width: number | undefined, hanging = ""): readonly string[] {
  if (width === undefined) return [text];
  const lines: string[] = [];
  const indent = /^ */.exec(text)?.[0] ?? "";
  let line = indent;
  for (const word of text.slice(indent.length).split(" ")) {
    const empty = line === indent && lines.length === 0;
    const longer = empty ? `${line}${word}` : `${line} ${word}`;
    if ([...longer].length <= width || empty) {
      line = longer;
      continue;
    }
    lines.push(line.trimEnd());
    line = `${hanging}${word}`;
  }
  return [...lines, line];
}
