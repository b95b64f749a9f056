import { RunFailure } from "../errors.ts";
import type { CommandNode } from "../language/ast.ts";
import type { Interpreter } from "../language/interpreter.ts";
import type { ArgumentSpec } from "../language/schema.ts";
import { Scope } from "../language/scope.ts";
import { isArray, toText, type Value } from "../language/values.ts";
import type { CommandSpec } from "./command.ts";
import { required } from "./language-arguments.ts";

const block = (name: string): ArgumentSpec => ({ name, type: "block" });
const variable = (name: string): ArgumentSpec => ({ name, type: "name" });
const any = (name: string): ArgumentSpec => ({ name, type: "any" });

async function name(interpreter: Interpreter, node: CommandNode, scope: Scope): Promise<string> {
  return toText(await required(interpreter, node, "name", scope));
}

/** A condition must be a bool; RouterOS refuses everything else. */
async function condition(
  interpreter: Interpreter,
  node: CommandNode,
  argument: string,
  scope: Scope,
): Promise<boolean> {
  const value = await required(interpreter, node, argument, scope);
  if (typeof value !== "boolean") throw new RunFailure("conditional not boolean", node.spec.name);
  return value;
}

/** The elements of a loop, with their positions or keys. */
function elements(value: Value): (readonly [Value, Value])[] {
  if (value === undefined) return [];
  if (!isArray(value)) return [[0n, value]];
  const numbered = value.items.map((item, at) => [BigInt(at), item] as const);
  return [...numbered, ...value.keys];
}

/** Runs the loop body with one more variable. */
async function body(
  interpreter: Interpreter,
  node: CommandNode,
  scope: Scope,
  variables: Record<string, Value>,
) {
  interpreter.runtime.checkpoint();
  const inner = new Scope(scope);
  for (const [key, value] of Object.entries(variables)) inner.declare(key, value);
  await interpreter.runArgument(node, "do", inner);
}

async function declare(
  interpreter: Interpreter,
  node: CommandNode,
  scope: Scope,
  target: Scope,
): Promise<Value> {
  target.declare(await name(interpreter, node, scope), await interpreter.argument(node, "value", scope));
  return undefined;
}

/** Global commands that run code or handle variables. */
export const CONTROL_COMMANDS: readonly CommandSpec[] = [
  {
    name: ":if",
    arguments: [any("condition"), block("do"), block("else")],
    positional: ["condition", "do"],
    evaluate: async (interpreter, node, scope) => {
      const branch = (await condition(interpreter, node, "condition", scope)) ? "do" : "else";
      return interpreter.runArgument(node, branch, scope);
    },
  },
  {
    name: ":do",
    arguments: [block("command"), block("on-error"), any("while")],
    positional: ["command"],
    evaluate: async (interpreter, node, scope) => {
      try {
        do await interpreter.runArgument(node, "command", scope);
        while (node.named.has("while") && (await condition(interpreter, node, "while", scope)));
      } catch (error) {
        if (!(error instanceof RunFailure) || !node.named.has("on-error")) throw error;
        await interpreter.runArgument(node, "on-error", scope);
      }
      return undefined;
    },
  },
  {
    name: ":onerror",
    since: "7.13",
    arguments: [variable("name"), block("in"), block("do")],
    positional: ["name"],
    evaluate: async (interpreter, node, scope) => {
      const key = await name(interpreter, node, scope);
      try {
        await interpreter.runArgument(node, "in", scope);
        return false;
      } catch (error) {
        if (!(error instanceof RunFailure)) throw error;
        const inner = new Scope(scope);
        inner.declare(key, interpreter.runtime.describe(error));
        await interpreter.runArgument(node, "do", inner);
        return true;
      }
    },
  },
  {
    name: ":while",
    arguments: [any("condition"), block("do")],
    positional: ["condition", "do"],
    evaluate: async (interpreter, node, scope) => {
      while (await condition(interpreter, node, "condition", scope)) await body(interpreter, node, scope, {});
      return undefined;
    },
  },
  {
    name: ":for",
    arguments: [variable("name"), any("from"), any("to"), any("step"), block("do")],
    positional: ["name"],
    evaluate: async (interpreter, node, scope) => {
      const key = await name(interpreter, node, scope);
      const from = await required(interpreter, node, "from", scope);
      const to = await required(interpreter, node, "to", scope);
      if (typeof from !== "bigint" || typeof to !== "bigint")
        throw new RunFailure("invalid value for argument from");
      const given = await interpreter.argument(node, "step", scope);
      const step = typeof given === "bigint" && given !== 0n ? given : from <= to ? 1n : -1n;
      for (let at = from; step > 0n ? at <= to : at >= to; at += step) {
        await body(interpreter, node, scope, { [key]: at });
      }
      return undefined;
    },
  },
  {
    name: ":foreach",
    arguments: [variable("name"), any("in"), block("do")],
    positional: ["name"],
    evaluate: async (interpreter, node, scope) => {
      const [first = "", second] = (await name(interpreter, node, scope)).split(",");
      for (const [key, value] of elements(await required(interpreter, node, "in", scope))) {
        const variables = second === undefined ? { [first]: value } : { [first]: key, [second]: value };
        await body(interpreter, node, scope, variables);
      }
      return undefined;
    },
  },
  {
    name: ":local",
    arguments: [variable("name"), any("value")],
    positional: ["name", "value"],
    evaluate: (interpreter, node, scope) => declare(interpreter, node, scope, scope),
  },
  {
    name: ":global",
    arguments: [variable("name"), any("value")],
    positional: ["name", "value"],
    evaluate: (interpreter, node, scope) => declare(interpreter, node, scope, interpreter.globals),
  },
  {
    name: ":set",
    arguments: [variable("name"), any("value")],
    positional: ["name", "value"],
    evaluate: async (interpreter, node, scope) => {
      const key = await name(interpreter, node, scope);
      const value = await interpreter.argument(node, "value", scope);
      if (!scope.set(key, value)) throw new RunFailure(`variable ${key} is not declared`, ":set");
      return undefined;
    },
  },
  {
    name: ":return",
    arguments: [any("value")],
    positional: ["value"],
    evaluate: async (interpreter, node, scope) =>
      interpreter.return(await interpreter.argument(node, "value", scope)),
  },
];
