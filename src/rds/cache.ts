import { RecentMap } from "../domain/recent-map.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { RdsVolume } from "./volume.ts";

const CAPACITY = 4_096;

/**
 * Volumes as this process last saw them, to save the read before a compare-and-set. An answer that was
 * asked for before a change of ours must not overwrite it, so each change starts a new generation.
 */
export class VolumeCache {
  readonly #entries = new RecentMap<VolumeId, { generation: number; volume: RdsVolume | undefined }>(
    CAPACITY,
  );
  #lastGeneration = 0;

  get(id: VolumeId): RdsVolume | undefined {
    return this.#entries.get(id)?.volume;
  }

  /** The present generation of a volume; to be given back with what is read from now on. */
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
  put(id: VolumeId, volume: RdsVolume, generation: number): void {
    if (this.#entries.get(id)?.generation === generation) this.#entries.set(id, { generation, volume });
  }

  /** The present moment, to be given back with what is listed from now on. */
  mark(): number {
    return this.#lastGeneration;
  }

  /** Keeps a listed volume, unless a change of it has started since `mark`. */
  putListed(id: VolumeId, volume: RdsVolume, mark: number): void {
    const generation = this.#entries.get(id)?.generation ?? mark;
    if (generation <= mark) this.#entries.set(id, { generation, volume });
  }
}
