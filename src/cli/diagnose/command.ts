import { hostname } from "node:os";
import { ConfigError } from "../../config/config-error.ts";
import { type DiagnoseConfigValues, type Input, loadDiagnoseConfig } from "../../config/load.ts";
import { type BundleFile, bundleOf, createBundle } from "../../diagnose/bundle.ts";
import type { DiagnoseConfig } from "../../diagnose/context.ts";
import { diagnose } from "../../diagnose/diagnosis.ts";
import { gather } from "../../diagnose/gather.ts";
import { systemClock } from "../../domain/clock.ts";
import { errorCode } from "../../domain/error-code.ts";
import { createNodeSystem } from "../../host/system.ts";
import { TOOL_PATH } from "../../host/tools.ts";
import type { Severity } from "../../inspect/entry.ts";
import { known, notAsked, unknown } from "../../inspect/fact.ts";
import { silentLogger } from "../../observability/log.ts";
import { ExitCode } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { NEW_FILE_PROBLEMS } from "../new-file.ts";
import { nodeEvents } from "../node-events.ts";
import type { OutputFormat } from "../volumes/render.ts";
import { renderDiagnosis } from "./render.ts";

export interface DiagnoseOptions {
  readonly output: OutputFormat;
  /** Only this volume. */
  readonly volume: string | undefined;
  /** File for the report with all facts. */
  readonly bundle: string | undefined;
  /** Limit for everything, seconds. */
  readonly timeoutSeconds: number;
}

/**
 * `rds-csi diagnose`: looks at this node, changes nothing. The exit code is that of the worst finding.
 * @throws ConfigError, before the node is looked at, if the file of --bundle cannot be made
 */
export async function runDiagnose(input: Input, options: DiagnoseOptions, io: Io): Promise<number> {
  const values = await loadDiagnoseConfig(input);
  const bundle = options.bundle === undefined ? undefined : await bundleFile(options.bundle);
  try {
    return await look(diagnoseConfig(values), options, bundle, io);
  } finally {
    await bundle?.close();
  }
}

async function bundleFile(path: string): Promise<BundleFile> {
  return createBundle(path).catch((error: unknown) => {
    const code = errorCode(error) ?? "";
    const problem = `names ${path}, ${NEW_FILE_PROBLEMS[code] ?? `which cannot be made: ${error}`}`;
    const remedy = "Name a new file in a directory that this user may write";
    throw new ConfigError([{ where: "--bundle", problem, remedy }], "command line");
  });
}

async function look(
  values: DiagnoseConfig,
  options: DiagnoseOptions,
  bundle: BundleFile | undefined,
  io: Io,
): Promise<number> {
  const config = await withClusterId(values, io.stop);
  const system = createNodeSystem();
  const context = {
    system,
    config,
    devRoot: "/dev",
    // In a pod that sees the host's processes, the host's; else this one's.
    etcNvme: ["/proc/1/root/etc/nvme", "/etc/nvme"],
    toolPath: TOOL_PATH,
  };
  const begun = system.clock.monotonic();
  const gathered = await gather(context, options.timeoutSeconds * 1000, io.stop);
  const duration = system.clock.monotonic() - begun;
  const report = diagnose(gathered, system.clock.now(), duration, options.volume);
  if (options.volume !== undefined && report.volumes.length === 0) {
    io.err(`rds-csi: this node knows no volume ${options.volume}\n`);
  }
  io.out(renderDiagnosis(report, { format: options.output, width: io.columns, colour: io.colour }));
  await bundle?.write(bundleOf(report, config));
  return exitCodeOf(report.worst);
}

/** How long the API server may take to say which cluster this is, milliseconds; without an answer less is compared. */
const CLUSTER_ID_MS = 1_500;

async function withClusterId(config: DiagnoseConfig, stop: AbortSignal): Promise<DiagnoseConfig> {
  if (config.clusterId !== undefined) return config;
  const signal = AbortSignal.any([stop, AbortSignal.timeout(CLUSTER_ID_MS)]);
  const { orchestrator, kubeconfig, driverName, nodeId } = config;
  const { clusterId, close } = await nodeEvents(
    { orchestrator, kubeconfig, driverName, nodeId },
    { logger: silentLogger, clock: systemClock },
  );
  const known = await clusterId(signal).catch(() => undefined);
  await close();
  return { ...config, clusterId: known };
}

/** 0: nothing, or only what is worth knowing; 3: warnings; 4: errors. */
export function exitCodeOf(worst: Severity | undefined): ExitCode {
  if (worst === "error" || worst === "critical") return ExitCode.broken;
  return worst === "warning" ? ExitCode.problems : ExitCode.ok;
}

function diagnoseConfig(values: DiagnoseConfigValues): DiagnoseConfig {
  const { rds, nodeId, storageAddress, nvmeAddress, nvmePort, kubeconfig } = values;
  const link = "host" in rds ? known(rds) : rds.asked ? unknown(rds.problem) : notAsked(rds.problem);
  const { clusterId, nqnPrefix, driverName, dataPath, endpoint, kubeletDir, orchestrator, pool } = values;
  const { loopExportsDir: exportsDir, stateDir } = values;
  return {
    loop: dataPath === "loop" && exportsDir !== undefined ? { exportsDir, stateDir } : undefined,
    ...{ clusterId, nqnPrefix, driverName, dataPath, endpoint, kubeletDir, orchestrator, pool },
    nodeId: nodeId ?? hostname(),
    nodeIdAssumed: nodeId === undefined,
    kubeconfig,
    storageAddresses: [
      ...(storageAddress === undefined ? [] : [{ ...storageAddress, source: "--storage-address" }]),
      ...(nvmeAddress === undefined
        ? []
        : [{ address: nvmeAddress, port: nvmePort, source: "nvme-address" }]),
    ],
    rds: link,
  };
}
