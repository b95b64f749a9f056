import { orAborted } from "../domain/abort.ts";
import type { Clock } from "../domain/clock.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { RecentMap } from "../domain/recent-map.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import { newRevision } from "../migration/revision.ts";
import type { Rds } from "../rds/rds.ts";
import type { RdsVolume } from "../rds/volume.ts";
import type { WriteResult } from "../rds/write-record.ts";

/**
 * How long a revision is taken for the newest, milliseconds: shorter than the sidecars of another controller need to take
 * over, remove a volume, and lose their lease again.
 */
const FRESH_MS = 60_000;
/** A revision that nobody waits for any more gives up after this time, milliseconds. */
const LIMIT_MS = 60_000;
const CAPACITY = 4_096;

/**
 * New revisions of records, which keep a removal that was sent before, and whose line still waits on the RDS, from taking away
 * a volume that CreateVolume has just answered with.
 */
export class Revisions {
  readonly #rds: Pick<Rds, "write">;
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #written = new RecentMap<VolumeId, { readonly comment: string; readonly at: number }>(CAPACITY);

  constructor({
    rds,
    clock,
  }: { readonly rds: Pick<Rds, "write">; readonly clock: Pick<Clock, "monotonic"> }) {
    this.#rds = rds;
    this.#clock = clock;
  }

  /**
   * Writes a new revision, unless this process wrote the present one a moment ago. The write goes on when the caller goes
   * away, so that on a slow link the repeated call finds it done. One RouterOS command or none.
   * @param volume as just read
   * @throws notVerified (UNAVAILABLE) when the volume was removed meanwhile, and what the link throws
   */
  async renew(volume: RdsVolume, signal: AbortSignal): Promise<void> {
    const { id, disk } = volume;
    if (this.#isFresh(id, disk.comment)) return;
    // A conflict means that somebody has just written a newer record, which does the same.
    if ((await orAborted(this.#write(volume), signal)) !== "absent") return;
    throw failure("notVerified", { what: `creating volume ${id}`, detail: "it was removed meanwhile" });
  }

  /** A removal is about to be sent. */
  forget(id: VolumeId): void {
    this.#written.delete(id);
  }

  async #write(volume: RdsVolume): Promise<WriteResult["kind"]> {
    const limit = AbortSignal.timeout(LIMIT_MS);
    const result = await this.#rds.write(volume, newRevision(volume.record), "leave", limit);
    if (result.kind === "written") {
      const { comment } = result.volume.disk;
      this.#written.set(volume.id, { comment, at: this.#clock.monotonic() });
    }
    return result.kind;
  }

  #isFresh(id: VolumeId, comment: string): boolean {
    const found = this.#written.get(id);
    return found?.comment === comment && this.#clock.monotonic() - found.at < FRESH_MS;
  }
}
