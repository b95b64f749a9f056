import { access, readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { PLAIN_CLUSTER_ID } from "../domain/cluster-id.ts";
import { errorCode } from "../domain/error-code.ts";
import { type HostKeyPin, parseHostKeyFile } from "../routeros/transport/host-keys.ts";
import type { Mistake } from "./config-error.ts";
import { diagnoseOptions } from "./diagnose-options.ts";
import type { ValuesOf } from "./option.ts";
import {
  checkOptions,
  controllerOptions,
  nodeOptions,
  probeOptions,
  pruneOptions,
  volumesOptions,
} from "./options.ts";
import { addMistake, type Draft, draft, find, finish, howToSet, type Input, refuseTwice } from "./sources.ts";

export type { Input };

/** How to reach the RDS; ready for `createSshTransport`. */
export interface RdsConfig {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly keyFile: string;
  readonly passphraseFile: string | undefined;
  /** Those of --rds-host-key. */
  readonly hostKeys: readonly HostKeyPin[];
  /** With further ones; it has been read once. */
  readonly hostKeyFile: string | undefined;
  /** Commands at once on each connection. */
  readonly channels: number;
}

/** A cluster id that is not configured is the orchestrator's to say; without one it is the plain one. */
function withClusterId<
  T extends { readonly clusterId?: string | undefined; readonly orchestrator?: "kubernetes" | "none" },
>(values: T): T {
  const { clusterId, orchestrator } = values;
  return { ...values, clusterId: clusterId ?? (orchestrator === "none" ? PLAIN_CLUSTER_ID : undefined) };
}

type ControllerValues = ValuesOf<typeof controllerOptions>;
type RdsKeys = Extract<keyof ControllerValues, `rds${string}`>;

/** The configuration of a command that talks to the RDS. */
type WithRds<T> = Readonly<Omit<T, RdsKeys> & { rds: RdsConfig }>;

export type VolumesConfig = WithRds<ValuesOf<typeof volumesOptions>>;
export type CheckConfig = WithRds<ValuesOf<typeof checkOptions>>;
export type ProbeConfig = WithRds<ValuesOf<typeof probeOptions>>;
export type PruneConfig = ValuesOf<typeof pruneOptions>;
export type ControllerConfig = Readonly<
  Omit<WithRds<ControllerValues>, "nvmeAddress"> & { nvmeAddress: string }
>;
export type NodeConfig = ValuesOf<typeof nodeOptions>;

type RdsDraft = Draft<ValuesOf<typeof volumesOptions>>;

/** The host keys of --rds-host-key-file; undefined after a mistake. */
async function readPins(found: RdsDraft, path: string): Promise<readonly HostKeyPin[] | undefined> {
  const option = volumesOptions.rdsHostKeyFile;
  const remedy =
    "Name a readable file with one host key per line (ssh-keyscan HOST, then compare the fingerprint)";
  try {
    const { pins, mistakes } = parseHostKeyFile(await readFile(path, "utf8"));
    const where = `${find(option, found.sources)?.where} (${path})`;
    for (const problem of mistakes) addMistake(found, where, problem, remedy);
    return mistakes.length === 0 ? pins : undefined;
  } catch (error) {
    addMistake(found, option, `names ${path}, which cannot be read (${errorCode(error) ?? error})`, remedy);
    return undefined;
  }
}

/** Brings the RDS options together: port, host keys, and a look at the key file. */
async function rdsConfig(found: RdsDraft): Promise<RdsConfig | undefined> {
  const { values } = found;
  const { rdsAddress, rdsPort, rdsUser, rdsKeyFile, rdsKeyPassphraseFile, rdsHostKeyFile } = values;
  if (rdsAddress?.port !== undefined && rdsPort !== undefined && rdsAddress.port !== rdsPort) {
    const problem = `is ${rdsPort}, but rds-address has port ${rdsAddress.port}`;
    addMistake(found, volumesOptions.rdsPort, problem, "Set the port in one place");
  }
  const fromFile = rdsHostKeyFile === undefined ? [] : await readPins(found, rdsHostKeyFile);
  const pins = [...(values.rdsHostKey ?? []), ...(fromFile ?? [])];
  const isKnown = values.rdsHostKey !== undefined && "rdsHostKeyFile" in values && fromFile !== undefined;
  if (pins.length === 0 && isKnown) {
    addMistake(
      found,
      "--rds-host-key and --rds-host-key-file",
      "name no host key, so no RDS could be trusted",
      "Pin the host key: ssh-keyscan HOST | ssh-keygen -lf - shows its SHA256 fingerprint; compare it on the RDS",
    );
  }
  if (rdsKeyFile !== undefined && "rdsKeyPassphraseFile" in values) {
    // Loads ssh2: a node has no key.
    const { readUserKey, UserKeyError } = await import("../routeros/transport/user-key.ts");
    try {
      await readUserKey({ keyFile: rdsKeyFile, passphraseFile: rdsKeyPassphraseFile });
    } catch (error) {
      if (!(error instanceof UserKeyError)) throw error;
      const { expects } = volumesOptions.rdsKeyFile;
      addMistake(found, volumesOptions.rdsKeyFile, `is not usable: ${error.message}`, `Expected: ${expects}`);
    }
  }
  if (
    rdsAddress === undefined ||
    rdsUser === undefined ||
    rdsKeyFile === undefined ||
    values.rdsChannels === undefined
  )
    return undefined;
  return Object.freeze({
    host: rdsAddress.host,
    port: rdsAddress.port ?? rdsPort ?? 22,
    user: rdsUser,
    keyFile: rdsKeyFile,
    passphraseFile: rdsKeyPassphraseFile,
    hostKeys: Object.freeze([...(values.rdsHostKey ?? [])]),
    hostKeyFile: rdsHostKeyFile,
    channels: values.rdsChannels,
  });
}

/** Leaves out the options that `rds` stands for. */
function withoutRds<T extends object>(values: Partial<T>): Omit<T, RdsKeys> {
  const rest = Object.entries(values).filter(([key]) => !/^rds[A-Z]/.test(key));
  return Object.fromEntries(rest) as Omit<T, RdsKeys>;
}

/** Configuration of `rds-csi volumes …`. @throws ConfigError with every mistake */
export async function loadVolumesConfig(input: Input): Promise<VolumesConfig> {
  const found = await draft(volumesOptions, input);
  const rds = await rdsConfig(found);
  return finish(found, () => ({ ...withClusterId(withoutRds(found.values)), rds: rds as RdsConfig }));
}

/** Configuration of `rds-csi check`. @throws ConfigError with every mistake */
export async function loadCheckConfig(input: Input): Promise<CheckConfig> {
  const found = await draft(checkOptions, input);
  const rds = await rdsConfig(found as RdsDraft);
  return finish(found, () => ({ ...withoutRds(found.values), rds: rds as RdsConfig }) as CheckConfig);
}

/** Configuration of `rds-csi probe`. @throws ConfigError with every mistake */
export async function loadProbeConfig(input: Input): Promise<ProbeConfig> {
  const found = await draft(probeOptions, input);
  const rds = await rdsConfig(found as RdsDraft);
  return finish(found, () => ({ ...withoutRds(found.values), rds: rds as RdsConfig }) as ProbeConfig);
}

/** Configuration of `rds-csi snapshots prune`. @throws ConfigError with every mistake */
export async function loadPruneConfig(input: Input): Promise<PruneConfig> {
  const found = await draft(pruneOptions, input);
  return finish(found, () => found.values as PruneConfig);
}

/** Configuration of `rds-csi controller`. @throws ConfigError with every mistake */
export async function loadControllerConfig(input: Input): Promise<ControllerConfig> {
  const found = await draft(controllerOptions, input);
  const { values } = found;
  const { nvmeAddress, nodes } = controllerOptions;
  const rds = await rdsConfig(found);
  const host = values.rdsAddress?.host;
  const literal = host !== undefined && isIP(host) !== 0 ? host : undefined;
  const isUnset = "nvmeAddress" in values && values.nvmeAddress === undefined;
  if (isUnset && host !== undefined && literal === undefined) {
    const problem = `is required, as rds-address ${host} is a name: nodes connect to a literal IP address`;
    const to = "the RDS's address in the storage network";
    addMistake(found, nvmeAddress, problem, `${howToSet(nvmeAddress)} to ${to}`);
  }
  if (values.nodes?.length === 0 && values.orchestrator === "none") {
    const to = "the ids of the nodes that may attach volumes";
    addMistake(found, nodes, "is required with --orchestrator none", `${howToSet(nodes)} to ${to}`);
  }
  refuseTwice(found, nodes, values.nodes, "node");
  return finish(found, () => ({
    ...withClusterId(withoutRds<ControllerValues>(values)),
    nvmeAddress: values.nvmeAddress ?? literal ?? "",
    rds: rds as RdsConfig,
  }));
}

/** Configuration of `rds-csi node`. @throws ConfigError with every mistake */
export async function loadNodeConfig(input: Input): Promise<NodeConfig> {
  const found = await draft(nodeOptions, input);
  const { values } = found;
  const { nvmeAddress, formerNvmeAddress, loopExportsDir } = nodeOptions;
  const isUnset = (name: keyof typeof values): boolean => name in values && values[name] === undefined;
  // Former addresses alone would shut out the present one, or mean nothing.
  if ((values.formerNvmeAddress ?? []).length > 0 && isUnset("nvmeAddress")) {
    const remedy = `${howToSet(nvmeAddress)} to the present address`;
    addMistake(found, formerNvmeAddress, "is set, but nvme-address is not", remedy);
  }
  if (values.dataPath === "loop" && isUnset("loopExportsDir")) {
    const remedy = "Set it to the directory exports below the simulator's --dir";
    addMistake(found, loopExportsDir, "is required with --data-path loop", remedy);
  }
  return finish(found, () => withClusterId(found.values as NodeConfig));
}

type DiagnoseValues = ValuesOf<typeof diagnoseOptions>;

/** As other commands, except that an RDS link that cannot be used is no mistake: the rest is worth knowing. */
export type DiagnoseConfigValues = Readonly<Omit<DiagnoseValues, RdsKeys>> & {
  /** A text says why there is none. `asked`: options of the RDS were set. */
  readonly rds: RdsConfig | { readonly problem: string; readonly asked: boolean };
};

/** false only if it is certain that nothing is there. */
async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    (error: { code?: string }) => error.code !== "ENOENT",
  );
}

