import { failure } from "../domain/errors/driver-error.ts";
import { parseVolumeId } from "../domain/volume-id.ts";
import { mountsAt } from "../mount/mountinfo.ts";
import { statFilesystem, statPath } from "../mount/stat.ts";
import { canonicalPath, plainPath } from "./paths.ts";
import { isDead, mountsOf } from "./release.ts";
import type { NodeContext, StatsRequest, VolumeStats } from "./types.ts";
import { requireVolumeId } from "./validate.ts";

/**
 * NodeGetVolumeStats: bytes and inodes of a filesystem, total bytes of a block volume. Any path at which this volume
 * is not found, also a relative one, is NOT_FOUND. Source: CSI specification, NodeGetVolumeStats.
 * @throws fieldMissing; volumePathNotFound (NOT_FOUND); deviceLost (UNAVAILABLE); deadlineExceeded
 */
export async function stats(node: NodeContext, request: StatsRequest): Promise<VolumeStats> {
  const volume = requireVolumeId(request.volumeId);
  if (request.volumePath === "") throw failure("fieldMissing", { field: "volume_path" });
  const { signal } = request;
  const notFound = () => failure("volumePathNotFound", { volume, path: request.volumePath });
  const plain = plainPath(request.volumePath);
  const slot = parseVolumeId(volume);
  if (plain === undefined || slot === undefined) throw notFound();
  const path = await canonicalPath(plain);
  if (path === undefined) throw notFound();

  const top = mountsAt(await mountsOf(node), path).at(-1);
  if (top !== undefined && (await isDead(node, top))) throw failure("deviceLost", { volume, path });
  const connections = (await node.dataPath.list(signal)).filter((connection) => connection.slot === slot);
  const devices = connections.flatMap(({ device }) => (device === undefined ? [] : [device]));
  if (top !== undefined && devices.some((device) => device.number === top.device)) {
    const usage = await statFilesystem(node.system.exec, path, signal);
    const bytes = (blocks: bigint) => blocks * usage.blockSize;
    return {
      usage: [
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
      ],
    };
  }
  const seen = devices.length === 0 ? undefined : await statPath(node.system.exec, path, signal);
  const device = devices.find((each) => seen?.kind === "block" && seen.number === each.number);
  if (device === undefined) throw notFound();
  return { usage: [{ unit: "bytes", total: device.sizeBytes, used: undefined, available: undefined }] };
}
