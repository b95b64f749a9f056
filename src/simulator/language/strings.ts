import type { Expression } from "./ast.ts";
import type { Lexer } from "./lexer.ts";

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  "\\": "\\",
  $: "$",
  "?": "?",
  _: " ",
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

/** Reads one escape; the lexer stands behind the backslash. "" for a line continuation. */
function readEscape(lexer: Lexer): string {
  const simple = ESCAPES[lexer.peek()];
  if (simple !== undefined) {
    lexer.offset += 1;
    return simple;
  }
  const hex = lexer.match(/[0-9A-F]{2}/);
  if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
  if (lexer.match(/[ \t\r\n]+/) !== undefined) return "";
  throw lexer.fail("syntax error");
}

/**
 * Reads a double-quoted string, the lexer standing on its opening quote (facts section 2.4): the escapes
 * above and `\XX` with upper-case hexadecimal digits, `$name`, `$(...)` and `$[...]` expanded, a raw tab becoming four
 * blanks. Anything else behind `\` or `$` is a syntax error.
 * @param expansion reads the part behind a `$`
 */
export function readString(lexer: Lexer, expansion: () => Expression): Expression {
  const start = lexer.offset;
  lexer.take('"');
  const parts: Expression[] = [];
  let text = "";
  for (;;) {
    if (lexer.ended) throw lexer.fail("syntax error", start);
    if (lexer.take('"')) break;
    if (lexer.take("\\")) {
      text += readEscape(lexer);
    } else if (lexer.take("$")) {
      if (text !== "") parts.push({ kind: "string", value: text });
      text = "";
      parts.push(expansion());
    } else {
      const character = lexer.peek();
      text += character === "\t" ? "    " : character;
      lexer.offset += 1;
    }
  }
  if (parts.length === 0) return { kind: "string", value: text };
  if (text !== "") parts.push({ kind: "string", value: text });
  return { kind: "interpolated", parts };
}
