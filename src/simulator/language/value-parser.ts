import { type Expression, literalText } from "./ast.ts";
import { arrayLiteral, ExpressionParser } from "./expression-parser.ts";
import type { Lexer } from "./lexer.ts";
import type { LineParser } from "./line-parser.ts";
import type { ArgumentSpec } from "./schema.ts";

const BARE_WORD = /[^\s;()[\]{}"$]+/;

/** Parses the values of arguments. */
export class ValueParser {
  readonly #parser: LineParser;

  constructor(parser: LineParser) {
    this.#parser = parser;
  }

  get #lexer(): Lexer {
    return this.#parser.lexer;
  }

  /** The value of an argument, up to the blank behind it. */
  argument(argument: ArgumentSpec): Expression {
    const at = this.#lexer.offset;
    const value = this.#value(argument);
    const bracketed = /[\]})]/.test(this.#lexer.source.charAt(this.#lexer.offset - 1));
    const separated = this.#parser.atEnd() || this.#lexer.look(/[ \t]|\\\r?\n/) !== undefined;
    if (!separated && !(bracketed && /[A-Za-z]/.test(this.#lexer.peek()))) {
      throw this.#lexer.fail("expected end of command");
    }
    this.#checkLiteral(argument, value, at);
    return value;
  }

  /** A literal that no enum or bool has is a mistake of its command, like an unknown argument. */
  #checkLiteral(argument: ArgumentSpec, value: Expression, at: number): void {
    const text = literalText(value);
    if (text === undefined) return;
    const values =
      argument.type === "bool"
        ? ["yes", "no", "true", "false"]
        : argument.type === "enum"
          ? argument.values
          : undefined;
    if (values === undefined || values.includes(text)) return;
    const completions = text === "" ? [] : values.filter((candidate) => candidate.startsWith(text));
    if (completions.length === 1) return;
    const what =
      completions.length > 1
        ? `ambiguous value of ${argument.name}, more than one possible value matches input`
        : `input does not match any value of ${argument.name}`;
    this.#parser.noteDefect(this.#lexer.fail(what, at));
  }

  #value(argument: ArgumentSpec): Expression {
    const start = this.#lexer.offset;
    if (argument.type === "block" && this.#lexer.peek() === "{") {
      const block = this.#parser.enclosed("{", "}");
      return { kind: "block", block, text: this.#lexer.source.slice(start, this.#lexer.offset) };
    }
    if (argument.type === "name") {
      const name = this.#lexer.match(/[A-Za-z0-9]+(?:,[A-Za-z0-9]+)?/);
      if (name !== undefined) return { kind: "string", value: name };
    }
    switch (this.#lexer.peek()) {
      case '"':
        return this.#parser.string();
      case "$":
        this.#lexer.take("$");
        return this.#parser.expansion();
      case "[":
        return { kind: "substitution", block: this.#parser.enclosed("[", "]") };
      case "(":
        return new ExpressionParser(this.#parser, new Set()).parenthesised();
      case "{":
        return arrayLiteral(this.#parser);
      default: {
        const text = this.#lexer.match(BARE_WORD);
        if (text === undefined && !(this.#lexer.ended || /[\s;\]})]/.test(this.#lexer.peek()))) {
          throw this.#lexer.fail("syntax error");
        }
        if (argument.type === "block") throw this.#lexer.fail("syntax error", start);
        return { kind: "word", text: text ?? "", at: this.#lexer.position(start) };
      }
    }
  }
}
