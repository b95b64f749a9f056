import type { VolumeId } from "../domain/volume-id.ts";
import type { Place } from "./place.ts";

const CAPACITY = 4_096;

/**
 * Where a process put, or began to remove, the files of volumes. A delete or a create that was interrupted is finished
 * by it at exactly that place. A process that knows nothing has to look.
 */
export class KnownPlaces {
  readonly #places = new Map<VolumeId, Place>();

  get(id: VolumeId): Place | undefined {
    return this.#places.get(id);
  }

  set(id: VolumeId, place: Place): void {
    this.#places.delete(id);
    this.#places.set(id, place);
    if (this.#places.size <= CAPACITY) return;
    const oldest = this.#places.keys().next().value;
    if (oldest !== undefined) this.#places.delete(oldest);
  }
}
