import { failure, isFailure, toDriverError } from "../../domain/errors/driver-error.ts";
import { parseVolumeId } from "../../domain/volume-id.ts";
import type { BlockDevice } from "../../host/data-path.ts";
import { type Mount, mountsAt } from "../../mount/mountinfo.ts";
import { statFilesystem, statPath } from "../../mount/stat.ts";
import { mountsOf, type NodeContext } from "../context.ts";
import { isDead, isDeadNode } from "../health/dead.ts";
import { describeTroubles, mayHang, type Trouble, troublesOf } from "../health/health.ts";
import { kubeletPathOf } from "../kubelet-paths.ts";
import type { StatsRequest, Usage, VolumeStats } from "../requests.ts";
import { canonicalPath, kindOf, plainPath } from "./paths.ts";
import { requireVolumeId } from "./validate.ts";

/**
 * NodeGetVolumeStats: bytes and inodes of a filesystem, total bytes of a block volume, and whether the volume is well.
 * A volume in trouble is an answer, not an error: it says what is wrong, and leaves out the usage where finding it could
 * block. Any path at which this volume is not found, also a relative one, is NOT_FOUND.
 * Source: CSI specification 1.12, NodeGetVolumeStats, VolumeCondition.
 * @throws fieldMissing; volumePathNotFound (NOT_FOUND); nodeStateUnknown
 */
export async function stats(node: NodeContext, request: StatsRequest): Promise<VolumeStats> {
  const handle = requireVolumeId(request.volumeId);
  if (request.volumePath === "") throw failure("fieldMissing", { field: "volume_path" });
  const { signal } = request;
  const notFound = () => failure("volumePathNotFound", { volume: handle, path: request.volumePath });
  const plain = plainPath(request.volumePath);
  const volume = parseVolumeId(handle);
  if (plain === undefined || volume === undefined) throw notFound();
  const path = await canonicalPath(plain);
  if (path === undefined) throw notFound();

  const mounts = await mountsOf(node);
  const top = mountsAt(mounts, path).at(-1);
  const owner = await ownerOf(node, path);
  if (owner !== undefined && owner !== volume) throw notFound();
  if (top !== undefined && ((await isDead(node, top)) || (await isDeadNode(node, top, signal)))) {
    // Which device it was cannot be found out any more; nothing speaks against this volume.
    return abnormal(await troublesOf(node, { volume, connections: [], mounts: [top] }, signal));
  }
  const connections = (await node.dataPath.list(signal)).filter((connection) => connection.slot === volume);
  const devices = connections.flatMap(({ device }) => device ?? []);
  const isMounted = top !== undefined && devices.some(({ number }) => number === top.device);
  const block = isMounted ? undefined : await blockAt(node, path, devices, signal);
  if (!isMounted && block === undefined) {
    if (owner === undefined) throw notFound();
    const missing: Trouble[] = top === undefined ? [await notMounted(path, notFound)] : [];
    const mounted = top === undefined ? [] : [top];
    const troubles = await troublesOf(node, { volume, connections, mounts: mounted }, signal);
    const found = [...missing, ...troubles];
    return abnormal(found.length > 0 ? found : [somethingElse(path)]);
  }
  const staged = isMounted ? await stagingMount(mounts, request.stagingTargetPath) : undefined;
  const subject = { volume, connections, mounts: [top, staged?.mount].flatMap((mount) => mount ?? []) };
  const troubles: Trouble[] = [...(staged?.troubles ?? []), ...(await troublesOf(node, subject, signal))];
  if (block !== undefined) {
    return { usage: [blockUsage(block)], condition: conditionOf(troubles) };
  }
  const usage = mayHang(troubles) ? [] : await filesystemUsage(node, path, troubles, signal);
  return { usage, condition: conditionOf(troubles) };
}

/** The volume that kubelet keeps this path for; undefined if nothing is known. */
async function ownerOf(node: NodeContext, path: string): Promise<string | undefined> {
  return node.driverName === undefined ? undefined : (await kubeletPathOf(path, node.driverName))?.handle;
}

/** The device whose node is at the path. */
async function blockAt(
  node: NodeContext,
  path: string,
  devices: readonly BlockDevice[],
  signal?: AbortSignal,
): Promise<BlockDevice | undefined> {
  if (devices.length === 0) return undefined;
  const seen = await statPath(node.system.exec, path, signal);
  return devices.find(({ number }) => seen?.kind === "block" && seen.number === number);
}

/** What kubelet keeps for the volume exists, but nothing is mounted there. */
async function notMounted(path: string, notFound: () => Error): Promise<Trouble> {
  if ((await kindOf(path)) === undefined) throw notFound();
  return {
    cause: "not-mounted",
    message: `nothing is mounted at ${path}; the volume has to be staged again`,
  };
}

function somethingElse(path: string): Trouble {
  return { cause: "other-device", message: `what is at ${path} is not the device of the volume` };
}

/** What is at the staging path, if the request names one. */
async function stagingMount(
  mounts: readonly Mount[],
  requested: string | undefined,
): Promise<{ mount: Mount | undefined; troubles: readonly Trouble[] } | undefined> {
  const plain = plainPath(requested ?? "");
  const path = plain === undefined ? undefined : await canonicalPath(plain);
  if (path === undefined) return undefined;
  const mount = mountsAt(mounts, path).at(-1);
  const message = `the volume is not staged at ${path}, although it is published`;
  return { mount, troubles: mount === undefined ? [{ cause: "not-mounted", message }] : [] };
}

function blockUsage({ sizeBytes }: BlockDevice): Usage {
  return { unit: "bytes", total: sizeBytes, used: undefined, available: undefined };
}

/** Adds to `troubles` if the filesystem does not answer. */
async function filesystemUsage(
  node: NodeContext,
  path: string,
  troubles: Trouble[],
  signal?: AbortSignal,
): Promise<readonly Usage[]> {
  try {
    const usage = await statFilesystem(node.system.exec, path, signal);
    const bytes = (blocks: bigint) => blocks * usage.blockSize;
    return [
      {
        unit: "bytes",
        total: bytes(usage.blocks),
        used: bytes(usage.blocks - usage.free),
        available: bytes(usage.available),
      },
      {
        unit: "inodes",
        total: usage.inodes,
        used: usage.inodes - usage.freeInodes,
        available: usage.freeInodes,
      },
    ];
  } catch (error) {
    if (signal?.aborted || isFailure(error, "toolMissing")) throw error;
    const message = `the filesystem at ${path} does not answer: ${toDriverError(error).summary}`;
    troubles.push({ cause: "not-answering", message });
    return [];
  }
}

function abnormal(troubles: readonly Trouble[]): VolumeStats {
  return { usage: [], condition: conditionOf(troubles) };
}

function conditionOf(troubles: readonly Trouble[]): VolumeStats["condition"] {
  return { abnormal: troubles.length > 0, message: describeTroubles(troubles) };
}
