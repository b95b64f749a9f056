import { RunFailure } from "../errors.ts";
import { millisecondsOf, parseBool, parseInteger, parseSize, parseTime } from "./scalars.ts";
import { isArray, toText, typeName, type Value } from "./values.ts";

/**
 * Equality. Values of different types differ, except that a bool equals the words yes/no/true/false, and an item
 * number equals its text.
 * @param lenient as in `where`: numbers may be written as sizes, and an absent property equals ""
 */
export function equal(left: Value, right: Value, lenient = false): boolean {
  if (isArray(left) && isArray(right)) return toText(left) === toText(right);
  if (typeof left === "boolean" && typeof right === "string") return left === parseBool(right);
  if (typeof right === "boolean" && typeof left === "string") return right === parseBool(left);
  const ids =
    (typeof left === "object" && left.kind === "id") || (typeof right === "object" && right.kind === "id");
  if (ids) return left !== undefined && right !== undefined && toText(left) === toText(right);
  if (lenient) {
    if (left === undefined || right === undefined) return toText(left) === toText(right);
    if (typeof left === "bigint" && typeof right === "string") return left === parseSize(right);
    if (typeof right === "bigint" && typeof left === "string") return toText(right) === left;
    if (typeof left === "object" && left.kind === "time" && typeof right === "string") {
      return millisecondsOf(left) === parseTime(right);
    }
  }
  return typeName(left) === typeName(right) && toText(left) === toText(right);
}

/** Negative, zero or positive, like a comparator. @throws RunFailure when the types have no order */
export function order(left: Value, right: Value, lenient = false): number {
  if (typeof left === "bigint" && lenient && typeof right === "string") {
    return order(left, parseSize(right) ?? parseInteger(right));
  }
  if (typeof left === "bigint" && typeof right === "bigint") return left < right ? -1 : left > right ? 1 : 0;
  if (typeof left === "string" && typeof right === "string") return left < right ? -1 : left > right ? 1 : 0;
  if (
    typeof left === "object" &&
    typeof right === "object" &&
    left.kind === "time" &&
    right.kind === "time"
  ) {
    return left.nanoseconds < right.nanoseconds ? -1 : left.nanoseconds > right.nanoseconds ? 1 : 0;
  }
  throw new RunFailure(`cannot compare if ${typeName(left)} is less than ${typeName(right)}`);
}

const CLASSES: Readonly<Record<string, string>> = {
  alpha: "A-Za-z",
  digit: "0-9",
  alnum: "A-Za-z0-9",
  upper: "A-Z",
  lower: "a-z",
  space: "\\s",
  xdigit: "0-9A-Fa-f",
  punct: "!-\\/:-@\\[-`{-~",
  blank: " \\t",
};

/** The last expressions: a `where` asks for the same one with each item. */
const translations = new Map<string, RegExp>();
const MOST_TRANSLATIONS = 64;

/** A POSIX extended regular expression as one of JavaScript: bracket expressions differ, the rest is shared. */
export function posixRegExp(pattern: string): RegExp {
  const known = translations.get(pattern);
  if (known !== undefined) return known;
  if (translations.size >= MOST_TRANSLATIONS) translations.clear();
  const translation = translated(pattern);
  translations.set(pattern, translation);
  return translation;
}

function translated(pattern: string): RegExp {
  const brackets = /\\.|\[(\^?)(\]?(?:\[:[a-z]+:\]|[^\]])*)\]/g;
  const text = pattern.replace(brackets, (whole, negated?: string, body?: string) => {
    if (body === undefined) return whole;
    const inside = body.replace(/\[:([a-z]+):\]|[\\\][]/g, (part, name?: string) =>
      name === undefined ? `\\${part}` : (CLASSES[name] ?? ""),
    );
    return `[${negated}${inside}]`;
  });
  try {
    return new RegExp(text);
  } catch {
    throw new RunFailure(`bad regular expression ${pattern}`);
  }
}
