import type { Logger, LogLevel } from "../observability/log.ts";
import { createLogger, type LogFormat } from "../observability/logger.ts";

/** The logger of a command, on standard error. */
export function loggerFor(
  config: { readonly logLevel: LogLevel; readonly logFormat: LogFormat },
  command: string,
): Logger {
  return createLogger({ level: config.logLevel, format: config.logFormat, fields: { command } });
}
