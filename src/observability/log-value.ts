import { DriverError } from "../domain/errors/driver-error.ts";
import type { LogFields } from "./log.ts";
import { isSecretName, REDACTED, redactText } from "./redact.ts";

/** Longest string in UTF-16 units and deepest nesting that reach a log line, and most entries of one list or object. */
export const LOG_LIMITS = { text: 8_192, depth: 6, entries: 64 } as const;

/** JSON values, which is all that a log line holds. */
export type LogValue = string | number | boolean | null | LogValue[] | { [name: string]: LogValue };

/**
 * Any value as something that JSON can hold: bigint as decimal text, errors as their message, bytes as their number,
 * secrets replaced by `***`, long text and deep structures cut. Never throws, also for cycles and hostile getters.
 */
export function toLogValue(value: unknown, name = "", depth = 0): LogValue {
  if (value !== undefined && value !== null && value !== "" && isSecretName(name)) return REDACTED;
  switch (typeof value) {
    case "string":
      return cut(redactText(value));
    case "boolean":
      return value;
    case "number":
      return Number.isFinite(value) ? value : String(value);
    case "object":
      return value === null ? null : objectToLogValue(value, depth);
    case "undefined":
      return null;
    default:
      return cut(String(value));
  }
}

function objectToLogValue(value: object, depth: number): LogValue {
  if (value instanceof Error) return cut(redactText(`${value.name}: ${value.message}`));
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "invalid date" : value.toISOString();
  if (ArrayBuffer.isView(value)) return `<${value.byteLength} bytes>`;
  if (depth >= LOG_LIMITS.depth) return "…";
  try {
    if (Array.isArray(value)) return listToLogValue(value, depth);
    if (value instanceof Set) return listToLogValue([...value], depth);
    const entries: [string, unknown][] =
      value instanceof Map ? [...value].map(([key, each]) => [String(key), each]) : Object.entries(value);
    const shown = entries
      .slice(0, LOG_LIMITS.entries)
      .filter(([, each]) => each !== undefined && typeof each !== "function")
      .map(([key, each]) => [cut(key), toLogValue(each, key, depth + 1)] as const);
    if (entries.length > LOG_LIMITS.entries) shown.push(["…", `${entries.length - LOG_LIMITS.entries} more`]);
    return Object.fromEntries(shown);
  } catch {
    return "<unreadable>";
  }
}

function listToLogValue(list: readonly unknown[], depth: number): LogValue {
  const shown = list.slice(0, LOG_LIMITS.entries).map((each) => toLogValue(each, "", depth + 1));
  if (list.length > LOG_LIMITS.entries) shown.push(`… ${list.length - LOG_LIMITS.entries} more`);
  return shown;
}

function cut(text: string): string {
  if (text.length <= LOG_LIMITS.text) return text;
  return `${text.slice(0, LOG_LIMITS.text).toWellFormed()}… (${text.length} characters)`;
}

/**
 * The fields of a failure: `error`, its message; `errorId`, its name in docs/errors.md; `cause`, the message of the error
 * behind it; `stack`, for defects.
 */
export function errorFields(error: Error, isDefect: boolean): LogFields {
  const { cause } = error;
  const origin = error instanceof DriverError && cause instanceof Error ? cause : error;
  return {
    error: error instanceof DriverError ? error.message : error,
    errorId: error instanceof DriverError ? error.id : undefined,
    cause: cause instanceof Error ? cause.message : cause,
    stack: isDefect ? origin.stack : undefined,
  };
}
