import { mkdir, readFile, unlink, writeFile } from "node:fs/promises";
import { ConfigError } from "../config/config-error.ts";
import { draft, finish, type Input, refuseTwice } from "../config/sources.ts";
import { errorCode } from "../domain/error-code.ts";
import { listenError } from "../observability/listen-error.ts";
import { loggerFor } from "../observability/logger.ts";
import { ProfileError, readProfile } from "../probe/device-profile.ts";
import { type SimulateConfig, simulateOptions } from "../simulator/command-options.ts";
import { SimulatorError, type SimulatorOptions, startSimulator } from "../simulator/simulator.ts";
import { fingerprint, publicBlob, savedHostKey } from "../simulator/ssh/host-keys.ts";
import { checkSwitches, type Switches } from "../simulator/switches.ts";
import { aborted, type Io } from "./io.ts";

/** Configuration of `rds-csi simulate`. @throws ConfigError with every mistake */
export async function loadSimulateConfig(input: Input): Promise<SimulateConfig> {
  const found = await draft(simulateOptions, input);
  const slots = (found.values.pools ?? []).map(({ slot }) => slot);
  refuseTwice(found, simulateOptions.pools, slots, "pool");
  return finish(found, () => found.values as SimulateConfig);
}

/** Reads public keys, one per line; a key that cannot be read is a mistake of the configuration. */
async function readAuthorizedKeys(path: string): Promise<string[]> {
  const where = "--authorized-keys-file";
  const remedy = "Expected: lines 'ssh-ed25519 AAAA…' or 'ssh-rsa AAAA…'";
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    const problem = `names ${path}, which cannot be read (${errorCode(error) ?? error})`;
    throw new ConfigError([{ where, problem, remedy }]);
  }
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const keys = lines.filter((line) => line !== "" && !line.startsWith("#"));
  if (keys.length === 0)
    throw new ConfigError([{ where, problem: `names ${path}, which holds no key`, remedy }]);
  for (const key of keys) {
    try {
      publicBlob(key);
    } catch (error) {
      if (!(error instanceof SimulatorError)) throw error;
      throw new ConfigError([{ where, problem: `names ${path}: ${error.message}`, remedy }]);
    }
  }
  return keys;
}

/** The switches of --profile-file. @throws ConfigError */
async function probedSwitches({ profileFile }: SimulateConfig): Promise<Partial<Switches>> {
  if (profileFile === undefined) return {};
  try {
    return checkSwitches((await readProfile(profileFile)).switches);
  } catch (error) {
    if (!(error instanceof ProfileError || error instanceof SimulatorError)) throw error;
    const remedy = "Name a file that `rds-csi probe --save` of this version has made";
    throw new ConfigError([{ where: "--profile-file", problem: `is not usable: ${error.message}`, remedy }]);
  }
}

/** `rds-csi simulate`: answers until a signal comes, then saves its state. */
export async function runSimulate(config: SimulateConfig, io: Io): Promise<void> {
  const { dir, user, hostKeyFile, readyFile, commandLog, controlSocket } = config;
  const logger = loggerFor(config, "simulate");
  const publicKeys = await readAuthorizedKeys(config.authorizedKeysFile);
  await mkdir(dir, { recursive: true });
  const hostKey = await savedHostKey(dir);
  const blob = publicBlob(hostKey.pem);
  if (hostKeyFile !== undefined)
    await writeFile(hostKeyFile, `ssh-${hostKey.type} ${blob.toString("base64")}\n`);

  const backends: Record<SimulateConfig["backend"], NonNullable<SimulatorOptions["backend"]>> = {
    memory: { kind: "memory" },
    files: { kind: "files", dir },
    nvmet: { kind: "nvmet", dir, address: config.nvmetAddress },
  };
  const { listen } = config;
  const simulator = await startSimulator({
    profile: config.profile,
    switches: Object.assign({}, await probedSwitches(config), ...config.switches),
    backend: backends[config.backend],
    stateDir: dir,
    listen,
    users: [{ name: user, publicKeys }],
    hostKeys: [hostKey],
    pools: config.pools,
    latencyMs: config.latencyMs,
    logger,
    ...(commandLog === undefined ? {} : { commandLogFile: commandLog }),
    ...(controlSocket === undefined ? {} : { controlSocket }),
  }).catch((error: unknown) => {
    const { syscall, port } = error as { syscall?: string; port?: number };
    if (syscall !== "listen") throw error;
    throw port === undefined
      ? listenError("control-socket", controlSocket ?? "", error)
      : listenError("listen", `${listen.host}:${port}`, error);
  });
  const { host, port } = simulator;
  const address = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  try {
    if (readyFile !== undefined) await writeFile(readyFile, `${address}\n`);
    io.out(`ready ${address} ${fingerprint(blob)}\n`);
    await aborted(io.stop);
  } finally {
    await simulator.stop();
    // A file that says "ready" must not outlive the process; nobody minds if it is gone already.
    if (readyFile !== undefined) await unlink(readyFile).catch(() => {});
  }
}
