const MIB = 1024n * 1024n;
/** Bounds of a part. Bytes. */
const LEAST = 16n * MIB;
const FIRST = 64n * MIB;
const MOST = 2_048n * MIB;
/** A part is to take about this long, milliseconds: much shorter than the deadline of a line, much longer than its round trip. */
const SHORT_MS = 2_000;
const LONG_MS = 8_000;

/** The size of the parts in which volumes are copied: it follows the speed of the device. */
export class ChunkSize {
  readonly #isFixed: boolean;
  #now: bigint;

  /** @param fixed bytes, for tests */
  constructor(fixed?: bigint) {
    this.#isFixed = fixed !== undefined;
    this.#now = fixed ?? FIRST;
  }

  /** Bytes of the next part. */
  get now(): bigint {
    return this.#now;
  }

  /** A part of so many bytes took so many milliseconds. */
  took(bytes: bigint, ms: number): void {
    // The last part of a volume says nothing about larger ones.
    if (bytes === this.#now && ms < SHORT_MS) this.#set(this.#now * 2n);
    if (ms > LONG_MS) this.#set(bytes / 2n);
  }

  /** A part did not end well; maybe it took too long. */
  failed(): void {
    this.#set(this.#now / 2n);
  }

  #set(bytes: bigint): void {
    if (this.#isFixed) return;
    const whole = (bytes / MIB) * MIB;
    this.#now = whole < LEAST ? LEAST : whole > MOST ? MOST : whole;
  }
}
