import { failure } from "../domain/errors/driver-error.ts";
import { RecentMap } from "../domain/recent-map.ts";
import { decodeSnapshotName } from "../domain/record/snapshot-record.ts";
import { shortSize } from "../domain/size.ts";
import {
  partsOfHandle,
  type SnapshotHandle,
  type SnapshotId,
  snapshotHandle,
} from "../domain/snapshot-id.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import { payload } from "../routeros/envelope.ts";
import { ros } from "../routeros/script.ts";
import { requireMounted } from "./backing-file.ts";
import { commandFailure, disksOf, type RdsContext, runChecked } from "./context.ts";
import { requireFinished } from "./copy.ts";
import { type Disk, disks } from "./disk.ts";
import { fileLayoutOf, type Layout, parentOf } from "./layout.ts";
import { awayPools } from "./leftover.ts";
import { classifiedAmong } from "./lookup.ts";
import { isMountedPool, poolHolding } from "./pool.ts";
import { cutScript, LATEST_MS, type SnapshotSpec, type SourceVolume } from "./snapshot-cut.ts";
import { listSnapshots, type SnapshotFilter } from "./snapshot-list.ts";
import {
  handleOf,
  isOf,
  lastOf,
  named,
  namesIn,
  namesOf,
  onlySnapshot,
  ownSnapshots,
  type RdsSnapshot,
} from "./snapshot-names.ts";
import {
  canHoldSubvolumes,
  requireOneLabel,
  subvolumeFromRow,
  subvolumeIds,
  subvolumes,
} from "./subvolume.ts";
import { ownVolume } from "./volume.ts";

/**
 * Snapshots on one RDS: read-only Btrfs subvolumes beside the volumes, whose names are their records. Each method says how many RouterOS commands
 * it costs. All throw the link's failures: an unknown state is never reported as absent.
 */
export class SnapshotStore {
  readonly #context: RdsContext;
  readonly #ready: (signal: AbortSignal) => Promise<unknown>;
  /** Snapshots whose line may still wait on the RDS, and until when; on the monotonic clock. */
  readonly #unanswered = new RecentMap<SnapshotId, number>(4_096);

  /** @param ready awaited before each command */
  constructor(context: RdsContext, ready: (signal: AbortSignal) => Promise<unknown>) {
    this.#context = context;
    this.#ready = ready;
  }

