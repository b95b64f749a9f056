import { ParseFailure, RunFailure } from "../errors.ts";
import { Parser } from "../language/parser.ts";
import { toText } from "../language/values.ts";
import type { CommandSpec } from "./command.ts";
import { required } from "./language-arguments.ts";

/**
 * `/import`: runs a script file; changes before a failure stay. Texts as measured on RouterOS 7.24.4 (public
 * notes of others). The policies that count are those of the commands in it.
 */
export const IMPORT: CommandSpec = {
  name: "import",
  arguments: [{ name: "file-name", type: "string" }],
  positional: ["file-name"],
  required: ["file-name"],
  evaluate: async (interpreter, node, scope) => {
    const { runtime } = interpreter;
    const given = node.named.get("file-name");
    const name =
      given?.kind === "word" ? given.text : toText(await required(interpreter, node, "file-name", scope));
    const source = runtime.script(name.replace(/^\/+/, ""));
    if (source === undefined) throw failed("Cannot open import file, file does not exist");
    try {
      await interpreter.runCode(new Parser(source, runtime.grammar).parse(), interpreter.globals);
    } catch (error) {
      if (error instanceof RunFailure) throw failed(`Script Error: ${runtime.describe(error)}`);
      if (error instanceof ParseFailure) throw failed(`Script Error: ${error.message}`);
      throw error;
    }
    runtime.write("");
    runtime.write("Script file loaded and executed successfully");
    return undefined;
  },
};

function failed(text: string): RunFailure {
  return new RunFailure(`${text} (:import; line 1)`, ":import");
}
