import { printableJson } from "../domain/printable.ts";
import type { LogFields, Logger, LogLevel } from "./log.ts";
import { descriptorSink, type LogSink } from "./log-sink.ts";
import { errorFields, type LogValue, toLogValue } from "./log-value.ts";
import { currentRequest } from "./request-scope.ts";

export const LOG_LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];
export const LOG_FORMATS = ["json", "text"] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

/** Settings of a logger; all of them have defaults. */
export interface LoggerOptions {
  /** Lines below it are dropped; `info` unless given. */
  readonly level?: LogLevel;
  /** `json`: one object per line. `text`: logfmt, `key=value` pairs. `text` unless given. */
  readonly format?: LogFormat;
  /** Standard error unless given. */
  readonly sink?: LogSink;
  /** Wall clock in milliseconds since the Unix epoch. */
  readonly now?: () => number;
  /** On every line. */
  readonly fields?: LogFields;
  /** Asked for each line: fields of the request on whose behalf it is written. Fields of the line and of `child` win. */
  readonly context?: () => LogFields | undefined;
}

/** Longest line in UTF-16 units. */
const LINE_LIMIT = 32_768;
const RESERVED: ReadonlySet<string> = new Set(["time", "level", "msg"]);

/**
 * A logger that writes one line per event: `time` (RFC 3339, UTC), `level`, `msg`, then the fields. Secrets are taken
 * out by field name and by PEM pattern (`redact.ts`), control characters are escaped, so a value cannot forge a line.
 */
export function createLogger(options: LoggerOptions = {}): Logger {
  const threshold = LOG_LEVELS.indexOf(options.level ?? "info");
  const sink = options.sink ?? descriptorSink(2);
  const now = options.now ?? Date.now;
  const render = options.format === "json" ? renderJson : renderText;

  const bind = (bound: LogFields): Logger => {
    const write = (level: LogLevel, message: string, fields: LogFields = {}) => {
      if (LOG_LEVELS.indexOf(level) < threshold) return;
      const line = new Map<string, LogValue>([
        ["time", new Date(now()).toISOString()],
        ["level", level],
        ["msg", toLogValue(message)],
      ]);
      const { error } = fields;
      const failure = error instanceof Error ? errorFields(error, level === "error") : {};
      const all = { ...options.context?.(), ...bound, ...fields, ...failure };
      for (const [name, value] of Object.entries(all)) {
        if (value !== undefined) line.set(RESERVED.has(name) ? `${name}_` : name, toLogValue(value, name));
      }
      sink(render(line));
    };
    return {
      debug: (message, fields) => write("debug", message, fields),
      info: (message, fields) => write("info", message, fields),
      warn: (message, fields) => write("warn", message, fields),
      error: (message, fields) => write("error", message, fields),
      child: (fields) => bind({ ...bound, ...fields }),
    };
  };
  return bind(options.fields ?? {});
}

function renderJson(line: ReadonlyMap<string, LogValue>): string {
  const text = quote(Object.fromEntries(line));
  if (text.length <= LINE_LIMIT) return text;
  const kept = new Map([...line].map(([name, value]) => [name, shorten(value)] as const));
  return quote(Object.fromEntries([...kept, ["truncated", true]]));
}

function renderText(line: ReadonlyMap<string, LogValue>): string {
  const text = [...line].map(([name, value]) => `${plain(name)}=${plain(value)}`).join(" ");
  return text.length <= LINE_LIMIT ? text : `${text.slice(0, LINE_LIMIT).toWellFormed()}… truncated=true`;
}

/** A value of a text line: bare when that is unambiguous, quoted as JSON otherwise. */
function plain(value: LogValue): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return /^[^\s"=\\{}[\]\p{C}]+$/u.test(text) ? text : quote(typeof value === "string" ? value : text);
}

/** JSON with every control, format and separator character escaped: safe for terminals and for one line. */
function quote(value: LogValue): string {
  return printableJson(JSON.stringify(value));
}

function shorten(value: LogValue): LogValue {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length <= 256 ? value : `${text.slice(0, 256).toWellFormed()}…`;
}

/** The logger of a command, on standard error. Its lines name the request on whose behalf they are written. */
export function loggerFor(
  { logLevel: level, logFormat: format }: { readonly logLevel: LogLevel; readonly logFormat: LogFormat },
  command: string,
): Logger {
  return createLogger({ level, format, fields: { command }, context: () => ({ ...currentRequest() }) });
}
