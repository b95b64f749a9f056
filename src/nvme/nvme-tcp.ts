import { readlink } from "node:fs/promises";
import { failure } from "../domain/errors/driver-error.ts";
import { poll } from "../domain/poll.ts";
import { counted } from "../domain/sentence.ts";
import type { BlockDevice, Connection, DataPath } from "../host/data-path.ts";
import { succeed } from "../host/exec.ts";
import { exists } from "../host/files.ts";
import type { StoragePort } from "../host/reach.ts";
import type { NodeSystem } from "../host/system.ts";
import { missingTools } from "../host/tools.ts";
import { countUninspectable } from "../mount/processes.ts";
import { blockUsers } from "../mount/users.ts";
import { createConnect } from "./connect.ts";
import type { ConnectOutcome } from "./connect-metrics.ts";
import { type ConnectQueue, createConnectQueue } from "./connect-queue.ts";
import { describeControllers } from "./controller-state.ts";
import { abandonControllers, disconnectNqn } from "./disconnect.ts";
import { parseEndpoint } from "./endpoint.ts";
import { createKernelModule, type KernelModule } from "./kernel-module.ts";
import { parseVolumeNqn, requireVolumeNqn } from "./nqn.ts";
import { type Controller, readControllers, readNamespaces, singleDevice, subsystemState } from "./sysfs.ts";

export interface NvmeTcpOptions {
  readonly nqnPrefix: string;
  /** How long connect waits for a live controller with a device, in milliseconds (default 40 s). */
  readonly readyMs?: number;
  /** Bounds the connects that run at once; one of 4 places by default. */
  readonly connectQueue?: ConnectQueue;
  /** Called when an `nvme connect` has ended. */
  readonly onConnect?: (outcome: ConnectOutcome) => void;
}

const RESCAN_DEADLINE_MS = 10_000;
const RESCAN_SETTLE_MS = 2_000;
const POLL_MS = 100;
const DEFAULT_CONNECTS = 4;
/** Inode of the first PID namespace. Source: Linux, include/linux/proc_ns.h, PROC_PID_INIT_INO. */
const FIRST_PID_NAMESPACE = "pid:[4026531836]";

