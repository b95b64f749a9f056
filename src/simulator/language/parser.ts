import type { ParseFailure } from "../errors.ts";
import type { Block, CommandNode, Expression } from "./ast.ts";
import { ExpressionParser } from "./expression-parser.ts";
import { Lexer } from "./lexer.ts";
import type { LineParser } from "./line-parser.ts";
import { type CommandSyntax, complete, type Grammar, type MenuSpec } from "./schema.ts";
import { skipCommand } from "./skip-command.ts";
import { readString } from "./strings.ts";
import { ValueParser } from "./value-parser.ts";

/** More operators than this in one line are refused: a chain of them nests as deeply when it is evaluated. */
const MAX_OPERATORS = 1000;
/** Deeper nesting than this is refused, so that no input exhausts the stack. */
const MAX_DEPTH = 64;

interface Menu {
  readonly spec: MenuSpec;
  readonly path: string;
}

/**
 * Parses a whole line against a grammar. `syntax error` and `expected ...` refuse the line as a whole; an unknown menu,
 * command or argument is a defect of its command, which fails when it is reached (facts section 13, by switch).
 */
export class Parser implements LineParser {
  readonly lexer: Lexer;
  readonly #grammar: Grammar;
  readonly #values: ValueParser;
  #menu: Menu;
  #depth = 0;
  #operators = 0;
  /** The first mistake in the arguments of the command that is being parsed. */
  #mistake: ParseFailure | undefined;

  constructor(source: string, grammar: Grammar) {
    this.lexer = new Lexer(source);
    this.#grammar = grammar;
    this.#values = new ValueParser(this);
    this.#menu = { spec: grammar.root, path: "" };
  }

  /** @throws ParseFailure */
  parse(): Block {
    const block = this.block("");
    if (!this.lexer.ended) throw this.lexer.fail("syntax error");
    return block;
  }

