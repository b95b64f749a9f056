import { type CheckConfig, type Input, loadCheckConfig } from "../config/load.ts";
import { systemClock } from "../domain/clock.ts";
import { toDriverError } from "../domain/errors/driver-error.ts";
import { printable } from "../domain/printable.ts";
import type { Logger } from "../observability/log.ts";
import { inBackground } from "../observability/request-scope.ts";
import { Bench, CONNECTION } from "../probe/bench.ts";
import type { DeviceProfile } from "../probe/device-profile.ts";
import { type Check, preflight } from "../probe/preflight.ts";
import { usableProfile } from "./device-profile.ts";
import { wrap } from "./diagnose/wrap.ts";
import { ExitCode } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { jsonText } from "./machine-text.ts";

export interface CheckOptions {
  readonly output: "text" | "json";
  /** Limit for everything. */
  readonly timeoutSeconds: number;
}

/** `rds-csi check`: a preflight. @returns 3 for warnings, 4 for errors */
export async function runCheck(
  input: Input,
  { output, timeoutSeconds }: CheckOptions,
  io: Io,
): Promise<number> {
  const config = await loadCheckConfig(input);
  const { deviceProfile } = config;
  const profile =
    deviceProfile === undefined ? undefined : await usableProfile("--device-profile", deviceProfile);
  const limit = AbortSignal.any([io.stop, AbortSignal.timeout(timeoutSeconds * 1_000)]);
  const { host, port } = config.rds;
  const { nvmeAddress = host, nvmePort } = config;
  const found = await checkRds(config, { profile, port: { address: nvmeAddress, port: nvmePort } }, limit);
  if (output === "json") {
    const document = {
      apiVersion: "rds-csi/v1",
      kind: "Preflight",
      address: `${host}:${port}`,
      items: found,
    };
    io.out(`${jsonText(document, 2)}\n`);
  } else io.out(`${found.flatMap((check) => lines(check, io.columns)).join("\n")}\n`);
  if (found.some(({ state }) => state === "error")) return ExitCode.broken;
  return found.some(({ state }) => state === "warning") ? ExitCode.problems : ExitCode.ok;
}

function lines({ id, state, text, remedy }: Check, columns: number | undefined): readonly string[] {
  const first = `${state.padEnd(8)}${id.padEnd(10)}${printable(text)}`;
  const indent = " ".repeat(18);
  const more = remedy === "" ? [] : wrap(indent + printable(remedy), columns, indent);
  return [...wrap(first, columns, indent), ...more];
}

/** A preflight over a connection of its own. Never throws but for the signal. */
export async function checkRds(
  { rds, pool }: Pick<CheckConfig, "rds" | "pool">,
  asked: Parameters<typeof preflight>[1],
  signal: AbortSignal,
  logger?: Logger,
): Promise<readonly Check[]> {
  const connection = { ...rds, clock: systemClock, ...CONNECTION, ...(logger && { logger }) };
  const bench = new Bench({ connection, pool, idleMs: 0, holdMs: 0, keepaliveMs: 0 }, signal);
  try {
    return await preflight(bench, asked, signal);
  } finally {
    await bench.close();
  }
}

/** Limit of the preflight of a service that starts. Milliseconds. */
const START_MS = 60_000;

/** The preflight of a controller that starts: its faults go into the log, and stop nothing. Never throws. */
export async function logPreflight(
  config: Pick<CheckConfig, "rds" | "pool">,
  profile: DeviceProfile | undefined,
  logger: Logger,
  stop: AbortSignal,
): Promise<void> {
  const limit = AbortSignal.any([stop, AbortSignal.timeout(START_MS)]);
  const found = await inBackground("preflight", () =>
    checkRds(config, { profile, port: undefined }, limit, logger),
  ).catch((error: unknown) => {
    if (!stop.aborted) logger.warn("preflight did not end", { reason: toDriverError(error).summary });
    return [];
  });
  for (const { id, state, text, remedy } of found) {
    if (state !== "ok") logger.warn("preflight", { check: id, state, text, remedy });
  }
  if (found.length > 0) logger.info("preflight ended", { checks: found.length });
}
