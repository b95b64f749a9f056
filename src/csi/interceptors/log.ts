import type { Message } from "@bufbuild/protobuf";
import type { Clock } from "../../domain/clock.ts";
import { GrpcCode } from "../../domain/errors/grpc-code.ts";
import type { LogFields, Logger } from "../../observability/log.ts";
import { errorFields } from "../../observability/log-value.ts";
import type { Interceptor, RpcCall } from "../rpc.ts";
import { codeNameOf, statusOf } from "../status.ts";
import { redactMessage } from "./redact-message.ts";
import { Repeats } from "./repeats.ts";

/** Settings of the log interceptor. */
export interface RpcLogOptions {
  readonly clock: Clock;
  /** Equal errors (method, volume, code, message) within it are counted, not printed. Milliseconds; 60,000. */
  readonly repeatWindowMs?: number;
  /** Adds the redacted request to each line; meant for the debug level. */
  readonly requests?: boolean;
}

/** Longest redacted request on a line, in UTF-16 units. */
const REQUEST_LIMIT = 4_096;

/** RPCs that the orchestrator repeats all day; their success is worth a debug line only. */
const QUIET: ReadonlySet<string> = new Set([
  "Probe",
  "GetPluginInfo",
  "GetPluginCapabilities",
  "ControllerGetCapabilities",
  "NodeGetCapabilities",
  "NodeGetInfo",
  "NodeGetVolumeStats",
  "GetCapacity",
  "ListVolumes",
  "ListSnapshots",
  "ControllerGetVolume",
  "ControllerGetVolumeHealth",
  "ControllerListVolumeHealth",
  "NodeGetVolumeHealth",
  "NodeGetStorageHealth",
]);

/** Writes one line per RPC: method, code, duration and volume, and the remedy of a failure. */
export function logInterceptor(options: RpcLogOptions): Interceptor {
  const { clock } = options;
  const repeats = new Repeats<{ logger: Logger; message: string; fields: LogFields }>(
    options.repeatWindowMs ?? 60_000,
  );
  return async (call, next) => {
    const started = clock.monotonic();
    const common = (code: string, response?: Message): LogFields => ({
      code,
      durationMs: Math.round((clock.monotonic() - started) * 10) / 10,
      volume: volumeOf(call.request) ?? volumeOf(response),
      request: options.requests === true ? requestText(call) : undefined,
    });
    for (const { detail, times } of repeats.expired(started)) {
      detail.logger.warn("rpc failed again", { ...detail.fields, times });
    }
    const { logger } = call.context;
    try {
      const response = await next(call);
      const level = QUIET.has(call.context.method) ? "debug" : "info";
      logger[level]("rpc", common("OK", response));
      return response;
    } catch (error) {
      const { code, message } = statusOf(error);
      const defect = code === GrpcCode.INTERNAL;
      const { stack, ...about }: LogFields = error instanceof Error ? errorFields(error, defect) : {};
      const fields: LogFields = { ...common(codeNameOf(error)), ...about, error: message };
      const kind = JSON.stringify([call.context.method, fields.volume, code, message]);
      if (repeats.note(kind, { logger, message, fields }, clock.monotonic())) {
        logger[defect ? "error" : "warn"]("rpc failed", { ...fields, stack });
      }
      throw error;
    }
  };
}

function requestText(call: RpcCall): string {
  const text = JSON.stringify(redactMessage(call.method.input, call.request));
  return text.length <= REQUEST_LIMIT ? text : `${text.slice(0, REQUEST_LIMIT).toWellFormed()}…`;
}

/** The volume or snapshot of a message, for finding log lines. Its text is not trusted. */
function volumeOf(message: Message | undefined): string | undefined {
  if (message === undefined) return undefined;
  const fields = message as unknown as Readonly<Record<string, unknown>>;
  for (const name of ["volumeId", "sourceVolumeId", "snapshotId"]) {
    const value = fields[name];
    if (typeof value === "string" && value !== "") return value.slice(0, 256).toWellFormed();
  }
  const { volume } = fields;
  return typeof volume === "object" && volume !== null ? volumeOf(volume as Message) : undefined;
}
