import { access, readlink } from "node:fs/promises";
import { failure } from "../domain/errors/driver-error.ts";
import { blockUsers } from "../mount/users.ts";
import type { BlockDevice, Connection, DataPath, Target } from "../node/data-path.ts";
import { complaint } from "../node/exec.ts";
import { missingTools } from "../node/missing-tools.ts";
import type { NodeSystem } from "../node/system.ts";
import { connectFailure } from "./connect-failure.ts";
import { parseVolumeNqn, requireVolumeNqn } from "./nqn.ts";
import { type Controller, readControllers, readNamespaces } from "./sysfs.ts";

export interface NvmeTcpOptions {
  readonly nqnPrefix: string;
  /** How long connect waits for a live controller with a device, in milliseconds (default 40 s). */
  readonly readyMs?: number;
  /** How long disconnect waits for the proof, in milliseconds (default 15 s). */
  readonly goneMs?: number;
}

const CONNECT_DEADLINE_MS = 30_000;
const DISCONNECT_DEADLINE_MS = 20_000;
const RESCAN_DEADLINE_MS = 10_000;
const RESCAN_SETTLE_MS = 2_000;
const POLL_MS = 100;
/** Inode of the first PID namespace. Source: Linux, include/linux/proc_ns.h, PROC_PID_INIT_INO. */
const FIRST_PID_NAMESPACE = "pid:[4026531836]";

interface View {
  readonly controllers: readonly Controller[];
  readonly devices: readonly BlockDevice[];
}

