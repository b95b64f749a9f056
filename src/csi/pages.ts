import { failure } from "../domain/errors/driver-error.ts";
import { parseSnapshotHandle, type SnapshotHandle } from "../domain/snapshot-id.ts";
import { parseVolumeId, type VolumeId } from "../domain/volume-id.ts";

const TOKEN = /^after:(.+)$/;

/**
 * The handle behind which a page begins; "" for the first page. The token is the last handle that was given out, so volumes that come or go
 * between two pages are neither skipped nor repeated.
 * @throws tokenInvalid (ABORTED, CSI specification, ListVolumes)
 */
export function afterToken(startingToken: string): VolumeId | "" {
  return handleIn(startingToken, parseVolumeId);
}

/** As afterToken, for ListSnapshots. */
export function snapshotAfterToken(startingToken: string): SnapshotHandle | "" {
  return handleIn(startingToken, parseSnapshotHandle);
}

function handleIn<T extends string>(token: string, parse: (handle: string) => T | undefined): T | "" {
  if (token === "") return "";
  const id = parse(TOKEN.exec(token)?.[1] ?? "");
  if (id === undefined) throw failure("tokenInvalid", { token: token.slice(0, 80) });
  return id;
}

/** The token of the page behind a handle. */
export function tokenAfter(id: VolumeId | SnapshotHandle): string {
  return `after:${id}`;
}