  /** Statements up to `close`, which is left for the caller; the current menu is restored behind them. */
  block(close: string): Block {
    return this.nested(() => this.#statements(close));
  }

  countOperator(): void {
    this.#operators += 1;
    if (this.#operators > MAX_OPERATORS) throw this.lexer.fail("syntax error");
  }

  noteDefect(failure: ParseFailure): void {
    this.#mistake ??= failure;
  }

  nested<T>(parse: () => T): T {
    if (this.#depth >= MAX_DEPTH) throw this.lexer.fail("syntax error");
    this.#depth += 1;
    try {
      return parse();
    } finally {
      this.#depth -= 1;
    }
  }

  #statements(close: string): Block {
    const menu = this.#menu;
    const statements: CommandNode[] = [];
    for (;;) {
      this.lexer.skipBetweenStatements();
      if (this.lexer.ended || /[\]})]/.test(this.lexer.peek())) break;
      const statement = this.#statement();
      if (statement !== undefined) statements.push(statement);
      this.lexer.skipBlanks();
      if (!this.atEnd()) throw this.lexer.fail("expected end of command");
    }
    if (this.lexer.peek() !== close) throw this.lexer.fail("syntax error");
    this.#menu = menu;
    return { statements };
  }

  enclosed(open: "{" | "[", close: "}" | "]"): Block {
    const start = this.lexer.offset;
    this.lexer.take(open);
    const block = this.block(close);
    if (!this.lexer.take(close)) throw this.lexer.fail("syntax error", start);
    return block;
  }

  #statement(): CommandNode | undefined {
    const start = this.lexer.offset;
    if (this.lexer.peek() === "{") {
      const spec = this.#global("do");
      if (spec === undefined) throw this.lexer.fail("syntax error", start);
      const block = this.enclosed("{", "}");
      const text = this.lexer.source.slice(start, this.lexer.offset);
      const body: Expression = { kind: "block", block, text };
      return this.#node(spec, "", start, { named: new Map([["command", body]]) });
    }
    if (this.lexer.take(":")) {
      const at = this.lexer.offset;
      const name = this.lexer.match(/[A-Za-z0-9-]+/);
      if (name === undefined) throw this.lexer.fail("expected command name");
      const spec = this.#global(name);
      return spec === undefined ? this.#unknown(name, at, start) : this.#arguments(spec, "", start);
    }
    return this.#menuCommand(start);
  }

  #global(name: string): CommandSyntax | undefined {
    const found = this.#grammar.globals.find((candidate) => candidate.name === `:${name}`);
    if (found === undefined || !this.#grammar.available(found.since)) return undefined;
    return this.#grammar.hidden(name) ? undefined : found;
  }

  /** A command that does not exist, up to where it ends. */
  #unknown(name: string, at: number, start: number): CommandNode {
    const failure = this.lexer.fail(`bad command name ${name}`, at);
    const effect = this.#grammar.unknownCommand;
    if (effect === "whole-line") throw failure;
    skipCommand(this);
    const defect = { failure, isCatchable: effect === "catchable" };
    return { ...this.#node({ name, arguments: [] }, "", start, {}), defect };
  }

  #menuCommand(start: number): CommandNode | undefined {
    const relative = !this.lexer.take("/");
    let menu = relative ? this.#menu : { spec: this.#grammar.root, path: "" };
    for (let first = true; ; first = false) {
      this.lexer.skipBlanks();
      const at = this.lexer.offset;
      const word = this.lexer.match(/[A-Za-z0-9-]+/);
      if (word === undefined) {
        if (first && relative) throw this.lexer.fail("expected command name");
        if (!this.atEnd()) throw this.lexer.fail("expected command name");
        this.#menu = menu;
        return undefined;
      }
      const exists = (spec: { since?: string }) => this.#grammar.available(spec.since);
      const menus: readonly MenuSpec[] = (menu.spec.menus ?? []).filter(exists);
      const commands: readonly CommandSyntax[] = (menu.spec.commands ?? []).filter(exists);
      const found = complete<MenuSpec | CommandSyntax>([...menus, ...commands], word);
      if (found === undefined) {
        const spec = first && relative ? this.#global(word) : undefined;
        return spec === undefined ? this.#unknown(word, at, start) : this.#arguments(spec, "", start);
      }
      if ("arguments" in found) {
        const outer = this.#menu;
        this.#menu = menu;
        const node = this.#arguments(found, menu.path, start);
        this.#menu = outer;
        return node;
      }
      menu = { spec: found, path: `${menu.path}/${found.name}` };
      this.lexer.skipBlanks();
      this.lexer.take("/");
    }
  }

  #arguments(spec: CommandSyntax, menu: string, start: number): CommandNode {
    const named = new Map<string, Expression>();
    const flags = new Set<string>();
    const unset = new Set<string>();
    const known = spec.arguments.filter((argument) => this.#grammar.available(argument.since));
    let where: Expression | undefined;
    const outer = this.#mistake;
    this.#mistake = undefined;
    for (;;) {
      this.lexer.skipBlanks();
      if (this.atEnd()) break;
      const at = this.lexer.offset;
      if (spec.implicitWhere === true && this.lexer.look(/where(?![A-Za-z0-9-])/) === undefined) {
        where = new ExpressionParser(this, this.#properties()).where();
        break;
      }
      const key = this.lexer.look(/!?[A-Za-z0-9.-]+(?==)/) ?? this.lexer.look(/![A-Za-z0-9-]+/);
      if (key !== undefined) {
        const name = key.replace("!", "");
        const argument = complete(
          known.filter((candidate) => candidate.type !== "flag"),
          name,
        );
        if (argument === undefined) this.#unknownArgument(name, at);
        this.lexer.offset += key.length;
        if (key.startsWith("!")) {
          unset.add(argument?.name ?? name);
          continue;
        }
        this.lexer.take("=");
        named.set(argument?.name ?? name, this.#values.argument(argument ?? { name, type: "any" }));
        continue;
      }
      const word = this.lexer.look(/[A-Za-z][A-Za-z0-9-]*(?=$|[\s;\]})])/);
      if (word === "where" && spec.where === true) {
        this.lexer.offset += word.length;
        where = new ExpressionParser(this, this.#properties()).where();
        break;
      }
      const flag = known.find((candidate) => candidate.type === "flag" && candidate.name === word);
      if (flag !== undefined) {
        this.lexer.offset += flag.name.length;
        flags.add(flag.name);
        continue;
      }
      const next = (spec.positional ?? []).find((name) => !named.has(name));
      const argument = known.find((candidate) => candidate.name === next);
      if (argument === undefined) throw this.lexer.fail("expected end of command", at);
      named.set(argument.name, this.#values.argument(argument));
    }
    if (this.#grammar.conflicting(flags)) throw this.lexer.fail("expected end of command");
    const mistake = this.#mistake;
    this.#mistake = outer;
    const node = this.#node(spec, menu, start, {
      named,
      flags,
      unset,
      ...(where === undefined ? {} : { where }),
    });
    return mistake === undefined ? node : { ...node, defect: { failure: mistake, isCatchable: true } };
  }

  #unknownArgument(name: string, at: number): void {
    const { text, effect } = this.#grammar.unknownArgument(name);
    const failure = this.lexer.fail(text, at);
    if (effect === "whole-line") throw failure;
    this.noteDefect(failure);
  }

  #node(
    spec: CommandSyntax,
    menu: string,
    start: number,
    parts: Partial<Pick<CommandNode, "named" | "flags" | "unset" | "where">>,
  ): CommandNode {
    const text = this.lexer.source.slice(start, this.lexer.offset).trim();
    const none = { named: new Map(), flags: new Set<string>(), unset: new Set<string>() };
    return { spec, menu, at: this.lexer.position(start), text, ...none, ...parts };
  }

  #properties(): ReadonlySet<string> {
    const all = this.#menu.spec.properties ?? [];
    return new Set(all.filter((p) => this.#grammar.available(p.since)).map((p) => p.name));
  }

  atEnd(): boolean {
    return this.lexer.ended || /[;\r\n\]})]/.test(this.lexer.peek());
  }

  string(): Expression {
    return readString(this.lexer, () => this.expansion());
  }

  expansion(): Expression {
    const at = this.lexer.position(this.lexer.offset - 1);
    if (this.lexer.peek() === "(") return new ExpressionParser(this, new Set()).parenthesised();
    if (this.lexer.peek() === "[") return { kind: "substitution", block: this.enclosed("[", "]") };
    const quoted = this.lexer.match(/"[A-Za-z0-9_.-]+"/);
    const name = quoted?.slice(1, -1) ?? this.lexer.match(/[A-Za-z0-9]+/);
    if (name === undefined) throw this.lexer.fail("syntax error");
    return { kind: "variable", name, at };
  }
}
