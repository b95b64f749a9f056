import type { Block } from "./ast.ts";
import { formatTime, type Scalar } from "./scalars.ts";

/** An array of RouterOS: positional elements and keyed elements side by side. */
export interface ArrayValue {
  readonly kind: "array";
  readonly items: Value[];
  readonly keys: Map<string, Value>;
}

/** Parsed code that has not run (`:parse`, a `do={}` kept in a variable). */
export interface CodeValue {
  readonly kind: "code";
  readonly block: Block;
  readonly text: string;
}

/** Any value of the RouterOS scripting language; `undefined` is its "nothing". */
export type Value = undefined | Scalar | ArrayValue | CodeValue;

export function list(items: readonly Value[]): ArrayValue {
  return { kind: "array", items: [...items], keys: new Map() };
}

export function map(entries: Iterable<readonly [string, Value]>): ArrayValue {
  return { kind: "array", items: [], keys: new Map(entries) };
}

export function isArray(value: Value): value is ArrayValue {
  return typeof value === "object" && value.kind === "array";
}

/** The name that `:typeof` gives. */
export function typeName(value: Value): string {
  if (value === undefined) return "nothing";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "bigint") return "num";
  if (typeof value === "string") return "str";
  return value.kind;
}

/** The text form that `:put`, `.` and string interpolation use. */
export function toText(value: Value): string {
  if (value === undefined) return "";
  if (typeof value === "string") return value;
  if (typeof value === "boolean" || typeof value === "bigint") return String(value);
  switch (value.kind) {
    case "id":
    case "ip":
    case "ip6":
      return value.text;
    case "time":
      return formatTime(value);
    case "code":
      return value.text;
    case "array": {
      const keyed = [...value.keys].map(([key, item]) => `${key}=${toText(item)}`);
      return [...value.items.map(toText), ...keyed].join(";");
    }
  }
}
