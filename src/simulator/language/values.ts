import type { Block } from "./ast.ts";

/** An internal item number, printed as "*1F". */
export interface IdValue {
  readonly kind: "id";
  readonly text: string;
}

/** An address. */
export interface AddressValue {
  readonly kind: "ip" | "ip6";
  readonly text: string;
}

/** A duration, in whole milliseconds. */
export interface TimeValue {
  readonly kind: "time";
  readonly milliseconds: number;
}

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
export type Value =
  | undefined
  | boolean
  | bigint
  | string
  | IdValue
  | AddressValue
  | TimeValue
  | ArrayValue
  | CodeValue;

export function id(text: string): IdValue {
  return { kind: "id", text };
}

export function time(milliseconds: number): TimeValue {
  return { kind: "time", milliseconds };
}

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

/** A duration as RouterOS prints it: `01:30:15`, with `1d` and `1w` before it when that long. */
export function formatTime(milliseconds: number): string {
  const total = Math.floor(milliseconds / 1000);
  const days = Math.floor(total / 86_400);
  const two = (n: number) => String(n).padStart(2, "0");
  const clock = `${two(Math.floor(total / 3600) % 24)}:${two(Math.floor(total / 60) % 60)}:${two(total % 60)}`;
  const weeks = Math.floor(days / 7);
  return `${weeks > 0 ? `${weeks}w` : ""}${days % 7 > 0 ? `${days % 7}d` : ""}${clock}`;
}

/** A duration as print shows it in text: `2d3h4m5s`, without the units that are zero. */
export function formatUnits(milliseconds: number): string {
  const total = Math.floor(milliseconds / 1000);
  const parts = [
    [Math.floor(total / 604_800), "w"],
    [Math.floor(total / 86_400) % 7, "d"],
    [Math.floor(total / 3600) % 24, "h"],
    [Math.floor(total / 60) % 60, "m"],
    [total % 60, "s"],
  ] as const;
  return parts.map(([count, unit]) => (count === 0 ? "" : `${count}${unit}`)).join("") || "0s";
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
      return formatTime(value.milliseconds);
    case "code":
      return value.text;
    case "array": {
      const keyed = [...value.keys].map(([key, item]) => `${key}=${toText(item)}`);
      return [...value.items.map(toText), ...keyed].join(";");
    }
  }
}

const UNITS: Readonly<Record<string, number>> = {
  w: 604_800_000,
  d: 86_400_000,
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
};

/** Milliseconds of `5s`, `1m30s`, `200ms` or `00:01:30`; undefined when `text` is no duration. */
export function parseTime(text: string): number | undefined {
  const clock = /^(?:(\d+)d)?(\d{1,2}):(\d{2}):(\d{2})(?:\.(\d{1,3}))?$/.exec(text);
  if (clock !== null) {
    const [, days = "0", hours = "0", minutes = "0", seconds = "0", fraction = "0"] = clock;
    const whole = ((Number(days) * 24 + Number(hours)) * 60 + Number(minutes)) * 60 + Number(seconds);
    return whole * 1000 + Number(fraction.padEnd(3, "0"));
  }
  if (!/^(\d+(\.\d+)?(ms|[wdhms]))+$/.test(text)) return undefined;
  let sum = 0;
  for (const part of text.matchAll(/(\d+(?:\.\d+)?)(ms|[wdhms])/g)) {
    sum += Number(part[1]) * (UNITS[part[2] ?? ""] ?? 0);
  }
  return Math.round(sum);
}

/** An integer as the console reads it: decimal or 0x hexadecimal, with an optional minus sign. */
export function parseInteger(text: string): bigint | undefined {
  if (/^-?\d+$/.test(text)) return BigInt(text);
  if (/^0x[0-9a-fA-F]+$/.test(text)) return BigInt(text);
  return undefined;
}
