import type { LineParser } from "./line-parser.ts";

const CLOSING: Readonly<Record<string, string>> = { "[": "]", "(": ")", "{": "}" };

/**
 * Skips the rest of a command that does not exist: everything up to its end, with strings and brackets whole.
 * @throws ParseFailure when one of these does not end
 */
export function skipCommand(parser: LineParser): void {
  const { lexer } = parser;
  const start = lexer.offset;
  const open: string[] = [];
  for (;;) {
    if (lexer.ended) {
      if (open.length > 0) throw lexer.fail("syntax error", start);
      return;
    }
    const next = lexer.peek();
    if (open.length === 0 && parser.atEnd()) return;
    if (next === '"') {
      parser.string();
      continue;
    }
    const closing = CLOSING[next];
    if (closing !== undefined) open.push(closing);
    else if (/[\])}]/.test(next) && open.pop() !== next) throw lexer.fail("syntax error");
    lexer.offset += 1;
  }
}
