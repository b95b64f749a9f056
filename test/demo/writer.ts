import { Buffer } from "node:buffer";
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Bytes of one record: a page, so that no write has to read first. */
const RECORD_BYTES = 4096;
/** Records before the writer starts again at the beginning of the device. */
const SLOTS = 1024;

/**
 * A guest that writes without pause, as the demo needs it: record n goes to slot n modulo 1024 and counts as written once the
 * device has acknowledged it. `moveTo` is QEMU's hand-over: the old side is quiet before the new one begins.
 */
export class ContinuousWriter {
  #device: FileHandle | undefined;
  #next = 1;
  #moving = false;
  #stopped = false;
  #ended = false;
  #running: Promise<void> = Promise.resolve();
  #pause: Promise<void> = Promise.resolve();
  #resume: () => void = () => {};

  /** Number of acknowledged records. */
  get written(): number {
    return this.#next - 1;
  }

  async start(path: string): Promise<void> {
    this.#device = await openDevice(path);
    this.#running = this.#run().finally(() => {
      this.#ended = true;
    });
    // Seen by whoever waits for it, in stop().
    this.#running.catch(() => {});
  }

  /** Goes on at another path; resolves once the first record is written there. */
  async moveTo(path: string): Promise<void> {
    const target = await openDevice(path);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#pause = promise;
    this.#resume = resolve;
    this.#moving = true;
    while (this.#moving && !this.#ended) await new Promise((next) => setImmediate(next));
    const before = this.#next;
    // QEMU opens its disks with O_DIRECT; this writer does not, so what the new node cached before must go.
    await run("blockdev", ["--flushbufs", path]);
    await this.#device?.close();
    this.#device = target;
    this.#resume();
    while (this.#next === before && !this.#ended) await new Promise((next) => setImmediate(next));
  }

  /** Ends the writing, also in the middle of a move; harmless when repeated. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#resume();
    await this.#running;
    await this.#device?.close();
    this.#device = undefined;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      if (this.#moving) {
        this.#moving = false;
        await this.#pause;
      }
      await this.#device?.write(record(this.#next), 0, RECORD_BYTES, offsetOf(this.#next));
      this.#next += 1;
    }
  }

  /**
   * Reads every slot and compares it with the last record that was acknowledged for it.
   * @returns the records that are missing or different; empty when every write has survived
   */
  async verify(path: string): Promise<number[]> {
    const device = await open(path, constants.O_RDONLY);
    const lost: number[] = [];
    try {
      for (let n = Math.max(1, this.written - SLOTS + 1); n <= this.written; n++) {
        const found = Buffer.alloc(RECORD_BYTES);
        await device.read(found, 0, RECORD_BYTES, offsetOf(n));
        if (!found.equals(record(n))) lost.push(n);
      }
    } finally {
      await device.close();
    }
    return lost;
  }
}

/** Each write is on the medium when it is acknowledged. */
function openDevice(path: string): Promise<FileHandle> {
  return open(path, constants.O_RDWR | constants.O_DSYNC);
}

function offsetOf(n: number): number {
  return (n % SLOTS) * RECORD_BYTES;
}

function record(n: number): Buffer {
  const bytes = Buffer.alloc(RECORD_BYTES, n % 251);
  bytes.writeBigUInt64BE(BigInt(n), 0);
  return bytes;
}
