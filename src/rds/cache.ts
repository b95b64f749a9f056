import { RecentMap } from "../domain/recent-map.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { Classified, RdsVolume } from "./volume.ts";

const CAPACITY = 4_096;

/** Hears of each volume that a process reads or writes, as it is then. */
export interface VolumeObserver {
  /** All volumes. */
  listed(volumes: readonly RdsVolume[]): void;
  seen(volume: RdsVolume): void;
  gone(id: VolumeId): void;
}

/**
 * Volumes as this process last saw them, to save the read before a compare-and-set. A read that began before a change of this
 * process must not overwrite it, so each change starts a new generation.
 */
export class VolumeCache {
  readonly #entries = new RecentMap<VolumeId, { generation: number; volume: RdsVolume | undefined }>(
    CAPACITY,
  );
  #lastGeneration = 0;
  #observer: VolumeObserver | undefined;

  /** Calls the observer from now on. One observer. */
  observe(observer: VolumeObserver): void {
    this.#observer = observer;
  }

  get(id: VolumeId): RdsVolume | undefined {
    return this.#entries.get(id)?.volume;
  }

  /** The present generation of a volume. Hand it over with each later read. */
  generation(id: VolumeId): number {
    return this.#entries.get(id)?.generation ?? this.forget(id);
  }

  /** Forgets a volume and starts a new generation. */
  forget(id: VolumeId): number {
    this.#lastGeneration += 1;
    this.#entries.set(id, { generation: this.#lastGeneration, volume: undefined });
    return this.#lastGeneration;
  }

  /** Keeps a volume, unless a change has started since `generation`. */
  put(volume: RdsVolume, generation: number): void {
    if (this.#entries.get(volume.id)?.generation === generation)
      this.#entries.set(volume.id, { generation, volume });
    const newest = this.get(volume.id);
    if (newest !== undefined) this.#observer?.seen(newest);
  }

  /** Keeps the result of a lookup, as put; forgets a volume that was not found. @returns the result */
  remember<F extends Classified | undefined>(id: VolumeId, found: F, generation: number): F {
    if (found?.kind === "volume") this.put(found.volume, generation);
    else {
      this.forget(id);
      this.#observer?.gone(id);
    }
    return found;
  }

  /** The present moment. Hand it over with each later list. */
  mark(): number {
    return this.#lastGeneration;
  }

  /** Keeps all volumes of a list, except those of which a change has started since `mark`. */
  putListed(volumes: readonly RdsVolume[], mark: number): void {
    for (const volume of volumes) {
      const generation = this.#entries.get(volume.id)?.generation ?? mark;
      if (generation <= mark) this.#entries.set(volume.id, { generation, volume });
    }
    // A volume that was changed after the list was asked for is known better than the list has it.
    this.#observer?.listed(volumes.map((volume) => this.get(volume.id) ?? volume));
  }
}