  /**
   * A volume of this installation as source; undefined if it is proven absent. One command.
   * @throws sourceNotSubvolume (FAILED_PRECONDITION), sourcePoolAway, volumeNotReady (UNAVAILABLE), recordUnusable, foreignDisk
   */
  async source(id: VolumeId, signal: AbortSignal): Promise<SourceVolume | undefined> {
    await this.#ready(signal);
    const what = `read volume ${id} and the pools`;
    const outcome = await runChecked(this.#context, {
      what,
      purpose: "read",
      listing: disks(ros`slot=${id} or mounted`),
      body: (rows) => ros`${payload("now", ros`[:tonsec [:timestamp]]`)}; ${rows}`,
      signal,
      coalesceKey: `source:${id}`,
    });
    const listed = disksOf(outcome);
    const volume = ownVolume(classifiedAmong(this.#context, id, listed));
    if (volume === undefined) return undefined;
    requireFinished(volume);
    const now = outcome.reply.flat("now")?.trim() ?? "";
    if (!/^\d{1,19}$/.test(now)) throw failure("replyUnreadable", { what, detail: "it has no time" });
    const path = volume.disk.filePath;
    if (fileLayoutOf(path, id) !== "subvolume") throw failure("sourceNotSubvolume", { volume: id });
    const pool = poolHolding(listed, path);
    if (pool === undefined) throw failure("sourcePoolAway", { source: `volume ${id}` });
    if (!canHoldSubvolumes(pool)) throw failure("sourceNotSubvolume", { volume: id });
    if (volume.disk.size === undefined) throw failure("volumeNotReady", { volume: id });
    const name = parentOf(path).slice(pool.mountPoint.length + 1);
    return { volume, pool, subvolume: { label: pool.fsLabel, name }, now: BigInt(now) };
  }

  /**
   * Makes a snapshot, or finds the one that an earlier call has made: the cut and its record are one act. One command; two while the pool is below its reserve.
   * @returns the snapshot with this id, which may be one of another source
   * @throws snapshotForeign (FAILED_PRECONDITION), snapshotRoom, poolRefused (RESOURCE_EXHAUSTED), labelAmbiguous
   */
  async create(spec: SnapshotSpec): Promise<RdsSnapshot> {
    const { id, source, reserveBytes, signal } = spec;
    const { volume, pool } = source;
    if (pool.free < reserveBytes) {
      // One that an earlier call has made needs no room.
      const { snapshot } = await this.find(snapshotHandle(id, pool.fsLabel), signal);
      if (snapshot !== undefined) return snapshot;
      const [free, reserve] = [shortSize(pool.free), shortSize(reserveBytes, "up")];
      throw failure("snapshotRoom", { pool: pool.slot, free, reserve });
    }
    await this.#ready(signal);
    const what = `snapshot volume ${volume.id} as ${id}`;
    // Until it is answered, the line may run at any time. An earlier one may wait even then.
    const now = this.#context.clock.monotonic();
    const earlier = this.#unanswered.get(id) ?? now;
    this.#unanswered.set(id, now + LATEST_MS);
    const outcome = await this.#context.client.run({
      what,
      purpose: "change",
      orderKey: id,
      listing: subvolumes(named(id)),
      body: (rows) => ros`${cutScript(spec)}; ${rows}`,
      signal,
    });
    if (earlier > now) this.#unanswered.set(id, earlier);
    else this.#unanswered.delete(id);
    if (!outcome.ok) {
      const { kind, reason, text } = outcome.failure;
      const { slot, fsLabel: label, free } = pool;
      if (reason === "pool-not-mounted") throw failure("sourcePoolAway", { source: `volume ${volume.id}` });
      if (reason === "label-ambiguous") throw failure("labelAmbiguous", { pool: slot, label });
      if (kind === "space") {
        const wanted = "a snapshot";
        throw failure("poolRefused", { pool: slot, wanted, available: shortSize(free), detail: text });
      }
      // The source may be gone since, or the name of a snapshot that was just removed not free yet.
      if (reason === "late" || ["argument", "absent", "exists"].includes(kind))
        throw failure("rdsBusy", { what, detail: text });
      throw commandFailure(what, outcome.failure);
    }
    const all = outcome.rows.map(subvolumeFromRow).filter(({ dead }) => !dead);
    const beside = all.filter(({ label }) => label === pool.fsLabel);
    // A copy of it in another filesystem is another one.
    const own = ownSnapshots(id, beside.length > 0 ? beside : all, this.#context.clusterId);
    const found = onlySnapshot(id, own);
    if (found === undefined) throw failure("notVerified", { what, detail: "the subvolume is missing" });
    const { label } = found.subvolume;
    const reason = `it is in filesystem ${label}, and its source in ${pool.fsLabel}`;
    if (label !== pool.fsLabel && found.record.source === volume.id)
      throw failure("snapshotForeign", { snapshot: id, reason });
    return found;
  }

  /**
   * One snapshot of this installation, and its pool; undefined: it is proven absent, as its pool is mounted. One command.
   * @throws snapshotForeign, rdsBusy; snapshotPoolAway (UNAVAILABLE)
   */
  async find(
    handle: SnapshotHandle,
    signal: AbortSignal,
  ): Promise<{ readonly snapshot: RdsSnapshot | undefined; readonly pool: string }> {
    const { all, pool } = await this.#lookIn(handle, signal);
    return { snapshot: onlySnapshot(partsOfHandle(handle).id, all), pool };
  }

  /**
   * The snapshot with this id in any filesystem; undefined: it is on no mounted pool, and every pool that has a volume of this installation is mounted.
   * One command, two if there is none. @throws snapshotForeign, rdsBusy; snapshotPoolAway (UNAVAILABLE)
   */
  async findAnywhere(id: SnapshotId, layout: Layout, signal: AbortSignal): Promise<RdsSnapshot | undefined> {
    const { all, mounted } = await this.#look(id, undefined, signal);
    const snapshot = onlySnapshot(id, all);
    if (snapshot !== undefined) return snapshot;
    const [pool] = await awayPools(this.#context, layout, mounted, signal);
    if (pool !== undefined) throw failure("snapshotPoolAway", { snapshot: id, pool });
    return undefined;
  }

  /** @returns `pool`: slot @throws snapshotPoolAway, labelAmbiguous: only a mounted filesystem, and the only one with its label, says what is in it */
  async #lookIn(
    handle: SnapshotHandle,
    signal: AbortSignal,
  ): Promise<{ readonly all: readonly RdsSnapshot[]; readonly pool: string }> {
    const { id, label } = partsOfHandle(handle);
    const { all, mounted } = await this.#look(id, label, signal);
    const [pool, another] = mounted.filter((disk) => isMountedPool(disk) && disk.fsLabel === label);
    if (pool === undefined || !canHoldSubvolumes(pool))
      throw failure("snapshotPoolAway", { snapshot: handle, pool: label });
    if (another !== undefined) throw failure("labelAmbiguous", { pool: pool.slot, label });
    return { all, pool: pool.slot };
  }

