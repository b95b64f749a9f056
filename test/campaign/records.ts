import { ptr } from "bun:ffi";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";

/** Bytes of a record: a page, which O_DIRECT takes on every device. */
export const RECORD_BYTES = 4096;
/** Records before the writer begins again at the first place. */
export const PLACES = 256;
/** Bytes of all places. */
export const AREA_BYTES = RECORD_BYTES * PLACES;

const MAGIC = "rds-csi campaign";

/** A buffer at an address that O_DIRECT takes. */
function aligned(bytes: number): Buffer {
  const whole = Buffer.alloc(bytes + RECORD_BYTES);
  const over = ptr(whole) % RECORD_BYTES;
  return whole.subarray(RECORD_BYTES - over, RECORD_BYTES - over + bytes);
}

function encode(into: Buffer, volume: string, generation: number, n: number): void {
  into.fill(n % 251);
  const head = JSON.stringify({ magic: MAGIC, volume, generation, n });
  into.fill(0, 0, 256);
  into.write(head, 0, "utf8");
  createHash("sha256")
    .update(into.subarray(0, RECORD_BYTES - 32))
    .digest()
    .copy(into, RECORD_BYTES - 32);
}

type Found =
  | { readonly blank: true }
  | { readonly n: number; readonly volume: string; readonly generation: number }
  | undefined;

/** The record in a page; undefined for a page that is neither blank nor a whole record. */
function decode(page: Buffer): Found {
  if (page.every((byte) => byte === 0)) return { blank: true };
  const sum = createHash("sha256")
    .update(page.subarray(0, RECORD_BYTES - 32))
    .digest();
  if (!sum.equals(page.subarray(RECORD_BYTES - 32))) return undefined;
  return JSON.parse(page.toString("utf8", 0, page.indexOf(0)));
}

/**
 * The records of one volume: numbered, with a checksum, each in place n modulo 256. A record is acknowledged when its write with
 * O_DIRECT and O_DSYNC has returned.
 */
export class Records {
  readonly #volume: string;
  #generation = 1;
  #next = 1;
  /** By place: the number that was acknowledged last, and the highest that may have been written after it. */
  readonly #acknowledged = new Map<number, number>();
  readonly #attempted = new Map<number, number>();

  constructor(volume: string) {
    this.#volume = volume;
  }

  get count(): number {
    return this.#acknowledged.size;
  }

  /** Records written and acknowledged so far. */
  written = 0;

  /** The volume was deleted: its successor must be blank. */
  restart(): void {
    this.#generation += 1;
    this.#acknowledged.clear();
    this.#attempted.clear();
  }

  /** Opens a device, or a file, which is made if it is missing. */
  static open(path: string, file: boolean): Promise<FileHandle> {
    const flags = constants.O_RDWR | constants.O_DIRECT | constants.O_DSYNC | (file ? constants.O_CREAT : 0);
    return open(path, flags, 0o600);
  }

  async write(handle: FileHandle): Promise<void> {
    const n = this.#next;
    this.#next += 1;
    const place = n % PLACES;
    const page = aligned(RECORD_BYTES);
    encode(page, this.#volume, this.#generation, n);
    this.#attempted.set(place, n);
    const { bytesWritten } = await handle.write(page, 0, RECORD_BYTES, place * RECORD_BYTES);
    if (bytesWritten !== RECORD_BYTES) throw new Error(`short write of ${bytesWritten} bytes`);
    this.#acknowledged.set(place, n);
    this.written += 1;
  }

  /** Compares all places with the acknowledged records. @returns the lost or foreign ones; empty if each is there */
  async verify(handle: FileHandle): Promise<string[]> {
    const area = aligned(AREA_BYTES);
    area.fill(0);
    const { bytesRead } = await handle.read(area, 0, AREA_BYTES, 0);
    const lost: string[] = [];
    for (let place = 0; place < PLACES; place += 1) {
      const acknowledged = this.#acknowledged.get(place);
      const at = place * RECORD_BYTES;
      const page = at + RECORD_BYTES <= bytesRead ? area.subarray(at, at + RECORD_BYTES) : undefined;
      const found = page === undefined ? ({ blank: true } as const) : decode(page);
      if (found === undefined) {
        // A write that was not acknowledged may have arrived in part.
        if (acknowledged !== undefined && acknowledged === this.#attempted.get(place))
          lost.push(`${acknowledged} (damaged)`);
        else if (acknowledged === undefined && !this.#attempted.has(place))
          lost.push(`place ${place} (foreign bytes)`);
      } else if ("blank" in found) {
        if (acknowledged !== undefined) lost.push(`${acknowledged} (blank)`);
      } else if (found.volume !== this.#volume || found.generation !== this.#generation) {
        lost.push(`place ${place} (record ${found.n} of ${found.volume}, generation ${found.generation})`);
      } else if (found.n !== acknowledged && found.n !== this.#attempted.get(place)) {
        lost.push(`${acknowledged ?? `place ${place}`} (record ${found.n} instead)`);
      }
    }
    return lost;
  }
}
