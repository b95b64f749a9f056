/**
 * Breaks a text into lines at blanks; a word that is longer than a line stays whole.
 * @param width columns; undefined: one line
 * @param hanging blanks before every line but the first
 */
export function wrap(text: string, width: number | undefined, hanging = ""): readonly string[] {
  if (width === undefined) return [text];
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if ([...longer].length <= width || line === "" || line === hanging) {
      line = longer;
      continue;
    }
    lines.push(line);
    line = `${hanging}${word}`;
  }
  return [...lines, line];
}
