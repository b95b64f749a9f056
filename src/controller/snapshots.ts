import { failure } from "../domain/errors/driver-error.ts";
import type { Premises } from "../domain/premises.ts";
import { parseSnapshotHandle, type SnapshotHandle, snapshotIdFromName } from "../domain/snapshot-id.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { ConversionStore } from "../rds/convert.ts";
import type { Layout } from "../rds/layout.ts";
import { handleOf, type RdsSnapshot } from "../rds/snapshot-names.ts";
import type { SnapshotStore } from "../rds/snapshots.ts";
import { METADATA_PREFIX } from "./parameters.ts";

export interface SnapshotServiceOptions {
  readonly store: SnapshotStore;
  readonly conversions: Pick<ConversionStore, "absent">;
  /** Default pool and folder. */
  readonly layout: Layout;
  /** Bytes that stay free in each pool. */
  readonly reserveBytes: bigint;
  /** Left out: nobody has asked the device. */
  readonly premises?: Premises;
}

/** CreateSnapshot, in domain terms. */
export interface SnapshotRequest {
  readonly name: string;
  readonly source: VolumeId;
  readonly parameters: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/** A snapshot as the CSI caller sees it. */
export interface SnapshotInfo {
  readonly id: SnapshotHandle;
  readonly source: VolumeId;
  /** Least size of a volume that is made from it. Bytes. */
  readonly sizeBytes: bigint;
  /** Time of the cut; nanoseconds since the Unix epoch. */
  readonly createdNs: bigint;
}

/** Which snapshots a page holds. */
export interface SnapshotListRequest {
  /** Of this volume only. */
  readonly source?: VolumeId | undefined;
  /** Behind this handle only; "" is all. */
  readonly after: string;
  /** Most entries; 0: no limit. */
  readonly most: number;
  readonly signal: AbortSignal;
}

/**
 * Creates, deletes and lists snapshots. A snapshot is cut at one instant, whatever a node writes then, also during a live migration: it is
 * crash-consistent. Every method may be repeated at any time with the same result.
 */
export class SnapshotService {
  readonly #options: SnapshotServiceOptions;

  constructor(options: SnapshotServiceOptions) {
    this.#options = options;
  }

  /**
   * CSI CreateSnapshot. Two RouterOS commands.
   * @throws volumeNotFound (NOT_FOUND), volumeConverting (FAILED_PRECONDITION), snapshotExistsDifferently (ALREADY_EXISTS), and as `SnapshotStore.source` and `create`
   */
  async create({ name, source, parameters, signal }: SnapshotRequest): Promise<SnapshotInfo> {
    for (const key of Object.keys(parameters)) {
      if (!key.startsWith(METADATA_PREFIX)) throw failure("snapshotParameter", { key });
    }
    const { store, conversions, layout, reserveBytes, premises } = this.#options;
    premises?.require("snapshots");
    const id = snapshotIdFromName(name);
    const found = await store.source(source, signal);
    // Its source may have been deleted since an earlier call made it.
    const snapshot =
      found === undefined
        ? await store.findAnywhere(id, layout, signal)
        : await store.create({ id, source: found, reserveBytes, signal });
    if (snapshot === undefined) return conversions.absent(source, signal);
    const { record } = snapshot;
    if (record.source !== source) {
      const difference = `it is of volume ${record.source}, asked for is one of ${source}`;
      throw failure("snapshotExistsDifferently", { name, difference });
    }
    return infoOf(snapshot);
  }

  /** CSI DeleteSnapshot. Two RouterOS commands, one for a snapshot that does not exist: it is deleted already. */
  async delete(id: SnapshotHandle, signal: AbortSignal): Promise<void> {
    await this.#options.store.remove(id, signal);
  }

  /**
   * One snapshot. One RouterOS command.
   * @throws snapshotNotFound (NOT_FOUND), snapshotForeign (FAILED_PRECONDITION), snapshotPoolAway (UNAVAILABLE)
   */
  async get(id: SnapshotHandle, signal: AbortSignal): Promise<SnapshotInfo> {
    const { snapshot } = await this.#options.store.find(id, signal);
    if (snapshot === undefined) throw failure("snapshotNotFound", { snapshot: id });
    return infoOf(snapshot);
  }

  /** A page of the snapshots of this installation that `get` finds, in the order of their handles. RouterOS commands as `SnapshotStore.list` says. */
  async list({ source, after, most, signal }: SnapshotListRequest): Promise<{
    readonly entries: readonly SnapshotInfo[];
    readonly isCut: boolean;
  }> {
    const all = await this.#options.store.list({ source }, signal);
    const behind = [...Map.groupBy(all, handleOf)].flatMap(([handle, same]) => {
      const [only, another] = same;
      const isListed =
        handle > after &&
        parseSnapshotHandle(handle) !== undefined &&
        another === undefined &&
        only?.subvolume.readOnly === true;
      return isListed ? [only] : [];
    });
    const isCut = most > 0 && behind.length > most;
    return { entries: (isCut ? behind.slice(0, most) : behind).map(infoOf), isCut };
  }
}

function infoOf(snapshot: RdsSnapshot): SnapshotInfo {
  const { source, sizeBytes, createdNs } = snapshot.record;
  return { id: handleOf(snapshot), source, sizeBytes, createdNs };
}
