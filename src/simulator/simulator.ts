import { appendFile, mkdir } from "node:fs/promises";
import { systemClock } from "../domain/clock.ts";
import { type Logger, silentLogger } from "../observability/log.ts";
import type { Backend } from "./backend/backend.ts";
import { filesBackend } from "./backend/files.ts";
import { memoryBackend } from "./backend/memory.ts";
import { nvmetBackend } from "./backend/nvmet/nvmet.ts";
import { type ControlServer, startControl } from "./control.ts";
import { Device } from "./device/device.ts";
import { DEFAULT_POOL } from "./device/pools.ts";
import { checkOffset } from "./device/time.ts";
import type { SimulatedUser } from "./device/users.ts";
import { SimulatorError } from "./errors.ts";
import { Faults } from "./faults.ts";
import type { Simulator, SimulatorOptions } from "./options.ts";
import { Persistence } from "./persistence.ts";
import { Power } from "./power.ts";
import { PROFILES } from "./profiles.ts";
import { type CommandLogEntry, Executor } from "./ssh/executor.ts";
import { fingerprint, generateHostKey, pkcs8Of, publicBlob, savedHostKey } from "./ssh/host-keys.ts";
import { SshServer } from "./ssh/server.ts";
import { checkSwitches, DEFAULT_SWITCHES, type Switches } from "./switches.ts";
import { versionParts } from "./version.ts";

export type { ExportRecord } from "./backend/backend.ts";
export { Device } from "./device/device.ts";
export type { PoolFilesystem, PoolOptions } from "./device/pools.ts";
export type { Policy, SimulatedUser } from "./device/users.ts";
export type { DiskView } from "./device/views.ts";
export { SimulatorError } from "./errors.ts";
export { type FaultAction, type FaultHandle, Faults, type FaultWhen } from "./faults.ts";
export type { Simulator, SimulatorOptions } from "./options.ts";
export { PROFILES, type Profile, type ProfileName } from "./profiles.ts";
export type { CommandLogEntry } from "./ssh/executor.ts";
export type { HostKey } from "./ssh/host-keys.ts";
export {
  parseSimulatorSwitch,
  SWITCH_DOCS,
  type SwitchDoc,
  type Switches,
  type SwitchName,
} from "./switches.ts";

function usersOf(options: SimulatorOptions): readonly SimulatedUser[] {
  const users = [...(options.users ?? [])];
  if (options.authorizedKeys !== undefined) users.push({ name: "csi", publicKeys: options.authorizedKeys });
  for (const user of users) for (const key of user.publicKeys) publicBlob(key);
  return users;
}

async function backendOf(options: SimulatorOptions): Promise<Backend> {
  const { backend = { kind: "memory" }, logger = silentLogger } = options;
  if (backend.kind === "nvmet") return nvmetBackend(backend, logger);
  return backend.kind === "files" ? filesBackend(backend.dir, logger) : memoryBackend();
}

/** All switches: the defaults, then the profile, then the single ones. */
function switchesOf(options: SimulatorOptions): Switches {
  const profile = PROFILES[options.profile ?? "current"];
  if (profile === undefined) throw new SimulatorError(`the simulator has no profile ${options.profile}`);
  const switches = { ...DEFAULT_SWITCHES, ...profile.switches, ...checkSwitches({ ...options.switches }) };
  versionParts(switches.version);
  checkOffset(switches);
  return switches;
}