/** The production data path: the kernel's NVMe/TCP host, driven by nvme-cli, read through sysfs. */
export function createNvmeTcpDataPath(system: NodeSystem, options: NvmeTcpOptions): DataPath {
  const { nqnPrefix, readyMs = 40_000, onConnect = () => {} } = options;
  const { clock, sysRoot } = system;
  const queue = options.connectQueue ?? createConnectQueue({ limit: DEFAULT_CONNECTS, clock });

  const scan = async (controller: string, signal?: AbortSignal): Promise<void> => {
    const args = ["ns-rescan", `/dev/${controller}`];
    const what = `rescanning ${controller}`;
    const command = { program: "nvme" as const, args, deadlineMs: RESCAN_DEADLINE_MS, signal };
    await succeed(system.exec, command, (detail) => failure("nodeCommandFailed", { what, detail }));
  };

  const find = async (nqn: string): Promise<BlockDevice | undefined> => {
    requireVolumeNqn(nqnPrefix, nqn);
    const now = await subsystemState(sysRoot, nqn);
    const device = singleDevice(nqn, now.namespaces);
    if (device === undefined && now.controllers.length > 0) {
      const state = describeControllers(now.controllers);
      throw failure("deviceNotReady", { nqn, state, seconds: 0 });
    }
    return device;
  };

  const disconnect = async (nqn: string, signal?: AbortSignal): Promise<void> => {
    requireVolumeNqn(nqnPrefix, nqn);
    await disconnectNqn(system, nqn, signal);
  };

  const rescan = async (device: BlockDevice, signal?: AbortSignal): Promise<BlockDevice> => {
    for (const { name, state } of (await subsystemState(sysRoot, device.nqn)).controllers) {
      if (state === "live") await scan(name, signal);
    }
    let now = device;
    // The kernel scans in the background and reports no end.
    await poll(
      clock,
      { everyMs: POLL_MS, withinMs: RESCAN_SETTLE_MS },
      async () => {
        const found = await find(device.nqn);
        if (found === undefined) {
          throw failure("deviceChanged", { device: device.path, nqn: device.nqn, found: "disconnected" });
        }
        now = found;
        return now.sizeBytes === device.sizeBytes ? undefined : now;
      },
      signal,
    );
    return now;
  };

  const list = async (): Promise<readonly Connection[]> => {
    const controllers = await readControllers(sysRoot);
    const namespaces = await readNamespaces(sysRoot, controllers);
    const connections: Connection[] = [];
    for (const nqn of new Set([...controllers.map((controller) => controller.nqn), ...namespaces.keys()])) {
      const parsed = parseVolumeNqn(nqnPrefix, nqn);
      if (parsed === undefined) continue;
      const devices = (namespaces.get(nqn) ?? []).map(({ device }) => device);
      const own = controllers.filter((each) => each.nqn === nqn);
      const common = { ...parsed, state: stateOf(own), ports: portsOf(own) };
      // Several devices are a mistake of this volume alone: each verb on it throws deviceAmbiguous.
      if (devices.length === 0) connections.push({ ...common, device: undefined });
      for (const device of devices) connections.push({ ...common, device });
    }
    return connections;
  };

  const module = createKernelModule(system);
  const connectTarget = createConnect({ system, queue, onConnect, readyMs, disconnect, scan });

  return {
    kind: "nvme-tcp",
    connect: async (target, signal) => {
      requireVolumeNqn(nqnPrefix, target.nqn);
      return await connectTarget(target, signal);
    },
    find,
    disconnect,
    abandon: async (nqn, signal) => {
      requireVolumeNqn(nqnPrefix, nqn);
      await abandonControllers(system, nqn, signal);
    },
    users: (device, signal) => blockUsers(system, device, "refuse", signal),
    rescan,
    list,
    prepare: () => module.load(),
    readinessProblems: () => readinessProblems(system, module),
  };
}

async function readinessProblems({ procRoot }: NodeSystem, module: KernelModule): Promise<readonly string[]> {
  const problems = [...(await missingTools("nvme-tcp"))];
  const notLoaded = await module.problem();
  if (notLoaded !== undefined) problems.push(notLoaded);
  if (!(await exists("/dev/nvme-fabrics"))) {
    problems.push("/dev/nvme-fabrics is missing: load nvme-fabrics and mount the host's /dev");
  }
  if ((await readlinkOptional(`${procRoot}/self/ns/pid`)) !== FIRST_PID_NAMESPACE) {
    problems.push("hostPID is off: processes that use a volume cannot be seen");
  }
  const blind = await countUninspectable(procRoot);
  if (blind > 0) {
    problems.push(
      `${counted(blind, "process", "processes")} may not be looked into, so no volume could be proven unused and unstaged: run privileged (CAP_SYS_PTRACE)`,
    );
  }
  const [own, host] = [`${procRoot}/self/ns/net`, `${procRoot}/1/ns/net`].map(readlinkOptional);
  if ((await own) !== (await host) && (await host) !== undefined) {
    problems.push("hostNetwork is off: the kernel reconnects in the host's network, not in this one");
  }
  return problems;
}

/** The states of some controllers as the kernel spells them. */
function stateOf(controllers: readonly Controller[]): string {
  if (controllers.length === 0) return "no controller";
  return [...new Set(controllers.map(({ state }) => state))].sort().join(", ");
}

function portsOf(controllers: readonly Controller[]): readonly StoragePort[] {
  return controllers.flatMap(({ address: attribute }) => {
    const endpoint = parseEndpoint(attribute);
    return endpoint === undefined ? [] : [{ address: endpoint.address, port: Number(endpoint.port) }];
  });
}

async function readlinkOptional(path: string): Promise<string | undefined> {
  return await readlink(path).catch(() => undefined);
}
