import type { ParseFailure } from "../errors.ts";
import type { Block, Expression } from "./ast.ts";
import type { Lexer } from "./lexer.ts";

/** The parser of a line as the parsers of its parts use it. */
export interface LineParser {
  readonly lexer: Lexer;
  /** Notes one more binary operator. @throws ParseFailure when there are too many */
  countOperator(): void;
  /** Notes a mistake of the present command that leaves the line as a whole in order. */
  noteDefect(failure: ParseFailure): void;
  /** Runs a parsing function one level deeper. @throws ParseFailure when that is too deep */
  nested<T>(parse: () => T): T;
  /** A block in brackets; the lexer stands on the opening one. */
  enclosed(open: "{" | "[", close: "}" | "]"): Block;
  /** Whether a command ends here. */
  atEnd(): boolean;
  /** A text in double quotes; the lexer stands on the first quote. */
  string(): Expression;
  /** The part behind a `$`: a variable, `(...)` or `[...]`. */
  expansion(): Expression;
}
