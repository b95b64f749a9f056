import { failure } from "../domain/errors/driver-error.ts";
import { parseVolumeId, type VolumeId } from "../domain/volume-id.ts";

const TOKEN = /^after:(.+)$/;

/**
 * The handle behind which a page begins; "" for the first page. The token is the last handle that was given out, so volumes that come or go
 * between two pages are neither skipped nor repeated.
 * @throws tokenInvalid (ABORTED, CSI specification, ListVolumes)
 */
export function afterToken(startingToken: string): VolumeId | "" {
  if (startingToken === "") return "";
  const id = parseVolumeId(TOKEN.exec(startingToken)?.[1] ?? "");
  if (id === undefined) throw failure("tokenInvalid", { token: startingToken.slice(0, 80) });
  return id;
}

/** The token of the page behind a handle. */
export function tokenAfter(id: VolumeId): string {
  return `after:${id}`;
}
