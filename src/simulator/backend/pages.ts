import type { PoolUsage } from "./backend.ts";

export const PAGE = 4096;
const PAGE_BYTES = BigInt(PAGE);

/** A page that images may share; one that is shared is never written. */
interface Page {
  readonly bytes: Uint8Array;
  /** How many images have it: those that were made as files of their own, and clones. */
  files: number;
  clones: number;
}

/** Counts the pages of a pool: a page that several images share is one. */
export class PageCount {
  #all = 0;
  #clones = 0;

  get usage(): PoolUsage {
    return { all: BigInt(this.#all) * PAGE_BYTES, clones: BigInt(this.#clones) * PAGE_BYTES };
  }

  /** Changes the holders of a page by `step`. */
  change(page: Page, isClone: boolean, step: 1 | -1): void {
    this.#count(page, -1);
    if (isClone) page.clones += step;
    else page.files += step;
    this.#count(page, 1);
  }

  #count({ files, clones }: Page, step: 1 | -1): void {
    if (files + clones > 0) this.#all += step;
    if (files === 0 && clones > 0) this.#clones += step;
  }
}

/** A sparse file: the pages that were written, by number; the others are zeros. Sizes and offsets in bytes. */
export class Image {
  readonly isClone: boolean;
  readonly #count: PageCount;
  readonly #pages = new Map<bigint, Page>();
  #size: bigint;

  constructor(size: bigint, count: PageCount, isClone = false) {
    this.#size = size;
    this.#count = count;
    this.isClone = isClone;
  }

  get size(): bigint {
    return this.#size;
  }

  /** Bytes of its pages, shared ones included. */
  get allocated(): bigint {
    return BigInt(this.#pages.size) * PAGE_BYTES;
  }

  /** A clone: shares all pages until one of the two is written. */
  clone(): Image {
    const made = new Image(this.#size, this.#count, true);
    for (const [number, page] of this.#pages) made.#hold(number, page);
    return made;
  }

  /** A copy with pages of its own. @param size of the copy @param count that of its pool */
  copy(size: bigint, count: PageCount): Image {
    const made = new Image(size, count);
    for (const [number, page] of this.#pages) made.#hold(number, fresh(page.bytes));
    return made;
  }

  /** Gives up all pages. */
  drop(): void {
    for (const number of [...this.#pages.keys()]) this.#release(number);
  }

  resize(size: bigint): void {
    if (size < this.#size) {
      for (const number of [...this.#pages.keys()]) {
        const start = number * PAGE_BYTES;
        if (start >= size) this.#release(number);
        else if (start + PAGE_BYTES > size) this.#own(number).fill(0, Number(size - start));
      }
    }
    this.#size = size;
  }

  read(offset: bigint, length: number): Uint8Array {
    const available = this.#size > offset ? this.#size - offset : 0n;
    const result = new Uint8Array(available < BigInt(length) ? Number(available) : length);
    eachPage(offset, result.length, (number, within, done, step) => {
      const page = this.#pages.get(number);
      if (page !== undefined) result.set(page.bytes.subarray(within, within + step), done);
    });
    return result;
  }

  write(offset: bigint, data: Uint8Array): void {
    eachPage(offset, data.length, (number, within, done, step) =>
      this.#own(number).set(data.subarray(done, done + step), within),
    );
  }

  /** The bytes of a page that no other image has. */
  #own(number: bigint): Uint8Array {
    const page = this.#pages.get(number);
    if (page !== undefined && page.files + page.clones === 1) return page.bytes;
    const own = fresh(page?.bytes);
    this.#release(number);
    this.#hold(number, own);
    return own.bytes;
  }

  #hold(number: bigint, page: Page): void {
    this.#pages.set(number, page);
    this.#count.change(page, this.isClone, 1);
  }

  #release(number: bigint): void {
    const page = this.#pages.get(number);
    if (page === undefined) return;
    this.#pages.delete(number);
    this.#count.change(page, this.isClone, -1);
  }
}

function fresh(bytes: Uint8Array | undefined): Page {
  return { bytes: bytes?.slice() ?? new Uint8Array(PAGE), files: 0, clones: 0 };
}

/** Calls `visit` with each page of a range: its number, where the range begins in it, what is done, and its share. */
function eachPage(
  offset: bigint,
  length: number,
  visit: (number: bigint, within: number, done: number, step: number) => void,
): void {
  for (let done = 0; done < length; ) {
    const at = offset + BigInt(done);
    const within = Number(at % PAGE_BYTES);
    const step = Math.min(PAGE - within, length - done);
    visit(at / PAGE_BYTES, within, done, step);
    done += step;
  }
}