/** Configuration of `rds-csi diagnose`. @throws ConfigError with every mistake */
export async function loadDiagnoseConfig(input: Input): Promise<DiagnoseConfigValues> {
  const found = await draft(diagnoseOptions, input);
  const { rdsAddress, rdsKeyFile } = found.values;
  const link = async (): Promise<DiagnoseConfigValues["rds"]> => {
    if (rdsAddress === undefined || rdsKeyFile === undefined) {
      const missing = rdsAddress === undefined ? "rds-address" : "rds-key-file";
      return { problem: `no --${missing}: nodes have no RDS credentials`, asked: false };
    }
    // The configuration file is shared with the controller, and only that one has the key.
    const shared = find(diagnoseOptions.rdsKeyFile, found.sources)?.fromFile === true;
    if (shared && !(await exists(rdsKeyFile)))
      return { problem: `${rdsKeyFile}, the key of the RDS's user, is not here`, asked: false };
    const mistakes: Mistake[] = [];
    const values = { ...found.values, rdsAddress, rdsKeyFile };
    const rds = await rdsConfig({ values, sources: found.sources, mistakes });
    const [mistake] = mistakes;
    if (mistake !== undefined) return { problem: `${mistake.where} ${mistake.problem}`, asked: true };
    return rds ?? { problem: "the options of the RDS are not complete", asked: true };
  };
  const rds = await link();
  return finish(found, () => ({ ...withClusterId(withoutRds(found.values)), rds }) as DiagnoseConfigValues);
}
