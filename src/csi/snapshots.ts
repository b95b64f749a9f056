import type { SnapshotInfo, SnapshotService } from "../controller/snapshots.ts";
import { failure, isFailure } from "../domain/errors/driver-error.ts";
import { parseSnapshotHandle, parseSnapshotId } from "../domain/snapshot-id.ts";
import { parseVolumeId } from "../domain/volume-id.ts";
import { requireField, requireVolumeId } from "./fields.ts";
import type { Controller } from "./gen/csi_pb.ts";
import { snapshotAfterToken, tokenAfter } from "./pages.ts";
import type { RpcHandlers } from "./rpc.ts";

type SnapshotCall = "createSnapshot" | "deleteSnapshot" | "listSnapshots" | "getSnapshot";

/** The RPCs of snapshots. A handle that has not the form of ours is one that does not exist. */
export function snapshotCalls(
  snapshots: SnapshotService,
): Pick<RpcHandlers<typeof Controller>, SnapshotCall> {
  return {
    createSnapshot: async ({ name, sourceVolumeId, parameters }, { signal }) => {
      requireField("source_volume_id", sourceVolumeId);
      const source = requireVolumeId(sourceVolumeId);
      return { snapshot: wireSnapshot(await snapshots.create({ name, source, parameters, signal })) };
    },

    deleteSnapshot: async ({ snapshotId }, { signal }) => {
      requireField("snapshot_id", snapshotId);
      const id = parseSnapshotHandle(snapshotId);
      if (parseSnapshotId(snapshotId) !== undefined) {
        const reason =
          "it lacks the label of the filesystem: `rds-csi snapshots list` shows the whole handle";
        throw failure("fieldInvalid", { field: "snapshot_id", reason });
      }
      if (id !== undefined) await snapshots.delete(id, signal);
      return {};
    },

    listSnapshots: async ({ maxEntries, startingToken, snapshotId, sourceVolumeId }, { signal }) => {
      if (maxEntries < 0)
        throw failure("fieldInvalid", { field: "max_entries", reason: `${maxEntries} is negative` });
      const after = snapshotAfterToken(startingToken);
      const source = sourceVolumeId === "" ? undefined : parseVolumeId(sourceVolumeId);
      if (sourceVolumeId !== "" && source === undefined) return {};
      if (snapshotId !== "") {
        const found = await one(snapshots, snapshotId, signal);
        const isListed = found !== undefined && found.id > after && (source ?? found.source) === found.source;
        return { entries: isListed ? [{ snapshot: wireSnapshot(found) }] : [] };
      }
      const { entries, isCut } = await snapshots.list({ source, after, most: maxEntries, signal });
      const last = entries.at(-1);
      return {
        entries: entries.map((each) => ({ snapshot: wireSnapshot(each) })),
        nextToken: isCut && last !== undefined ? tokenAfter(last.id) : "",
      };
    },

    getSnapshot: async ({ snapshotId }, { signal }) => {
      requireField("snapshot_id", snapshotId);
      const id = parseSnapshotHandle(snapshotId);
      if (id === undefined) throw failure("snapshotNotFound", { snapshot: JSON.stringify(snapshotId) });
      return { snapshot: wireSnapshot(await snapshots.get(id, signal)) };
    },
  };
}

/** A snapshot of this installation, or undefined. */
async function one(
  snapshots: SnapshotService,
  handle: string,
  signal: AbortSignal,
): Promise<SnapshotInfo | undefined> {
  const id = parseSnapshotHandle(handle);
  if (id === undefined) return undefined;
  try {
    return await snapshots.get(id, signal);
  } catch (error) {
    if (isFailure(error, "snapshotNotFound") || isFailure(error, "snapshotForeign")) return undefined;
    throw error;
  }
}

const NS_PER_S = 1_000_000_000n;

/** A snapshot is ready as soon as it is cut: no byte is copied. */
function wireSnapshot({ id, source, sizeBytes, createdNs }: SnapshotInfo) {
  return {
    snapshotId: id,
    sourceVolumeId: source,
    sizeBytes,
    creationTime: { seconds: createdNs / NS_PER_S, nanos: Number(createdNs % NS_PER_S) },
    readyToUse: true,
  };
}