/**
 * Starts a RouterOS in software behind real SSH (facts section 9). Resolves when it listens.
 * @throws SimulatorError for options that make no sense
 */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const { clock = systemClock, logger = silentLogger } = options;
  let switches = switchesOf(options);
  const users = usersOf(options);
  const stateDir =
    options.stateDir ??
    (options.backend !== undefined && "dir" in options.backend ? options.backend.dir : undefined);
  if (stateDir !== undefined) await mkdir(stateDir, { recursive: true });

  const backend = await backendOf(options);
  warnOfBlindness(backend, switches, logger);
  await backend.withdrawAllExports();
  const persistence = new Persistence(stateDir);
  let power: Power | undefined;
  const device: Device = new Device({
    clock,
    backend,
    logger,
    switches: () => switches,
    changed: () => {
      persistence.touch();
      power?.watchReadiness();
    },
    saved: () => {
      persistence.touch();
      return persistence.save(() => device.save());
    },
  });
  const state = await persistence.load();
  if (state !== undefined) device.restore(state);
  for (const pool of options.pools ?? [DEFAULT_POOL]) await device.openPool(pool);
  const found = await backend.list();
  if (found !== undefined) await device.reconcile(found);
  else if (state !== undefined) await refillMemory(device);
  device.management.accounts.give(users);

  const faults = new Faults();
  const hostKeys = options.hostKeys ?? [
    stateDir === undefined ? generateHostKey() : await savedHostKey(stateDir),
  ];
  const [shown] = hostKeys;
  if (shown !== undefined) {
    device.management.hostKey = { type: shown.type, pkcs8: () => pkcs8Of(shown) };
  }
  let logWork: Promise<void> = Promise.resolve();
  const logged = (entry: CommandLogEntry): void => {
    const { commandLogFile } = options;
    if (commandLogFile === undefined) return;
    const line = `${JSON.stringify(entry)}\n`;
    logWork = logWork.then(() => appendFile(commandLogFile, line));
  };
  const running = new Power({ device, clock, logger, dropConnections: () => server.dropConnections() });
  power = running;
  const executor = new Executor({
    device,
    faults,
    clock,
    latencyMs: options.latencyMs ?? 0,
    down: () => running.down,
    logged,
    saved: () => persistence.save(() => device.save()),
    background: (task) => running.background(task),
  });
  const server: SshServer = new SshServer({
    hostKeys,
    device,
    faults,
    logger,
    switches: () => switches,
    online: () => running.online,
    exec: (request) => executor.exec(request),
    saved: () => persistence.save(() => device.save()),
  });
  running.watchReadiness();
  const host = options.listen?.host ?? "127.0.0.1";
  let port: number;
  try {
    const [failure] = await device.exports.reconcile();
    if (failure !== undefined) throw failure;
    persistence.touch();
    await persistence.save(() => device.save());
    port = await server.listen(host, options.listen?.port ?? 0);
  } catch (error) {
    // A simulator that does not start leaves no export behind, and its state as it was.
    await running.stop();
    throw error;
  }

  let control: ControlServer | undefined;
  let stopping: Promise<void> | undefined;
  const simulator: Simulator = {
    host,
    port,
    hostKeyFingerprints: hostKeys.map((key) => fingerprint(publicBlob(key.pem))),
    device,
    faults,
    get commands() {
      return executor.commands;
    },
    get connectionCount() {
      return server.connectionCount;
    },
    get switches() {
      return switches;
    },
    setSwitches: (changes) => {
      const next = { ...switches, ...checkSwitches({ ...changes }) };
      versionParts(next.version);
      checkOffset(next);
      switches = next;
      warnOfBlindness(backend, switches, logger);
    },
    dropConnections: () => server.dropConnections(),
    reboot: () => running.reboot(),
    powerLoss: (lostSeconds) => running.reboot(lostSeconds),
    stop: () => {
      stopping ??= (async () => {
        faults.clear();
        const down = running.stop();
        await server.close();
        await down;
        await control?.close();
        persistence.touch();
        await persistence.save(() => device.save());
        await logWork;
      })();
      return stopping;
    },
  };
  if (options.controlSocket !== undefined) {
    control = await startControl(options.controlSocket, simulator).catch(async (error: unknown) => {
      await simulator.stop();
      throw error;
    });
  }
  logger.info("the simulator listens", { host, port, version: switches.version });
  return simulator;
}

/** The memory backend has lost its bytes with the process: known files come back as zeros. */
async function refillMemory(device: Device): Promise<void> {
  for (const entry of device.fileStore.stored) {
    if (!entry.directory) await device.backend.create(entry.path, entry.size);
  }
}

/** The kernel's target does not tell who is connected, so nothing can be refused because of it. */
function warnOfBlindness(backend: Backend, switches: Switches, logger: Logger): void {
  if (backend.kind === "nvmet" && switches.connectedHosts === "busy") {
    logger.warn("connected-hosts=busy has no effect on hosts of the nvmet backend: it cannot see them");
  }
}
