import { type ArgumentSpec, literalText } from "../commands/schema.ts";
import type { ArrayEntry, Expression } from "./ast.ts";
import { ExpressionParser } from "./expression-parser.ts";
import type { Lexer } from "./lexer.ts";
import type { Parser } from "./parser.ts";

const BARE_WORD = /[^\s;()[\]{}"$]+/;

/** Parses the values of arguments. */
export class ValueParser {
  readonly #parser: Parser;

  constructor(parser: Parser) {
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

/** `{1;"two";key=3}`; the lexer stands on the opening brace. */
export function arrayLiteral(parser: Parser): Expression {
  const { lexer } = parser;
  const start = lexer.offset;
  lexer.take("{");
  const entries: ArrayEntry[] = [];
  for (;;) {
    lexer.skipSpace();
    if (lexer.take("}")) return { kind: "array", entries };
    if (lexer.ended) throw lexer.fail("syntax error", start);
    const key = lexer.match(/[A-Za-z0-9.-]+(?==)/) ?? lexer.match(/"[^"\\$]*"(?==)/);
    if (key !== undefined) lexer.take("=");
    const value = new ExpressionParser(parser, new Set()).expression();
    const name: Expression | undefined =
      key === undefined ? undefined : { kind: "string", value: key.replaceAll('"', "") };
    entries.push(name === undefined ? { value } : { key: name, value });
    lexer.skipSpace();
    if (!lexer.take(";") && lexer.peek() !== "}") throw lexer.fail("syntax error");
  }
}
