import { ParseFailure } from "../errors.ts";
import type { Position } from "./ast.ts";

const BLANK = /[ \t]/;
/** Sticky forms of the patterns in use, by source. */
const STICKY = new Map<string, RegExp>();

/**
 * Reads characters and words. RouterOS has no context-free token stream (a word in argument position is not a
 * word in an expression), so the parser asks for the kind of token.
 */
export class Lexer {
  readonly source: string;
  offset = 0;

  constructor(source: string) {
    this.source = source;
  }

  /** The character `ahead` places on; "" behind the end. */
  peek(ahead = 0): string {
    return this.source.charAt(this.offset + ahead);
  }

  get ended(): boolean {
    return this.offset >= this.source.length;
  }

  startsWith(text: string): boolean {
    return this.source.startsWith(text, this.offset);
  }

  /** Consumes `text` when it comes next. */
  take(text: string): boolean {
    if (!this.startsWith(text)) return false;
    this.offset += text.length;
    return true;
  }

  /** Consumes the match of the sticky expression here; undefined without a match. */
  match(pattern: RegExp): string | undefined {
    const sticky = STICKY.get(pattern.source) ?? new RegExp(pattern.source, "y");
    STICKY.set(pattern.source, sticky);
    sticky.lastIndex = this.offset;
    const found = sticky.exec(this.source)?.[0];
    if (found !== undefined) this.offset += found.length;
    return found;
  }

  /** The match of the sticky expression here, without consuming it. */
  look(pattern: RegExp): string | undefined {
    const before = this.offset;
    const found = this.match(pattern);
    this.offset = before;
    return found;
  }

  /** Skips blanks and line continuations; returns whether there were any. */
  skipBlanks(): boolean {
    const before = this.offset;
    while (!this.ended) {
      if (BLANK.test(this.peek())) this.offset += 1;
      else if (this.match(/\\\r?\n/) === undefined) break;
    }
    return this.offset > before;
  }

  /** Skips blanks and line ends; inside parentheses a line end means nothing. */
  skipSpace(): void {
    while (this.skipBlanks() || this.match(/[\r\n]+/) !== undefined);
  }

  /** Skips everything between two statements: blanks, line ends, `;` and comments. */
  skipBetweenStatements(): void {
    for (;;) {
      this.skipSpace();
      if (this.peek() === "#") this.match(/[^\n]*/);
      else if (!this.take(";")) return;
    }
  }

  position(offset = this.offset): Position {
    const before = this.source.slice(0, offset);
    const lineStart = before.lastIndexOf("\n") + 1;
    return { line: before.split("\n").length, column: offset - lineStart + 1 };
  }

  fail(message: string, offset = this.offset): ParseFailure {
    const { line, column } = this.position(offset);
    return new ParseFailure(message, line, column);
  }
}
