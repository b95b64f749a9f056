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
 * How long a revision counts as the newest, milliseconds: shorter than the sidecars of another controller need to take
 * over, remove a volume, and lose their lease again.
 */
const FRESH_MS = 60_000;
/** Time limit of a revision whose caller has gone away, milliseconds. */
const LIMIT_MS = 60_000;
const CAPACITY = 4_096;

/**
 * Writes new revisions of records. A removal that was sent earlier, whose line still waits on the RDS, then cannot remove a volume that
 * CreateVolume has just returned.
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
   * Writes a new revision, unless this process wrote the present one a moment ago. The write continues when the caller goes
   * away, so that on a slow link the repeated call finds it done. One RouterOS command or none.
   * @param volume as just read
   * @throws notVerified (UNAVAILABLE) when the volume was removed meanwhile, and the link's failures
   */
  async renew(volume: RdsVolume, signal: AbortSignal): Promise<void> {
    const { id, disk } = volume;
    if (this.#isFresh(id, disk.comment)) return;
    // After a conflict another writer's newer record has the same effect.
    if ((await orAborted(this.#write(volume), signal)) !== "absent") return;
    throw failure("notVerified", { what: `creating volume ${id}`, detail: "it was removed meanwhile" });
  }

  /** To be called before a removal is sent. */
  forget(id: VolumeId): void {
    this.#written.delete(id);
  }

  async #write(volume: RdsVolume): Promise<WriteResult["kind"]> {
    const limit = AbortSignal.timeout(LIMIT_MS);
    const result = await this.#rds.write(volume, newRevision(volume.record), "leave", limit, "change");
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
