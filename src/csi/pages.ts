import type { VolumeInfo } from "../controller/volumes.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { parseVolumeId } from "../domain/volume-id.ts";

/** One page of ListVolumes. */
export interface Page {
  readonly entries: readonly VolumeInfo[];
  /** "" when nothing follows. */
  readonly nextToken: string;
}

const TOKEN = /^after:(.+)$/;

/**
 * Prepares a page of a listing that is sorted by handle. The token is the last handle that was given out, so
 * volumes that come or go between two pages are neither skipped nor repeated.
 * @param maxEntries 0 means no limit
 * @throws tokenInvalid (ABORTED, CSI specification, ListVolumes)
 */
export function pageOf(startingToken: string, maxEntries: number): (sorted: readonly VolumeInfo[]) => Page {
  const after = startingToken === "" ? "" : lastHandle(startingToken);
  return (sorted) => {
    const rest = sorted.filter((volume) => volume.id > after);
    const entries = maxEntries === 0 ? rest : rest.slice(0, maxEntries);
    const last = entries.at(-1);
    return {
      entries,
      nextToken: last === undefined || entries.length === rest.length ? "" : `after:${last.id}`,
    };
  };
}

function lastHandle(token: string): string {
  const id = parseVolumeId(TOKEN.exec(token)?.[1] ?? "");
  if (id === undefined) throw failure("tokenInvalid", { token: token.slice(0, 80) });
  return id;
}
