import type { Logger, LogLevel } from "../observability/log.ts";
import { createLogger, type LogFormat } from "../observability/logger.ts";
import { currentRequest } from "../observability/request-scope.ts";

/** The logger of a command, on standard error. Its lines name the request on whose behalf they are written. */
export function loggerFor(
  config: { readonly logLevel: LogLevel; readonly logFormat: LogFormat },
  command: string,
): Logger {
  const { logLevel: level, logFormat: format } = config;
  return createLogger({ level, format, fields: { command }, context: () => ({ ...currentRequest() }) });
}
