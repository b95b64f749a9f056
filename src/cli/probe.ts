import { writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import process from "node:process";
import { ConfigError } from "../config/config-error.ts";
import { type Input, loadProbeConfig } from "../config/load.ts";
import { systemClock } from "../domain/clock.ts";
import { errorCode } from "../domain/error-code.ts";
import { printable } from "../domain/printable.ts";
import { exists } from "../host/files.ts";
import type { StoragePort } from "../host/reach.ts";
import { createNodeSystem } from "../host/system.ts";
import { missingTools } from "../host/tools.ts";
import { buildInfo } from "../observability/build-info.ts";
import { Bench, CONNECTION } from "../probe/bench.ts";
import { EXPERIMENTS } from "../probe/catalogue.ts";
import { profileOf, profileText } from "../probe/device-profile.ts";
import type { Stage } from "../probe/experiment.ts";
import { ProbeHost } from "../probe/node/host.ts";
import { prepareReboot } from "../probe/reboot/reboot.ts";
import { isUnsafe, reportDocument, reportLines, stagesOf } from "../probe/report.ts";
import { runExperiments, type Watcher } from "../probe/run.ts";
import { redacted } from "../probe/transcript.ts";
import { wrap } from "./diagnose/wrap.ts";
import { ExitCode } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { jsonText } from "./machine-text.ts";

export interface ProbeOptions {
  readonly output: "text" | "json";
  /** Path of the profile file; it must not exist. */
  readonly save: string | undefined;
  /** Path of a file with the report and the lines that were sent; it must not exist. */
  readonly bundle: string | undefined;
  readonly idleSeconds: number;
  readonly chosen: Readonly<Partial<Record<Stage, boolean>>>;
  /** Only make the disk that a reboot is to leave. */
  readonly beforeReboot: boolean;
}

/**
 * `rds-csi probe`: asks an RDS how it behaves. Experiments are announced on standard error as they begin.
 * @returns 4 if an answer makes the driver unsafe on this device
 */
export async function runProbe(input: Input, options: ProbeOptions, io: Io): Promise<number> {
  const { rds, pool, nvmeAddress, nvmePort } = await loadProbeConfig(input);
  const { save, bundle, output, idleSeconds, beforeReboot } = options;
  const stages = stagesOf(options.chosen);
  const chosen = EXPERIMENTS.filter(({ stage }) => stages.includes(stage));
  // Before a minute of work.
  if (save !== undefined) await saveTo("--save", save, "");
  if (bundle !== undefined) await saveTo("--bundle", bundle, "");
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
  const storage = { address: nvmeAddress ?? host, port: nvmePort };
  const machine = stages.includes("node") ? await hostOf(storage) : undefined;
  const bench = new Bench(settings, io.stop, machine);
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
    if (beforeReboot) {
      await prepareReboot(bench);
      io.out("The disk csi-probe-reboot is made. Reboot the RDS, then run `rds-csi probe --after-reboot`.\n");
      return ExitCode.ok;
    }
    const results = await runExperiments(bench, chosen, io.stop, watcher);
    if (save !== undefined) {
      const profile = profileOf(results, stages, systemClock.now(), buildInfo.version);
      await writeFile(save, profileText(profile));
    }
    if (bundle !== undefined) {
      const words = [user.replace(/\+.*$/, ""), host];
      const report = reportDocument(results, "<address>", stages);
      const found = { ...report, lines: bench.transcript.redacted(words) };
      await writeFile(bundle, redacted(`${jsonText(found, 1)}\n`, words));
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

/** This machine as a host. @throws ConfigError if it can be none */
async function hostOf(storage: StoragePort): Promise<ProbeHost> {
  const problems = [...(await missingTools("nvme-tcp"))];
  if (process.getuid?.() !== 0) problems.push("only root can connect");
  if (!(await exists("/dev/nvme-fabrics"))) problems.push("/dev/nvme-fabrics is missing: modprobe nvme-tcp");
  if (isIP(storage.address) === 0)
    problems.push(`${storage.address} is no literal IP address: set --nvme-address`);
  if (problems.length === 0) return new ProbeHost(createNodeSystem(), storage);
  const remedy = "Run it as root on a node with nvme-cli, or leave --node out";
  throw new ConfigError(
    problems.map((problem) => ({ where: "--node", problem: `cannot be done here: ${problem}`, remedy })),
  );
}

/** Writes a new file. @throws ConfigError */
async function saveTo(where: string, path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text, { flag: "wx" });
  } catch (error) {
    const problem = `names ${path}, which cannot be made (${errorCode(error) ?? error})`;
    throw new ConfigError([
      { where, problem, remedy: "Name a file that does not exist, in a folder that does" },
    ]);
  }
}
