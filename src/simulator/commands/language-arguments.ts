import { RunFailure } from "../errors.ts";
import type { CommandNode } from "../language/ast.ts";
import type { Interpreter } from "../language/interpreter.ts";
import type { Scope } from "../language/scope.ts";
import type { Value } from "../language/values.ts";

/** The value of an argument that must be there. */
export async function required(
  interpreter: Interpreter,
  node: CommandNode,
  name: string,
  scope: Scope,
): Promise<Value> {
  if (!node.named.has(name)) throw new RunFailure(`missing value(s) of argument(s) ${name}`, node.spec.name);
  return interpreter.argument(node, name, scope);
}
