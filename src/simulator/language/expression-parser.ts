import type { ArrayEntry, BinaryOperator, Expression } from "./ast.ts";
import type { LineParser } from "./line-parser.ts";
import { wordValue } from "./scalars.ts";

/** Binary operators by precedence, weakest first; longer spellings before their prefixes. */
const LEVELS: readonly (readonly (readonly [string, BinaryOperator])[])[] = [
  [
    ["||", "or"],
    ["or", "or"],
  ],
  [
    ["&&", "and"],
    ["and", "and"],
  ],
  [
    ["!=", "!="],
    ["<=", "<="],
    [">=", ">="],
    ["=", "="],
    ["<", "<"],
    [">", ">"],
    ["~", "~"],
    ["in", "in"],
  ],
  [
    [".", "."],
    [",", ","],
  ],
  [
    ["+", "+"],
    ["-", "-"],
  ],
  [
    ["*", "*"],
    ["/", "/"],
    ["%", "%"],
  ],
];
const AND_LEVEL = 1;
const COMPARE_LEVEL = 2;

/** Parses expressions: in parentheses, in array literals, and behind `where`. */
export class ExpressionParser {
  readonly #parser: LineParser;
  /** Properties that bare words mean; empty outside `where`. */
  readonly #properties: ReadonlySet<string>;
  #inWhere = false;

  constructor(parser: LineParser, properties: ReadonlySet<string>) {
    this.#parser = parser;
    this.#properties = properties;
  }

  /** `( ... )`, the lexer standing on the opening parenthesis. `()` is nothing. */
  parenthesised(): Expression {
    const { lexer } = this.#parser;
    const start = lexer.offset;
    lexer.take("(");
    lexer.skipSpace();
    if (lexer.take(")")) return { kind: "array", entries: [] };
    const inner = this.expression();
    lexer.skipSpace();
    if (!lexer.take(")")) throw lexer.fail(lexer.ended ? "syntax error" : "expected closing ')'", start);
    return inner;
  }

  expression(): Expression {
    return this.#binary(0);
  }

  /** The conditions behind `where`, up to the end of the command; a blank between two means "and". */
  where(): Expression {
    this.#inWhere = true;
    return this.#binary(0);
  }

  #binary(level: number): Expression {
    const operators = LEVELS[level];
    if (operators === undefined) return this.#postfix();
    const { lexer } = this.#parser;
    let left = this.#binary(level + 1);
    for (;;) {
      this.#skip();
      const operator = this.#operator(operators);
      if (operator !== undefined) {
        this.#skip();
        this.#parser.countOperator();
        const literal = this.#inWhere && level === COMPARE_LEVEL ? this.#literal() : undefined;
        left = { kind: "binary", operator, left, right: literal ?? this.#binary(level + 1) };
      } else if (this.#inWhere && level === AND_LEVEL && this.#conditionFollows()) {
        this.#parser.countOperator();
        left = { kind: "binary", operator: "and", left, right: this.#binary(level + 1) };
      } else {
        if (level === 0 && this.#inWhere && !lexer.ended && !/[;\n\]})]/.test(lexer.peek())) {
          throw lexer.fail("expected end of command");
        }
        return left;
      }
    }
  }

  #skip(): void {
    if (this.#inWhere) this.#parser.lexer.skipBlanks();
    else this.#parser.lexer.skipSpace();
  }

  #operator(operators: readonly (readonly [string, BinaryOperator])[]): BinaryOperator | undefined {
    const { lexer } = this.#parser;
    for (const [text, operator] of operators) {
      if (!lexer.startsWith(text) || lexer.startsWith("->")) continue;
      if (/[a-z]/.test(text) && /[A-Za-z0-9-]/.test(lexer.peek(text.length))) continue;
      if (text === "." && /[a-z]/.test(lexer.peek(1)) && this.#inWhere) continue;
      lexer.take(text);
      return operator;
    }
    return undefined;
  }

  #conditionFollows(): boolean {
    const next = this.#parser.lexer.peek();
    if (this.#parser.lexer.look(/(\|\||or(?![A-Za-z0-9-]))/) !== undefined) return false;
    return /[A-Za-z.!("$[*]/.test(next);
  }

  /** The right side of a comparison in `where`: a bare word there is a value, never a property. */
  #literal(): Expression | undefined {
    const { lexer } = this.#parser;
    if (/["$[({]/.test(lexer.peek())) return undefined;
    const text = lexer.match(/[^\s;()[\]{}"$&|]+/);
    if (text === undefined) throw lexer.fail("syntax error");
    return { kind: "string", value: text };
  }

  #postfix(): Expression {
    const { lexer } = this.#parser;
    let target = this.#primary();
    for (;;) {
      const before = lexer.offset;
      this.#skip();
      if (!lexer.take("->")) {
        lexer.offset = before;
        return target;
      }
      this.#skip();
      this.#parser.countOperator();
      target = { kind: "index", target, key: this.#primary() };
    }
  }

  #primary(): Expression {
    return this.#parser.nested(() => this.#nestedPrimary());
  }

  #nestedPrimary(): Expression {
    const { lexer } = this.#parser;
    this.#skip();
    switch (lexer.peek()) {
      case '"':
        return this.#parser.string();
      case "$":
        return this.#variable();
      case "[":
        return { kind: "substitution", block: this.#parser.enclosed("[", "]") };
      case "(":
        return this.#group();
      case "{":
        return arrayLiteral(this.#parser);
      case "!":
        lexer.take("!");
        return { kind: "unary", operator: "!", operand: this.#postfix() };
      case "-":
        lexer.take("-");
        return { kind: "unary", operator: "-", operand: this.#postfix() };
    }
    const start = lexer.offset;
    const word =
      lexer.match(/0x[0-9A-Fa-f]+|\d+(?:[:.]\d+)+|\d+[A-Za-z][A-Za-z0-9]*|\d+/) ??
      lexer.match(/\*[0-9A-Fa-f]+|\.?[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*/);
    if (word === undefined) throw lexer.fail("syntax error");
    if (!this.#inWhere) return { kind: "literal", value: wordValue(word) };
    if (this.#properties.has(word)) return { kind: "property", name: word, path: word };
    throw lexer.fail("expected end of command", start);
  }

  /** In `where`, a variable with the name of a property means the property (facts section 2.3). */
  #variable(): Expression {
    this.#parser.lexer.take("$");
    const found = this.#parser.expansion();
    if (found.kind === "variable" && this.#inWhere && this.#properties.has(found.name)) {
      return { kind: "property", name: found.name, path: `$${found.name}` };
    }
    return found;
  }

  #group(): Expression {
    if (!this.#inWhere) return this.parenthesised();
    const { lexer } = this.#parser;
    const start = lexer.offset;
    lexer.take("(");
    const before = lexer.offset;
    try {
      const inner = new ExpressionParser(this.#parser, this.#properties).where();
      this.#skip();
      if (lexer.take(")")) return inner;
    } catch {
      // Not conditions: a value in parentheses, such as ("a" . "b").
    }
    lexer.offset = before;
    lexer.offset = start;
    return this.parenthesised();
  }
}

/** `{1;"two";key=3}`; the lexer stands on the opening brace. */
export function arrayLiteral(parser: LineParser): Expression {
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
