import { randomInt } from "node:crypto";
import { toJson } from "../console/json.ts";
import { addressBytes } from "../device/addresses.ts";
import { ParseFailure, RunFailure } from "../errors.ts";
import type { CommandNode } from "../language/ast.ts";
import { Parser } from "../language/parser.ts";
import { millisecondsOf, parseBool, parseInteger, parseTime, time } from "../language/scalars.ts";
import type { ArgumentSpec } from "../language/schema.ts";
import { isArray, list, toText, typeName, type Value } from "../language/values.ts";
import type { CommandSpec } from "./command.ts";
import { CONTROL_COMMANDS } from "./control-flow.ts";
import { required } from "./language-arguments.ts";

const VALUE: ArgumentSpec = { name: "value", type: "any" };

/** A command that maps its one value to another. */
function conversion(name: string, convert: (value: Value) => Value): CommandSpec {
  return {
    name,
    arguments: [VALUE],
    positional: ["value"],
    evaluate: async (interpreter, node, scope) => convert(await required(interpreter, node, "value", scope)),
  };
}

/** `:len`: characters of a text, elements of an array. */
function length(value: Value): bigint {
  if (isArray(value)) return BigInt(value.items.length + value.keys.size);
  return BigInt(toText(value).length);
}

function toNumber(value: Value): Value {
  if (typeof value === "bigint") return value;
  if (typeof value === "boolean") return value ? 1n : 0n;
  return parseInteger(toText(value));
}

function milliseconds(value: Value): number {
  if (typeof value === "bigint") return Number(value) * 1000;
  const found =
    typeof value === "object" && value.kind === "time" ? millisecondsOf(value) : parseTime(toText(value));
  if (found === undefined) throw new RunFailure("invalid value for argument delay-time", ":delay");
  return found;
}

/** `:tonsec`: nanoseconds of a duration, also of one in text; nothing for another value. */
function toNanoseconds(value: Value): Value {
  if (typeof value === "object" && value.kind === "time") return value.nanoseconds;
  const found = typeof value === "string" ? parseTime(value) : undefined;
  return found === undefined ? undefined : time(found).nanoseconds;
}

const ALPHANUMERIC = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** `:toip` and `:toip6`: nothing when the text is no address of that kind. */
function toAddress(value: Value, bytes: 4 | 16): Value {
  const text = toText(value);
  if (addressBytes(text)?.length !== bytes) return undefined;
  return { kind: bytes === 4 ? "ip" : "ip6", text };
}

/** A statement as `:parse` shows it: a mistake stands in its place (facts section 13). */
function compiled({ defect, menu, spec, text }: CommandNode): string {
  if (defect === undefined) return `(evl ${text})`;
  const { message } = defect.failure;
  return message.startsWith("bad command name")
    ? `(<%% ${message})`
    : `(evl ${message} ${menu}/${spec.name})`;
}

