import { failure, isFailure, toDriverError } from "../../domain/errors/driver-error.ts";
import type { BlockDevice } from "../../host/data-path.ts";
import type { Mount } from "../../mount/mountinfo.ts";
import { statFilesystem } from "../../mount/stat.ts";
import { type NodeContext, topMount } from "../context.ts";
import { type AbnormalCondition, abnormalConditions, conditionMessage, mayHang } from "../health/health.ts";
import { kubeletPathOf } from "../kubelet-paths.ts";
import type { StatsRequest, Usage, VolumeStats } from "../requests.ts";
import { isDeadPath, locate, volumePathOf } from "./locate.ts";
import { canonicalPath, kindOf, plainPath } from "./paths.ts";
import { requireVolumeId } from "./validate.ts";

/** What a look at a path found. */
export interface Looked {
  readonly usage: readonly Usage[];
  readonly conditions: readonly AbnormalCondition[];
}

/** NodeGetVolumeStats: what `look` found, with the condition of CSI up to 1.12. @throws as `look` */
export async function stats(node: NodeContext, request: StatsRequest): Promise<VolumeStats> {
  const { usage, conditions } = await look(node, request);
  return { usage, condition: { abnormal: conditions.length > 0, message: conditionMessage(conditions) } };
}

/**
 * A look at a volume at its path: bytes and inodes of a filesystem, total bytes of a block volume, and the condition of the volume.
 * An abnormal volume is an answer, not an error: the condition names the cause, and the usage is left out where reading it
 * could block. Any path at which this volume is not found, also a relative one, is NOT_FOUND.
 * Source: CSI specification 1.12, NodeGetVolumeStats, VolumeCondition.
 * @throws fieldMissing; volumePathNotFound (NOT_FOUND); nodeStateUnknown
 */
export async function look(node: NodeContext, request: StatsRequest): Promise<Looked> {
  const handle = requireVolumeId(request.volumeId);
  if (request.volumePath === "") throw failure("fieldMissing", { field: "volume_path" });
  const { signal } = request;
  const notFound = () => failure("volumePathNotFound", { volume: handle, path: request.volumePath });
  const at = await volumePathOf(node, handle, request.volumePath);
  const { volume, path, top } = at;
  const owner = await ownerOf(node, path);
  if (owner !== undefined && owner !== volume) throw notFound();
  const mounts = top === undefined ? [] : [top];
  if (await isDeadPath(node, at, signal)) {
    // Its device cannot be found out any more; nothing speaks against this volume.
    return abnormal(await abnormalConditions(node, { volume, connections: [], mounts }, signal));
  }
  const { connections, device, mount } = await locate(node, at, signal);
  if (device === undefined) {
    if (owner === undefined) throw notFound();
    const missing = top === undefined ? [await notMounted(path, notFound)] : [];
    const found = [...missing, ...(await abnormalConditions(node, { volume, connections, mounts }, signal))];
    return abnormal(found.length > 0 ? found : [somethingElse(path)]);
  }
  const staged = mount === undefined ? undefined : await stagingMount(node, request.stagingTargetPath);
  const subject = { volume, connections, mounts: [top, staged?.mount].flatMap((each) => each ?? []) };
  const conditions = [...(staged?.conditions ?? []), ...(await abnormalConditions(node, subject, signal))];
  if (mount === undefined) return { usage: [blockUsage(device)], conditions };
  const usage = mayHang(conditions) ? [] : await filesystemUsage(node, path, conditions, signal);
  return { usage, conditions };
}

/** The volume that kubelet keeps this path for; undefined if nothing is known. */
async function ownerOf(node: NodeContext, path: string): Promise<string | undefined> {
  return node.driverName === undefined ? undefined : (await kubeletPathOf(path, node.driverName))?.handle;
}

/** The condition of a path that kubelet keeps for the volume, and where nothing is mounted. */
async function notMounted(path: string, notFound: () => Error): Promise<AbnormalCondition> {
  if ((await kindOf(path)) === undefined) throw notFound();
  return {
    cause: "not-mounted",
    message: `nothing is mounted at ${path}; the volume has to be staged again`,
  };
}

function somethingElse(path: string): AbnormalCondition {
  return { cause: "other-device", message: `${path} leads to another device than that of the volume` };
}

/** The mount at the staging path, if the request names one. */
async function stagingMount(
  node: NodeContext,
  requested: string | undefined,
): Promise<{ mount: Mount | undefined; conditions: readonly AbnormalCondition[] } | undefined> {
  const plain = plainPath(requested ?? "");
  const path = plain === undefined ? undefined : await canonicalPath(plain);
  if (path === undefined) return undefined;
  const mount = await topMount(node, path);
  const message = `the volume is not staged at ${path}, although it is published`;
  return { mount, conditions: mount === undefined ? [{ cause: "not-mounted", message }] : [] };
}

function blockUsage({ sizeBytes }: BlockDevice): Usage {
  return { unit: "bytes", total: sizeBytes, used: undefined, available: undefined };
}

/** Adds to `conditions` if the filesystem does not answer. */
async function filesystemUsage(
  node: NodeContext,
  path: string,
  conditions: AbnormalCondition[],
  signal?: AbortSignal,
): Promise<readonly Usage[]> {
  try {
    const found = await statFilesystem(node.system.exec, path, signal);
    const { blockSize, inodes, freeInodes } = found;
    const [total, used] = [found.blocks * blockSize, (found.blocks - found.free) * blockSize];
    return [
      { unit: "bytes", total, used, available: found.available * blockSize },
      { unit: "inodes", total: inodes, used: inodes - freeInodes, available: freeInodes },
    ];
  } catch (error) {
    if (signal?.aborted || isFailure(error, "toolMissing")) throw error;
    const message = `the filesystem at ${path} does not answer: ${toDriverError(error).summary}`;
    conditions.push({ cause: "not-answering", message });
    return [];
  }
}

function abnormal(conditions: readonly AbnormalCondition[]): Looked {
  return { usage: [], conditions };
}
