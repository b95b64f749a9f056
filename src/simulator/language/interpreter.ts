import { RunFailure } from "../errors.ts";
import { type CommandArguments, convertArguments } from "./arguments.ts";
import type { Block, CommandNode, Expression } from "./ast.ts";
import { binary, index } from "./operators.ts";
import { id, parseBool, wordValue } from "./scalars.ts";
import type { CommandSyntax, Grammar } from "./schema.ts";
import { type Row, Scope } from "./scope.ts";
import { type CodeValue, list, map, toText, type Value } from "./values.ts";

/** The session that runs a line, as the interpreter uses it. */
export interface Runtime {
  readonly grammar: Grammar;
  /** Prints one line of output. */
  write(line: string): void;
  /** The code of a command that gets its arguments unevaluated; undefined for one of a menu. */
  evaluator(command: CommandSyntax): Evaluate | undefined;
  /** Runs a command of a menu. */
  command(call: MenuCall): Promise<Value>;
  /** Called before each command; throws LineCut when the line must stop. */
  checkpoint(): void;
  /** Called where the statements of other lines may run, if the switch `interleaving` lets them. */
  boundary(kind: Boundary): Promise<void>;
  /** Waits; other lines may run meanwhile. */
  sleep(milliseconds: number): Promise<void>;
  /** Nanoseconds since the Unix epoch, in UTC. */
  timestamp(): bigint;
  /** The error variable's text of `:onerror`. */
  describe(error: RunFailure): string;
  /** The text of a script file; undefined when there is none. */
  script(name: string): string | undefined;
}

/** Runs a command of the language, such as `:if`, which evaluates its arguments itself. */
export type Evaluate = (interpreter: Interpreter, node: CommandNode, scope: Scope) => Promise<Value>;

/** A place in a line: before a statement, or between a command and the `find` that is its argument. */
export type Boundary = "statement" | "argument";

/** A command of a menu, its arguments evaluated and converted. */
export interface MenuCall {
  readonly node: CommandNode;
  readonly args: CommandArguments;
  /** Whether the command stands in `[...]`, where `print` gives a value. */
  readonly substituted: boolean;
  /** Whether `row` meets the command's `where`; always true without one. */
  matches(row: Row): Promise<boolean>;
}

/** Thrown by `:return`. */
class Returned extends Error {
  readonly value: Value;
  constructor(value: Value) {
    super("return");
    this.value = value;
  }
}

/** Runs parsed lines. */
export class Interpreter {
  readonly runtime: Runtime;
  /** Global variables live as long as the line. */
  readonly globals = new Scope();

  constructor(runtime: Runtime) {
    this.runtime = runtime;
  }

  /** Runs a whole line. @throws RunFailure, LineCut */
  async runLine(block: Block): Promise<void> {
    await this.runCode(block, this.globals);
  }

  /** Runs a block in a new scope; `:return` ends it and gives its value. */
  async runCode(block: Block, outer: Scope): Promise<Value> {
    try {
      return await this.run(block, new Scope(outer));
    } catch (error) {
      if (error instanceof Returned) return error.value;
      throw error;
    }
  }

  /** Runs a block's statements in `scope`; the value is that of the last one. */
  async run(block: Block, scope: Scope, substituted = false): Promise<Value> {
    let value: Value;
    for (const statement of block.statements) value = await this.execute(statement, scope, substituted);
    return value;
  }

  /** `:return value` inside a block. */
  return(value: Value): never {
    throw new Returned(value);
  }

  async execute(node: CommandNode, scope: Scope, substituted = false): Promise<Value> {
    if (!substituted) await this.runtime.boundary("statement");
    this.runtime.checkpoint();
    const origin = `${node.menu}/${node.spec.name}`;
    const evaluate = this.runtime.evaluator(node.spec);
    try {
      if (node.defect?.isCatchable === false) throw node.defect.failure;
      if (node.defect !== undefined) throw new RunFailure(node.defect.failure.message, origin);
      if (evaluate !== undefined) return await evaluate(this, node, scope);
      const values = new Map<string, Value>();
      for (const [name, expression] of node.named) values.set(name, await this.evaluate(expression, scope));
      const args = convertArguments(node, values);
      if (!substituted && [...node.named.values()].some(({ kind }) => kind === "substitution"))
        await this.runtime.boundary("argument");
      const { where } = node;
      const matches = async (row: Row) =>
        where === undefined || truthy(await this.evaluate(where, new Scope(scope, row)));
      return await this.runtime.command({ node, args, substituted, matches });
    } catch (error) {
      if (error instanceof RunFailure) {
        error.line ??= node.at.line;
        if (evaluate === undefined) error.origin ??= origin;
      }
      throw error;
    }
  }

  async evaluate(expression: Expression, scope: Scope): Promise<Value> {
    switch (expression.kind) {
      case "string":
      case "literal":
        return expression.value;
      case "word":
        return wordValue(expression.text);
      case "variable":
        return scope.get(expression.name);
      case "property":
        return scope.row?.get(expression.name);
      case "substitution":
        return this.run(expression.block, new Scope(scope), true);
      case "block":
        return { kind: "code", block: expression.block, text: expression.text } satisfies CodeValue;
      case "interpolated": {
        let text = "";
        for (const part of expression.parts) text += toText(await this.evaluate(part, scope));
        return text;
      }
      case "array": {
        const array = map([]);
        for (const entry of expression.entries) {
          const value = await this.evaluate(entry.value, scope);
          if (entry.key === undefined) array.items.push(value);
          else array.keys.set(toText(await this.evaluate(entry.key, scope)), value);
        }
        return array;
      }
      case "unary": {
        const operand = await this.evaluate(expression.operand, scope);
        if (expression.operator === "!") return !truthy(operand);
        if (typeof operand === "bigint") return -operand;
        throw new RunFailure("cannot negate a value that is not a number");
      }
      case "index":
        return index(
          await this.evaluate(expression.target, scope),
          await this.evaluate(expression.key, scope),
        );
      case "binary": {
        const left = await this.evaluate(expression.left, scope);
        if (expression.operator === "and" && !truthy(left)) return false;
        if (expression.operator === "or" && truthy(left)) return true;
        const right = await this.evaluate(expression.right, scope);
        if (expression.operator === "and" || expression.operator === "or") return truthy(right);
        return binary(expression.operator, left, right, scope.row !== undefined);
      }
    }
  }

  /** The evaluated argument `name`; undefined when it was not given. */
  async argument(node: CommandNode, name: string, scope: Scope): Promise<Value> {
    const expression = node.named.get(name);
    return expression === undefined ? undefined : this.evaluate(expression, scope);
  }

  /** Runs the code argument `name` in a scope of its own, when it was given. */
  async runArgument(node: CommandNode, name: string, scope: Scope): Promise<Value> {
    const expression = node.named.get(name);
    if (expression === undefined) return undefined;
    if (expression.kind === "block") return this.run(expression.block, new Scope(scope));
    const code = await this.evaluate(expression, scope);
    if (typeof code === "object" && code.kind === "code") return this.run(code.block, new Scope(scope));
    throw new RunFailure(`argument ${name} is not code`, node.spec.name);
  }
}

/** Truth of a condition: only a bool (or its word) says yes or no; another value is true when it is there. */
export function truthy(value: Value): boolean {
  if (typeof value === "boolean") return value;
  if (value === undefined) return false;
  if (typeof value === "bigint") return value !== 0n;
  if (typeof value === "string") return parseBool(value) ?? value !== "";
  return true;
}

/** Item numbers as the array that `find` gives. */
export function idList(ids: readonly string[]): Value {
  return list(ids.map(id));
}
