import { type ArrayValue, toText, type Value } from "../language/values.ts";

/** Options of `:serialize to=json`. */
export interface JsonOptions {
  /** `json.no-string-conversion`: digit-only strings stay strings. */
  readonly noStringConversion: boolean;
  /** `json.pretty`. */
  readonly pretty: boolean;
}

function quoted(text: string): string {
  // JSON.stringify leaves bytes above 0x7E as they are, like the console does.
  return JSON.stringify(text);
}

function members(value: ArrayValue): (readonly [string, Value])[] {
  const numbered = value.items.map((item, index) => [String(index), item] as const);
  return [...numbered, ...value.keys].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

/**
 * A value as RouterOS serialises it to JSON (facts section 2.1): keys sorted, sizes as integers, nothing as null;
 * without `noStringConversion` a string of digits becomes a float with six decimals.
 */
export function toJson(value: Value, options: JsonOptions, indent = "\n"): string {
  if (value === undefined) return "null";
  if (typeof value === "boolean" || typeof value === "bigint") return String(value);
  if (typeof value === "string") {
    const number = /^\d+(\.\d+)?$/.test(value) && !options.noStringConversion;
    return number ? Number(value).toFixed(6) : quoted(value);
  }
  if (value.kind !== "array") return quoted(toText(value));
  const inner = `${indent}    `;
  const list = value.keys.size === 0;
  const parts = list
    ? value.items.map((item) => toJson(item, options, inner))
    : members(value).map(([key, item]) => {
        const colon = options.pretty ? ": " : ":";
        return `${quoted(key)}${colon}${toJson(item, options, inner)}`;
      });
  const [open, close] = list ? ["[", "]"] : ["{", "}"];
  if (parts.length === 0 || !options.pretty) return `${open}${parts.join(",")}${close}`;
  return `${open}${inner}${parts.join(`,${inner}`)}${indent}${close}`;
}
