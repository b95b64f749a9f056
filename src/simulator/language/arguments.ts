import { RunFailure } from "../errors.ts";
import type { CommandNode } from "./ast.ts";
import { parseBool, parseInteger, parseSize } from "./scalars.ts";

import type { ArgumentSpec } from "./schema.ts";
import { isArray, toText, type Value } from "./values.ts";

/** The arguments of a menu's command, converted to their types. */
export class CommandArguments {
  readonly #values: ReadonlyMap<string, Value>;
  readonly #flags: ReadonlySet<string>;
  /** Arguments given as `!name`. */
  readonly unset: ReadonlySet<string>;

  constructor(values: ReadonlyMap<string, Value>, flags: ReadonlySet<string>, unset: ReadonlySet<string>) {
    this.#values = values;
    this.#flags = flags;
    this.unset = unset;
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  flag(name: string): boolean {
    return this.#flags.has(name);
  }

  value(name: string): Value {
    return this.#values.get(name);
  }

  /** The argument as text; undefined when not given. */
  text(name: string): string | undefined {
    return this.#values.has(name) ? toText(this.#values.get(name)) : undefined;
  }

  num(name: string): bigint | undefined {
    const value = this.#values.get(name);
    return typeof value === "bigint" ? value : undefined;
  }

  /** Names and values in the order of the line. */
  entries(): IterableIterator<[string, Value]> {
    return new Map(this.#values).entries();
  }
}

function toNumber(spec: ArgumentSpec, text: string): bigint {
  const value = spec.type === "size" ? parseSize(text) : parseInteger(text);
  if (value === undefined) {
    const trailing = /^\d/.test(text);
    throw new RunFailure(
      trailing
        ? `value of ${spec.name} contains invalid trailing characters`
        : `invalid value for argument ${spec.name}`,
    );
  }
  if (spec.range !== undefined && (value < spec.range[0] || value > spec.range[1])) {
    throw new RunFailure(`value of ${spec.name} out of range (${spec.range[0]}..${spec.range[1]})`);
  }
  return value;
}

function toEnum(spec: ArgumentSpec, text: string): string {
  const values = spec.values ?? [];
  if (values.includes(text)) return text;
  const completions = text === "" ? [] : values.filter((candidate) => candidate.startsWith(text));
  const [only] = completions;
  if (only !== undefined && completions.length === 1) return only;
  throw new RunFailure(`input does not match any value of ${spec.name}`);
}

function convert(spec: ArgumentSpec, value: Value, word: string | undefined): Value {
  const text = word ?? toText(value);
  switch (spec.type) {
    case "string":
      return text;
    case "bool": {
      const bool = parseBool(text) ?? parseBool(toEnum({ ...spec, values: ["yes", "no"] }, text));
      return bool;
    }
    case "num":
    case "size":
      if (spec.values?.includes(text) === true) return text;
      return toNumber(spec, text);
    case "enum":
      if (isArray(value)) return value;
      return toEnum(spec, text);
    case "items":
      return word === undefined || word.startsWith("*") ? value : word;
    default:
      return value;
  }
}

/**
 * Converts evaluated arguments to the types of the command's schema.
 * @throws RunFailure with the texts of facts section 6
 */
export function convertArguments(node: CommandNode, values: ReadonlyMap<string, Value>): CommandArguments {
  const converted = new Map<string, Value>();
  for (const [name, value] of values) {
    const spec = node.spec.arguments.find((candidate) => candidate.name === name);
    if (spec === undefined) continue;
    const source = node.named.get(name);
    converted.set(name, convert(spec, value, source?.kind === "word" ? source.text : undefined));
  }
  for (const name of node.spec.required ?? []) {
    if (!converted.has(name)) throw new RunFailure(`missing value(s) of argument(s) ${name}`);
  }
  return new CommandArguments(converted, node.flags, node.unset);
}