/** The production data path: the kernel's NVMe/TCP host, driven by nvme-cli, read through sysfs. */
export function createNvmeTcpDataPath(system: NodeSystem, options: NvmeTcpOptions): DataPath {
  const { nqnPrefix, readyMs = 40_000, goneMs = 15_000 } = options;
  const { clock, sysRoot, logger } = system;

  const view = async (nqn: string): Promise<View> => {
    const controllers = (await readControllers(sysRoot)).filter((controller) => controller.nqn === nqn);
    const devices = (await readNamespaces(sysRoot, controllers)).get(nqn) ?? [];
    return { controllers, devices };
  };

  const single = (nqn: string, devices: readonly BlockDevice[]): BlockDevice | undefined => {
    if (devices.length <= 1) return devices[0];
    throw failure("deviceAmbiguous", { nqn, devices: devices.map((device) => device.path) });
  };

  const stateOf = ({ controllers }: View): string =>
    controllers.length === 0
      ? "no controller"
      : [...new Set(controllers.map((controller) => controller.state))].sort().join(", ");

  const runConnect = async (target: Target, signal?: AbortSignal): Promise<void> => {
    const args = ["connect", "--transport=tcp", `--traddr=${target.address}`, `--trsvcid=${target.port}`];
    args.push(`--nqn=${target.nqn}`, `--hostnqn=${target.hostNqn}`, `--hostid=${target.hostId}`);
    args.push(`--ctrl-loss-tmo=${target.ctrlLossTmo}`, `--reconnect-delay=${target.reconnectDelay}`);
    args.push(`--keep-alive-tmo=${target.keepAliveTmo}`);
    const result = await system.exec({ program: "nvme", args, deadlineMs: CONNECT_DEADLINE_MS, signal });
    if (result.code === 0) return;
    const error = connectFailure(result, target, await exists(`${sysRoot}/module/nvme_tcp`));
    if (error !== undefined) throw error;
  };

  const connect = async (target: Target, signal?: AbortSignal): Promise<BlockDevice> => {
    const { nqn } = target;
    requireVolumeNqn(nqnPrefix, nqn);
    const started = clock.monotonic();
    for (let connected = false; ; ) {
      const now = await view(nqn);
      const other = now.controllers.find(
        // Kernels before 5.7 do not show it.
        ({ hostNqn }) => hostNqn !== "" && hostNqn !== target.hostNqn,
      );
      if (other !== undefined) {
        throw failure("connectedAsOtherHost", { nqn, hostNqn: other.hostNqn, own: target.hostNqn });
      }
      const device = single(nqn, now.devices);
      if (device !== undefined && now.controllers.some(({ state }) => state === "live")) return device;
      if (now.controllers.length === 0 && !connected) {
        logger.info("connecting", { nqn, address: target.address, port: target.port });
        await runConnect(target, signal);
        connected = true;
        continue;
      }
      const waited = clock.monotonic() - started;
      if (waited >= readyMs) {
        throw failure("deviceNotReady", { nqn, state: stateOf(now), seconds: Math.round(waited / 1000) });
      }
      await clock.sleep(POLL_MS, signal);
    }
  };

  const find = async (nqn: string): Promise<BlockDevice | undefined> => {
    requireVolumeNqn(nqnPrefix, nqn);
    const now = await view(nqn);
    const device = single(nqn, now.devices);
    if (device === undefined && now.controllers.length > 0) {
      throw failure("deviceNotReady", { nqn, state: stateOf(now), seconds: 0 });
    }
    return device;
  };

  const disconnect = async (nqn: string, signal?: AbortSignal): Promise<void> => {
    requireVolumeNqn(nqnPrefix, nqn);
    const before = await view(nqn);
    if (before.controllers.length === 0 && before.devices.length === 0) return;
    // The caller proved one device unused; disconnecting the NQN takes every device of the subsystem.
    single(nqn, before.devices);
    const result = await system.exec({
      program: "nvme",
      args: ["disconnect", `--nqn=${nqn}`],
      deadlineMs: DISCONNECT_DEADLINE_MS,
      signal,
    });
    const until = clock.monotonic() + goneMs;
    // Its exit code says nothing: 0 also for "disconnected 0 controller(s)".
    for (;;) {
      const now = await view(nqn);
      if (now.controllers.length === 0 && now.devices.length === 0) return;
      if (clock.monotonic() > until || result.code !== 0) {
        const left = [...now.controllers, ...now.devices].map(({ name }) => name).join(", ");
        throw failure("disconnectNotProven", {
          nqn,
          detail: `${left} left; nvme said: ${complaint(result)}`,
        });
      }
      await clock.sleep(POLL_MS, signal);
    }
  };

  const rescan = async (device: BlockDevice, signal?: AbortSignal): Promise<BlockDevice> => {
    for (const { name, state } of (await view(device.nqn)).controllers) {
      if (state !== "live") continue;
      const args = ["ns-rescan", `/dev/${name}`];
      const result = await system.exec({ program: "nvme", args, deadlineMs: RESCAN_DEADLINE_MS, signal });
      if (result.code !== 0) {
        throw failure("nodeCommandFailed", { what: `rescanning ${name}`, detail: complaint(result) });
      }
    }
    // The kernel scans in the background and does not say when it is done.
    const until = clock.monotonic() + RESCAN_SETTLE_MS;
    for (;;) {
      const now = await find(device.nqn);
      if (now === undefined) {
        throw failure("deviceChanged", { device: device.path, nqn: device.nqn, found: "disconnected" });
      }
      if (now.sizeBytes !== device.sizeBytes || clock.monotonic() > until) return now;
      await clock.sleep(POLL_MS, signal);
    }
  };

  const list = async (): Promise<readonly Connection[]> => {
    const controllers = await readControllers(sysRoot);
    const namespaces = await readNamespaces(sysRoot, controllers);
    const connections: Connection[] = [];
    for (const nqn of new Set([...controllers.map((controller) => controller.nqn), ...namespaces.keys()])) {
      const parsed = parseVolumeNqn(nqnPrefix, nqn);
      if (parsed === undefined) continue;
      const devices = namespaces.get(nqn) ?? [];
      const state = stateOf({ controllers: controllers.filter((each) => each.nqn === nqn), devices });
      // More than one is a mistake of this volume alone: whoever works on it meets deviceAmbiguous.
      if (devices.length === 0) connections.push({ ...parsed, state, device: undefined });
      for (const device of devices) connections.push({ ...parsed, state, device });
    }
    return connections;
  };

  return {
    kind: "nvme-tcp",
    connect,
    find,
    disconnect,
    users: (device, signal) => blockUsers(system, device, "refuse", signal),
    rescan,
    list,
    readinessProblems: () => readinessProblems(system),
  };
}

async function readinessProblems({ sysRoot, procRoot }: NodeSystem): Promise<readonly string[]> {
  const problems = [...(await missingTools("nvme-tcp"))];
  if (!(await exists(`${sysRoot}/module/nvme_tcp`))) {
    problems.push("the kernel module nvme-tcp is not loaded: add it to /etc/modules-load.d");
  }
  if (!(await exists("/dev/nvme-fabrics"))) {
    problems.push("/dev/nvme-fabrics is missing: load nvme-fabrics and mount the host's /dev");
  }
  if ((await readlinkOptional(`${procRoot}/self/ns/pid`)) !== FIRST_PID_NAMESPACE) {
    problems.push("hostPID is off: processes that use a volume cannot be seen");
  }
  const [own, host] = [`${procRoot}/self/ns/net`, `${procRoot}/1/ns/net`].map(readlinkOptional);
  if ((await own) !== (await host) && (await host) !== undefined) {
    problems.push("hostNetwork is off: the kernel reconnects in the host's network, not in this one");
  }
  return problems;
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

async function readlinkOptional(path: string): Promise<string | undefined> {
  return await readlink(path).catch(() => undefined);
}
