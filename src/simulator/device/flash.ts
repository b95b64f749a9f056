import { Buffer } from "node:buffer";
import type { FileEntry } from "./files.ts";

/** Bytes of the internal flash that files can take (facts section 8). */
export const FLASH_BYTES = 128 * 1024 * 1024;

/** A file on the internal flash, such as an uploaded script. */
export interface FlashFile {
  readonly id: number;
  /** Without folder or leading slash. */
  readonly name: string;
  /** The bytes, in base64. */
  readonly content: string;
  /** Milliseconds since the epoch. */
  readonly modified: number;
}

/** Files in the root, outside of every pool. They come by SFTP, and /import runs them. */
export class Flash {
  readonly #changed: () => void;
  readonly #now: () => number;
  #files: FlashFile[] = [];
  #nextId = 1;

  constructor(changed: () => void, now: () => number) {
    this.#changed = changed;
    this.#now = now;
  }

  get stored(): readonly FlashFile[] {
    return this.#files;
  }

  /** As /file shows them. Ids do not meet those of files on pools. */
  get entries(): readonly FileEntry[] {
    return this.#files.map(({ id, name, content, modified }) => ({
      id: 0xf00000 + id,
      path: name,
      directory: false,
      size: BigInt(Buffer.from(content, "base64").length),
      charged: 0n,
      modified,
    }));
  }

  /** The bytes of a file; undefined when there is none. */
  read(name: string): Buffer | undefined {
    const found = this.#files.find((file) => file.name === name);
    return found === undefined ? undefined : Buffer.from(found.content, "base64");
  }

  /** Writes a file, or replaces it. @returns false when the flash is full */
  write(name: string, content: Uint8Array): boolean {
    const others = this.#files.filter((file) => file.name !== name);
    const taken = others.reduce((sum, file) => sum + Buffer.from(file.content, "base64").length, 0);
    if (taken + content.length > FLASH_BYTES) return false;
    const text = Buffer.from(content).toString("base64");
    this.#files = [...others, { id: this.#nextId++, name, content: text, modified: this.#now() }];
    this.#changed();
    return true;
  }

  remove(name: string): void {
    this.#files = this.#files.filter((file) => file.name !== name);
    this.#changed();
  }

  restore(files: readonly FlashFile[]): void {
    this.#files = [...files];
    this.#nextId = 1 + Math.max(0, ...files.map((file) => file.id));
  }
}
