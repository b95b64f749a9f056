import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { hostIdentity } from "../../domain/host-identity.ts";
import { NODE_TOOLS, type NodeTool } from "../../host/tools.ts";
import { hidingMount } from "../../mount/mountinfo.ts";
import { countUninspectable } from "../../mount/processes.ts";
import type { DiagnoseConfig, DiagnoseContext } from "../context.ts";
import { isThere, linkOf, textOf } from "./files.ts";

/** The kernel and its NVMe modules. */
export interface KernelFacts {
  readonly release: string | undefined;
  readonly modules: { readonly nvmeTcp: boolean; readonly nvmeFabrics: boolean };
  /** nvme_core.multipath; undefined where the kernel has no such parameter. */
  readonly multipath: boolean | undefined;
  readonly fabricsDevice: boolean;
}

export async function kernelFacts({ system, devRoot }: DiagnoseContext): Promise<KernelFacts> {
  const { sysRoot, procRoot } = system;
  const [release, nvmeTcp, nvmeFabrics, multipath, fabricsDevice] = await Promise.all([
    textOf(`${procRoot}/sys/kernel/osrelease`),
    isThere(`${sysRoot}/module/nvme_tcp`),
    isThere(`${sysRoot}/module/nvme_fabrics`),
    textOf(`${sysRoot}/module/nvme_core/parameters/multipath`),
    isThere(`${devRoot}/nvme-fabrics`),
  ]);
  return {
    release,
    modules: { nvmeTcp, nvmeFabrics },
    multipath: multipath === undefined ? undefined : /^[Yy1]/.test(multipath),
    fabricsDevice,
  };
}

/** A program that the node executes. */
export interface ToolFacts extends Pick<NodeTool, "name" | "package" | "why"> {
  /** undefined: it is missing. */
  readonly path: string | undefined;
  /** First line of what it says about itself. */
  readonly version: string | undefined;
}

/** How a program is asked for its version, where it is not `-V`. None of these touches a device. */
const VERSION_ARGS: Readonly<Record<string, readonly string[]>> = {
  nvme: ["version"],
  stat: ["--version"],
  resize2fs: [],
};
const VERSION_DEADLINE_MS = 3_000;

export async function toolFacts(
  { system, config, toolPath }: DiagnoseContext,
  signal: AbortSignal,
): Promise<readonly ToolFacts[]> {
  const tools: readonly NodeTool[] = NODE_TOOLS;
  const needed = tools.filter(({ dataPath }) => dataPath === undefined || dataPath === config.dataPath);
  return await Promise.all(
    needed.map(async ({ name, package: from, why }) => {
      const places = await Promise.all(
        toolPath.map((directory) =>
          access(`${directory}/${name}`, constants.X_OK).then(
            () => `${directory}/${name}` as const,
            () => undefined,
          ),
        ),
      );
      const path = places.find((place) => place !== undefined);
      const tool = { name, package: from, why, path };
      if (path === undefined) return { ...tool, version: undefined };
      const args = VERSION_ARGS[name] ?? ["-V"];
      const said = await system
        // An absolute path, found in the directories of TOOL_PATH.
        .exec({ program: path as `/${string}`, args, deadlineMs: VERSION_DEADLINE_MS, signal })
        .then(({ stdout, stderr }) => stdout.trim() || stderr.trim())
        .catch(() => "");
      return { ...tool, version: said.split("\n")[0]?.trim().slice(0, 80) || undefined };
    }),
  );
}

/** What this process may see. */
export interface AccessFacts {
  readonly hostPid: boolean;
  readonly hostNetwork: boolean;
  /** Processes that may not be looked into. */
  readonly hiddenProcesses: number;
  /** Mount point that keeps mounts in kubelet's directory from the host; undefined: they appear there. */
  readonly hidingMount?: string | undefined;
}

/** Inode of the first PID namespace. Source: Linux, include/linux/proc_ns.h, PROC_PID_INIT_INO. */
const FIRST_PID_NAMESPACE = "pid:[4026531836]";

export async function accessFacts({ system, config }: DiagnoseContext): Promise<AccessFacts> {
  const { procRoot } = system;
  const [pid, own, host, hiddenProcesses, hiding] = await Promise.all([
    linkOf(`${procRoot}/self/ns/pid`),
    linkOf(`${procRoot}/self/ns/net`),
    linkOf(`${procRoot}/1/ns/net`),
    countUninspectable(procRoot),
    hidingMount(procRoot, config.kubeletDir),
  ]);
  return {
    hostPid: pid === FIRST_PID_NAMESPACE,
    // Process 1 of another PID namespace says nothing about the host.
    hostNetwork: pid !== FIRST_PID_NAMESPACE || host === undefined || own === host,
    hiddenProcesses,
    hidingMount: hiding?.mountPoint,
  };
}

/** Who this node is towards NVMe targets, and what /etc/nvme says. */
export interface IdentityFacts extends Pick<DiagnoseConfig, "nodeId" | "nodeIdAssumed"> {
  /** undefined while the cluster id is not known, of which they are made. */
  readonly hostNqn: string | undefined;
  readonly hostId: string | undefined;
  readonly etcHostNqn: string | undefined;
  readonly etcHostId: string | undefined;
}

export async function identityFacts({ config, etcNvme }: DiagnoseContext): Promise<IdentityFacts> {
  const { nodeId, nodeIdAssumed, clusterId } = config;
  const first = async (name: string): Promise<string | undefined> => {
    for (const directory of etcNvme) {
      const text = await textOf(`${directory}/${name}`);
      if (text !== undefined) return text.split("\n")[0]?.trim().slice(0, 223) || undefined;
    }
    return undefined;
  };
  const [etcHostNqn, etcHostId] = [await first("hostnqn"), await first("hostid")];
  const own =
    clusterId === undefined ? { hostNqn: undefined, hostId: undefined } : hostIdentity(clusterId, nodeId);
  return { nodeId, nodeIdAssumed, ...own, etcHostNqn, etcHostId };
}
