import type { Clock } from "../../domain/clock.ts";
import type { Backend } from "../backend/backend.ts";
import type { FileEntry, FileStore } from "./files.ts";

/** Longest time for which changes are remembered, milliseconds. */
const LONGEST_MS = 120_000;
/** Most bytes that are remembered: of more changes the oldest count as written to the disks. */
const MOST_BYTES = 256 * 1024 * 1024;

interface Change {
  readonly at: number;
  readonly file: FileEntry;
  readonly offset: bigint;
  /** What was there before. */
  readonly old: Uint8Array;
}

/** What `/disk/copy` has changed in files a short time ago: a power loss takes it back, as the device had it in memory only. */
export class PageCache {
  readonly #clock: Clock;
  #changes: Change[] = [];
  #bytes = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Notes a change of a file. @param old the bytes that it replaces */
  note(file: FileEntry, offset: bigint, old: Uint8Array): void {
    const at = this.#clock.monotonic();
    this.#changes.push({ at, file, offset, old: old.slice() });
    this.#bytes += old.length;
    let gone = 0;
    for (const each of this.#changes) {
      if (each.at >= at - LONGEST_MS && this.#bytes <= MOST_BYTES) break;
      this.#bytes -= each.old.length;
      gone += 1;
    }
    if (gone > 0) this.#changes = this.#changes.slice(gone);
  }

  /** Takes back the changes of the last seconds, in files that are there still, and forgets the others. @param now on the monotonic clock */
  async lose(seconds: number, now: number, backend: Backend, files: FileStore): Promise<void> {
    const changes = this.#changes;
    [this.#changes, this.#bytes] = [[], 0];
    for (const { at, file, offset, old } of changes.toReversed()) {
      if (at < now - seconds * 1_000 || !files.stored.includes(file)) continue;
      await backend.write(file.path, offset, old);
    }
  }
}