/** Global commands that work on values; those with code are in control-flow.ts. */
export const LANGUAGE: readonly CommandSpec[] = [
  ...CONTROL_COMMANDS,
  conversion(":len", length),
  conversion(":tostr", toText),
  conversion(":tonum", toNumber),
  {
    name: ":tobool",
    arguments: [VALUE],
    positional: ["value"],
    evaluate: async (interpreter, node, scope) => {
      const value = await required(interpreter, node, "value", scope);
      if (typeof value === "boolean") return value;
      const text = toText(value);
      // The words yes and no: nothing up to 7.21, seen to work on 7.24.5 (facts section 13).
      const isKnown = /^(true|false)$/.test(text) || interpreter.runtime.grammar.available("7.22");
      return isKnown ? parseBool(text) : undefined;
    },
  },
  conversion(":toarray", (value) => (isArray(value) ? value : list(toText(value).split(",")))),
  conversion(":typeof", typeName),
  conversion(":tonsec", toNanoseconds),
  {
    // In the manual since 2022, and so in every version that this simulator can have.
    name: ":timestamp",
    arguments: [],
    evaluate: async (interpreter) => ({ kind: "time", nanoseconds: interpreter.runtime.timestamp() }),
  },
  conversion(":toip", (value) => toAddress(value, 4)),
  conversion(":toip6", (value) => toAddress(value, 16)),
  {
    name: ":rndstr",
    arguments: [
      { name: "length", type: "any" },
      { name: "from", type: "string" },
    ],
    evaluate: async (interpreter, node, scope) => {
      const length = toNumber(await required(interpreter, node, "length", scope));
      const from = toText((await interpreter.argument(node, "from", scope)) ?? ALPHANUMERIC);
      if (typeof length !== "bigint" || length < 0n || length > 65_535n || from === "") {
        throw new RunFailure("invalid value for argument length", ":rndstr");
      }
      return Array.from({ length: Number(length) }, () => from.charAt(randomInt(from.length))).join("");
    },
  },
  {
    name: ":put",
    arguments: [{ name: "message", type: "any" }],
    positional: ["message"],
    evaluate: async (interpreter, node, scope) => {
      const message = node.named.get("message");
      if (message === undefined) throw new RunFailure("missing value(s) of argument(s) message", ":put");
      // A bare word is printed as it was written: `:put yes` is not a bool.
      const value = message.kind === "word" ? message.text : await interpreter.evaluate(message, scope);
      interpreter.runtime.write(toText(value));
      return value;
    },
  },
  {
    name: ":error",
    arguments: [{ name: "message", type: "any" }],
    positional: ["message"],
    evaluate: async (interpreter, node, scope) => {
      throw new RunFailure(toText(await required(interpreter, node, "message", scope)), ":error");
    },
  },
  {
    name: ":serialize",
    since: "7.13",
    arguments: [
      { name: "to", type: "enum", values: ["json"] },
      { name: "options", type: "any", since: "7.16" },
      VALUE,
    ],
    positional: ["value"],
    evaluate: async (interpreter, node, scope) => {
      const to = await required(interpreter, node, "to", scope);
      if (to !== "json") throw new RunFailure("input does not match any value of to", ":serialize");
      const options = await interpreter.argument(node, "options", scope);
      const names = isArray(options) ? options.items.map(toText) : toText(options).split(",");
      const unknown = names.find((name) => !["", "json.pretty", "json.no-string-conversion"].includes(name));
      if (unknown !== undefined)
        throw new RunFailure("input does not match any value of options", ":serialize");
      return toJson(await required(interpreter, node, "value", scope), {
        noStringConversion: names.includes("json.no-string-conversion"),
        pretty: names.includes("json.pretty"),
      });
    },
  },
  {
    name: ":parse",
    arguments: [{ name: "source", type: "any" }],
    positional: ["source"],
    evaluate: async (interpreter, node, scope) => {
      const source = toText(await required(interpreter, node, "source", scope));
      try {
        const block = new Parser(source, interpreter.runtime.grammar).parse();
        const text = block.statements.map(compiled).join(";");
        return { kind: "code", block, text };
      } catch (error) {
        if (error instanceof ParseFailure) return error.message;
        throw error;
      }
    },
  },
  {
    name: ":delay",
    arguments: [{ name: "delay-time", type: "any" }],
    positional: ["delay-time"],
    evaluate: async (interpreter, node, scope) => {
      await interpreter.runtime.sleep(milliseconds(await required(interpreter, node, "delay-time", scope)));
      return undefined;
    },
  },
  {
    name: ":pick",
    arguments: [VALUE, { name: "begin", type: "any" }, { name: "end", type: "any" }],
    positional: ["value", "begin", "end"],
    evaluate: async (interpreter, node, scope) => {
      const value = await required(interpreter, node, "value", scope);
      const begin = Number(toNumber(await required(interpreter, node, "begin", scope)) ?? 0n);
      const end = toNumber(await interpreter.argument(node, "end", scope));
      const until = typeof end === "bigint" ? Number(end) : begin + 1;
      if (!isArray(value)) return toText(value).slice(begin, until);
      return typeof end === "bigint" ? list(value.items.slice(begin, until)) : value.items[begin];
    },
  },
  {
    name: ":find",
    arguments: [VALUE, { name: "key", type: "any" }, { name: "from", type: "any" }],
    positional: ["value", "key", "from"],
    evaluate: async (interpreter, node, scope) => {
      const value = await required(interpreter, node, "value", scope);
      const key = toText(await required(interpreter, node, "key", scope));
      const start = toNumber(await interpreter.argument(node, "from", scope));
      const from = typeof start === "bigint" ? Number(start) : 0;
      const found = isArray(value)
        ? value.items.findIndex((item, at) => at >= from && toText(item) === key)
        : toText(value).indexOf(key, from);
      return found < 0 ? undefined : BigInt(found);
    },
  },
];
