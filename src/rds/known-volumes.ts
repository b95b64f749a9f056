import type { VolumeId } from "../domain/volume-id.ts";
import type { RdsVolume } from "./volume.ts";

/** What is kept of each volume. */
interface Kept {
  readonly migrating: boolean;
  readonly dualAttached: boolean;
}

/** Counts of all volumes. */
export interface RecordCounts {
  /** Volumes in a live migration. */
  readonly migrating: number;
  /** Volumes that are attached to two nodes. */
  readonly dualAttached: number;
}

/**
 * What this process last saw of every volume: the whole list, and each change and lookup since. Costs no command, as
 * it hears of what is read and written anyway. Empty until the first list.
 */
export class KnownVolumes {
  readonly #volumes = new Map<VolumeId, Kept>();
  #onList: () => void = () => {};

  /** Calls `listener` after each list. One listener. */
  onList(listener: () => void): void {
    this.#onList = listener;
  }

  /** All volumes as they are now. */
  listed(volumes: readonly RdsVolume[]): void {
    this.#volumes.clear();
    for (const volume of volumes) this.seen(volume);
    this.#onList();
  }

  /** One volume as it is now. */
  seen({ id, record }: RdsVolume): void {
    const kept = { migrating: record.migration !== undefined, dualAttached: record.attachments.length === 2 };
    // Only those that count are kept.
    if (kept.migrating || kept.dualAttached) this.#volumes.set(id, kept);
    else this.#volumes.delete(id);
  }

  gone(id: VolumeId): void {
    this.#volumes.delete(id);
  }

  counts(): RecordCounts {
    const kept = [...this.#volumes.values()];
    return {
      migrating: kept.filter(({ migrating }) => migrating).length,
      dualAttached: kept.filter(({ dualAttached }) => dualAttached).length,
    };
  }
}