  /** The snapshots with an id in one filesystem, or in all, and the items of `/disk` that were mounted just after. */
  async #look(
    id: SnapshotId,
    label: string | undefined,
    signal: AbortSignal,
  ): Promise<{ readonly all: readonly RdsSnapshot[]; readonly mounted: readonly Disk[] }> {
    await this.#ready(signal);
    const what = `read snapshot ${id}`;
    const outcome = await runChecked(this.#context, {
      what,
      purpose: "read",
      listing: disks(ros`mounted`),
      body: (rows) => ros`${namesOf(id, label)}; ${rows}`,
      signal,
      coalesceKey: `snapshot:${id}:${label ?? ""}`,
    });
    const found = namesIn(outcome.reply);
    if (found === undefined)
      throw failure("replyUnreadable", { what, detail: "the list of names is cut off" });
    return { all: ownSnapshots(id, found, this.#context.clusterId), mounted: disksOf(outcome) };
  }

  /** The snapshots of this installation on mounted pools, in the order of their handles. One command, or several when there are many. */
  async list(filter: SnapshotFilter, signal: AbortSignal): Promise<RdsSnapshot[]> {
    await this.#ready(signal);
    const found = await listSnapshots(this.#context, filter, signal);
    const { clusterId } = this.#context;
    return found
      .flatMap((subvolume) => {
        const decoded = decodeSnapshotName(lastOf(subvolume.name));
        if (decoded.kind !== "snapshot" || !isOf(clusterId, decoded.record)) return [];
        return [{ record: decoded.record, subvolume }];
      })
      .toSorted((a, b) => (handleOf(a) < handleOf(b) ? -1 : 1));
  }

  /**
   * Removes a snapshot from its filesystem. One that is not there while its pool is mounted is removed already. One command, two if there is one.
   * @throws snapshotForeign, labelAmbiguous (FAILED_PRECONDITION), snapshotPoolAway, snapshotPending, notVerified (UNAVAILABLE)
   */
  async remove(handle: SnapshotHandle, signal: AbortSignal): Promise<void> {
    const { all, pool } = await this.#lookIn(handle, signal);
    if (all.length > 0) await this.#remove(handle, all, pool, signal);
    const { id } = partsOfHandle(handle);
    const leftMs = (this.#unanswered.get(id) ?? 0) - this.#context.clock.monotonic();
    if (leftMs > 0)
      throw failure("snapshotPending", { snapshot: handle, seconds: Math.ceil(leftMs / 1_000) });
  }

  async #remove(
    handle: SnapshotHandle,
    all: readonly RdsSnapshot[],
    pool: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { id, label } = partsOfHandle(handle);
    const what = `delete snapshot ${id}`;
    const each = all.map(
      ({ subvolume }) =>
        ros`:foreach s in=${subvolumeIds(subvolume)} do={ :onerror g in={ /disk/btrfs/subvolume/remove $s } do={ :set why $g } }`,
    );
    const outcome = await this.#context.client.run({
      what,
      purpose: "change",
      orderKey: id,
      listing: subvolumes(named(id, label)),
      // A subvolume that is removed already is listed for a while: only the rows say whether it is there, and only while its pool is mounted.
      body: (rows) =>
        ros`${requireMounted(pool)}; ${requireOneLabel(label)}; :local why ""; ${each}; ${payload("why", ros`$why`)}; ${rows}; ${requireMounted(pool)}`,
      signal,
    });
    if (!outcome.ok) {
      const { reason } = outcome.failure;
      if (reason === "pool-not-mounted") throw failure("snapshotPoolAway", { snapshot: handle, pool });
      if (reason === "label-ambiguous") throw failure("labelAmbiguous", { pool, label });
      throw commandFailure(what, outcome.failure);
    }
    const left = outcome.rows.map(subvolumeFromRow).filter(({ dead }) => !dead);
    if (left.length === 0) return;
    const detail = outcome.reply.flat("why")?.trim() || "the subvolume is still there";
    throw failure("notVerified", { what, detail });
  }
}
