import { isIP } from "node:net";
import process from "node:process";
import { ConfigError, type Mistake } from "../config/config-error.ts";
import { type Input, loadProbeConfig } from "../config/load.ts";
import { systemClock } from "../domain/clock.ts";
import { DriverError } from "../domain/errors/driver-error.ts";
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
import { type Result, runExperiments, type Watcher } from "../probe/run.ts";
import { Scratch } from "../probe/scratch/scratch.ts";
import { redacted } from "../probe/transcript.ts";
import { wrap } from "./diagnose/wrap.ts";
import { ExitCode } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { jsonText } from "./machine-text.ts";
import { NewFile } from "./new-file.ts";

export interface ProbeOptions {
  readonly output: "text" | "json";
  /** Path of the profile file; it must not exist. */
  readonly save: string | undefined;
  /** Path of a file with the report and the lines that were sent; it must not exist. */
  readonly bundle: string | undefined;
  readonly idleSeconds: number;
  /** Nothing on the RDS is to change; the default, said aloud. */
  readonly readOnly: boolean;
  readonly chosen: Readonly<Partial<Record<Stage, boolean>>>;
  /** Only make the disk that a reboot is to leave. */
  readonly beforeReboot: boolean;
}

/**
 * `rds-csi probe`: asks an RDS how it behaves. Experiments are announced on standard error as they begin.
 * @returns 4 if an answer makes the driver unsafe on this device
 * @throws ConfigError for options that exclude each other, and for a file that cannot be made, before the RDS is asked
 */
export async function runProbe(input: Input, options: ProbeOptions, io: Io): Promise<number> {
  const mistakes = contradictions(options);
  if (mistakes.length > 0) throw new ConfigError(mistakes, "command line");
  const config = await loadProbeConfig(input);
  const files = new Map<"save" | "bundle", NewFile>();
  try {
    // Before a minute of work.
    for (const name of ["save", "bundle"] as const) {
      const path = options[name];
      if (path !== undefined) files.set(name, await NewFile.claim(`--${name}`, path));
    }
    return await probe(config, options, files, io);
  } finally {
    for (const file of files.values()) await file.end();
  }
}

/** Options that exclude each other. */
function contradictions({ chosen, readOnly, beforeReboot, save, bundle }: ProbeOptions): Mistake[] {
  const stages = (["scratch", "exported", "node"] as const).filter((stage) => chosen[stage] === true);
  const files = { "--save": save, "--bundle": bundle };
  const named = Object.entries(files).flatMap(([flag, path]) => (path === undefined ? [] : [flag]));
  const changing = stages.map((stage) => `--${stage}`);
  const reboot = chosen.reboot === true ? ["--after-reboot"] : [];
  const excluded: readonly (readonly [boolean, string, readonly string[]])[] = [
    [readOnly, "--read-only", [...changing, ...(beforeReboot ? ["--before-reboot"] : []), ...reboot]],
    [beforeReboot, "--before-reboot", [...changing, ...reboot, ...named]],
    [chosen.reboot === true, "--after-reboot", changing],
  ];
  return excluded
    .filter(([isGiven, , others]) => isGiven && others.length > 0)
    .map(([, where, others]) => {
      const remedy = `Leave ${where} out, or run the command twice`;
      return { where, problem: `cannot go with ${others.join(", ")}`, remedy };
    });
}

async function probe(
  { rds, pool, nvmeAddress, nvmePort }: Awaited<ReturnType<typeof loadProbeConfig>>,
  options: ProbeOptions,
  files: ReadonlyMap<"save" | "bundle", NewFile>,
  io: Io,
): Promise<number> {
  const { output, idleSeconds, beforeReboot } = options;
  const stages = stagesOf(options.chosen);
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
  try {
    await requirePool(bench);
    if (beforeReboot) {
      await prepareReboot(bench);
      io.out("The disk csi-probe-reboot is made. Reboot the RDS, then run `rds-csi probe --after-reboot`.\n");
      return ExitCode.ok;
    }
    const chosen = EXPERIMENTS.filter(({ stage }) => stages.includes(stage));
    const results = await runExperiments(bench, chosen, io.stop, announced(chosen.length, idleSeconds, io));
    await write(files, results, stages, bench);
    if (output === "json") io.out(`${jsonText(reportDocument(results, bench.address, stages), 2)}\n`);
    else {
      const lines = reportLines(results, bench.address).flatMap((line) =>
        wrap(printable(line), io.columns, "           "),
      );
      io.out(`${lines.join("\n")}\n`);
    }
    const saved = files.get("save")?.path;
    if (saved !== undefined)
      io.err(`${saved} has the answers. docs/probe.md: how a simulator and a controller take them.\n`);
    return results.some(isUnsafe) ? ExitCode.broken : ExitCode.ok;
  } finally {
    await bench.close();
  }
}

const POOL_ERRORS: readonly string[] = ["poolNotFound", "poolNotMounted"];

/** Without its pool most questions would stay open. @throws poolNotFound, poolNotMounted, and the error of the connection */
async function requirePool(bench: Bench): Promise<void> {
  await bench.main();
  await Scratch.on(bench).catch((error: unknown) => {
    // Another error may be an answer of this device, which the experiments tell.
    if (error instanceof DriverError && POOL_ERRORS.includes(error.id)) throw error;
  });
}

/** Tells of each experiment on standard error. @param count of all experiments */
function announced(count: number, idleSeconds: number, io: Io): Watcher {
  let number = 0;
  return {
    onBegin: ({ id, question, does, limitMs }) => {
      number += 1;
      const limit = limitMs > 60_000 ? ` (at most ${Math.round(limitMs / 60_000)} min)` : "";
      const time = id === "idle" ? ` (${idleSeconds} s)` : limit;
      io.err(`${number}/${count} ${id}: ${question} The probe ${does}.${time}\n`);
    },
    onEnd: (result) => io.err(`    ${result.answer.answer}${isUnsafe(result) ? " - UNSAFE" : ""}\n`),
  };
}

/** Names that everybody knows. */
const PUBLIC = ["csi", "admin"];

/** Fills the files of --save and --bundle. */
async function write(
  files: ReadonlyMap<"save" | "bundle", NewFile>,
  results: readonly Result[],
  stages: readonly Stage[],
  bench: Bench,
): Promise<void> {
  const profile = profileOf(results, stages, systemClock.now(), buildInfo.version);
  await files.get("save")?.fill(profileText(profile));
  const { user, host } = bench.settings.connection;
  const name = user.replace(/\+.*$/, "");
  const words = PUBLIC.includes(name) ? [host] : [name, host];
  const report = reportDocument(results, "<address>", stages);
  const found = { ...report, lines: bench.transcript.redacted(words) };
  await files.get("bundle")?.fill(redacted(`${jsonText(found, 1)}\n`, words));
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
