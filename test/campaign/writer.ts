import { execFile } from "node:child_process";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { History } from "./history.ts";
import { Records } from "./records.ts";
import { delay } from "./site.ts";

const run = promisify(execFile);

/** Pause between two records, so that writers leave the machine to the driver. */
const PAUSE_MS = 15;

/** A guest that writes records without end to the place that it is given, and can read them back. */
export class Writer {
  readonly records: Records;
  readonly #volume: string;
  readonly #file: boolean;
  readonly #history: History;
  #handle: FileHandle | undefined;
  #node: string | undefined;
  #going: Promise<void> | undefined;
  #stopping = false;
  #ended = false;

  constructor(volume: string, file: boolean, history: History) {
    this.#volume = volume;
    this.#file = file;
    this.#history = history;
    this.records = new Records(volume);
  }

  /** The node on which it runs. */
  get node(): string | undefined {
    return this.#node;
  }

  /** Reads back at a target path, and goes on writing there. */
  async start(node: string, target: string): Promise<void> {
    await this.stop();
    if (this.#ended) return;
    this.#node = node;
    try {
      // O_DIRECT goes past this device's own cache; an earlier reader of it may have left pages.
      if (!this.#file) await run("blockdev", ["--flushbufs", target]);
      this.#handle = await Records.open(this.#file ? join(target, "records") : target, this.#file);
    } catch (error) {
      this.#failed(error);
      return;
    }
    if (this.#ended) {
      await this.stop();
      return;
    }
    await this.read();
    this.#stopping = false;
    this.#going = this.#write(this.#handle);
  }

  async #write(handle: FileHandle): Promise<void> {
    while (!this.#stopping) {
      try {
        await this.records.write(handle);
      } catch (error) {
        this.#failed(error);
        return;
      }
      await delay(PAUSE_MS);
    }
  }

  #failed(error: unknown): void {
    this.#history.add({
      fact: "ioError",
      volume: this.#volume,
      node: this.#node ?? "",
      error: String(error),
    });
  }

  /** Reads all records back; the writer pauses meanwhile. */
  async read(): Promise<void> {
    const handle = this.#handle;
    if (handle === undefined) return;
    const wasGoing = this.#going !== undefined;
    await this.#pause();
    try {
      const lost = await this.records.verify(handle);
      this.#history.add({
        fact: "read",
        ...{ volume: this.#volume, node: this.#node ?? "", records: this.records.count, lost },
      });
    } catch (error) {
      this.#failed(error);
    }
    if (!wasGoing) return;
    this.#stopping = false;
    this.#going = this.#write(handle);
  }

  async #pause(): Promise<void> {
    this.#stopping = true;
    await this.#going;
    this.#going = undefined;
  }

  /** Stops for good: it does not start again. */
  async end(): Promise<void> {
    this.#ended = true;
    await this.stop();
  }

  /** Ends the writing and closes the volume; harmless when repeated. */
  async stop(): Promise<void> {
    await this.#pause();
    await this.#handle?.close();
    this.#handle = undefined;
    this.#node = undefined;
  }
}
