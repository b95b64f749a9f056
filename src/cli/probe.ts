import { writeFile } from "node:fs/promises";
import { ConfigError } from "../config/config-error.ts";
import { type Input, loadProbeConfig } from "../config/load.ts";
import { systemClock } from "../domain/clock.ts";
import { errorCode } from "../domain/error-code.ts";
import { printable } from "../domain/printable.ts";
import { buildInfo } from "../observability/build-info.ts";
import { Bench } from "../probe/bench.ts";
import { EXPERIMENTS } from "../probe/catalogue.ts";
import { profileOf, profileText } from "../probe/device-profile.ts";
import type { Stage } from "../probe/experiment.ts";
import { isUnsafe, reportDocument, reportLines, stagesOf } from "../probe/report.ts";
import { runExperiments, type Watcher } from "../probe/run.ts";
import { wrap } from "./diagnose/wrap.ts";
import { ExitCode } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { jsonText } from "./machine-text.ts";

export interface ProbeOptions {
  readonly output: "text" | "json";
  /** Path of the profile file; it must not exist. */
  readonly save: string | undefined;
  readonly idleSeconds: number;
  readonly chosen: Readonly<Partial<Record<Stage, boolean>>>;
}

/** Durations of the connection, milliseconds, and its limit for output, bytes. */
const CONNECTION = {
  connectTimeoutMs: 10_000,
  tcpKeepaliveMs: 15_000,
  channelGraceMs: 2_000,
  maxOutputBytes: 16 * 1_024 * 1_024,
};

/**
 * `rds-csi probe`: asks an RDS how it behaves. Experiments are announced on standard error as they begin.
 * @returns 4 if an answer makes the driver unsafe on this device
 */
export async function runProbe(input: Input, options: ProbeOptions, io: Io): Promise<number> {
  const { rds, pool } = await loadProbeConfig(input);
  const { save, output, idleSeconds } = options;
  const stages = stagesOf(options.chosen);
  const chosen = EXPERIMENTS.filter(({ stage }) => stages.includes(stage));
  // Before a minute of work.
  if (save !== undefined) await saveTo(save, "");
  const { host, port, user, keyFile, passphraseFile, hostKeys, hostKeyFile } = rds;
  const connection = {
    host,
    port,
    user,
    keyFile,
    passphraseFile,
    hostKeys,
    hostKeyFile,
    clock: systemClock,
    ...CONNECTION,
  };
  const settings = { connection, pool, idleMs: idleSeconds * 1_000, holdMs: 2_000, keepaliveMs: 1_000 };
  const bench = new Bench(settings, io.stop);
  let number = 0;
  const watcher: Watcher = {
    onBegin: ({ id, does, limitMs }) => {
      number += 1;
      const limit = limitMs > 60_000 ? ` (at most ${Math.round(limitMs / 60_000)} min)` : "";
      io.err(`${number}/${chosen.length} ${id}: ${does}${limit}\n`);
    },
    onEnd: ({ answer }) => io.err(`    ${answer.answer}\n`),
  };
  try {
    const results = await runExperiments(bench, chosen, io.stop, watcher);
    if (save !== undefined) {
      const profile = profileOf(results, stages, systemClock.now(), buildInfo.version);
      await writeFile(save, profileText(profile));
    }
    if (output === "json") io.out(`${jsonText(reportDocument(results, bench.address, stages), 2)}\n`);
    else {
      const lines = reportLines(results, bench.address).flatMap((line) =>
        wrap(printable(line), io.columns, "           "),
      );
      io.out(`${lines.join("\n")}\n`);
    }
    return results.some(isUnsafe) ? ExitCode.broken : ExitCode.ok;
  } finally {
    await bench.close();
  }
}

/** Writes a new file. @throws ConfigError */
async function saveTo(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text, { flag: "wx" });
  } catch (error) {
    const problem = `names ${path}, which cannot be made (${errorCode(error) ?? error})`;
    throw new ConfigError([
      { where: "--save", problem, remedy: "Name a file that does not exist, in a folder that does" },
    ]);
  }
}
