import type { Machine } from "./machine.ts";
import { RECORDS } from "./world.ts";

let writers = 0;

/**
 * A guest that writes records by direct I/O without pause (guest/records.c). It can be asked at any time how many were
 * acknowledged.
 */
export class Writer {
  readonly #machine: Machine;
  readonly #pid: number;
  readonly #progress: string;
  readonly #first: number;
  readonly ended: Promise<string>;

  private constructor(
    machine: Machine,
    pid: number,
    ended: Promise<string>,
    progress: string,
    first: number,
  ) {
    this.#machine = machine;
    this.#pid = pid;
    this.ended = ended;
    this.#progress = progress;
    this.#first = first;
  }

  /**
   * @param first number of its first record: one more than the last acknowledged one
   * @param tag tells writers apart when the device is verified
   */
  static async start(machine: Machine, device: string, first: number, tag: number): Promise<Writer> {
    writers += 1;
    const name = `writer-${writers}`;
    const progress = `/run/${name}.progress`;
    const args = ["write", device, String(first), progress, String(tag)];
    const { pid, ended } = await machine.start(name, RECORDS, args);
    return new Writer(machine, pid, ended, progress, first);
  }

  /** Number of the last acknowledged record; one less than the first before any was. */
  async acknowledged(): Promise<number> {
    const text = await this.#machine.look(`cat ${this.#progress} 2>/dev/null || true`);
    return text.trim() === "" ? this.#first - 1 : Number(text);
  }

  /** Ends after the running write; the last acknowledged number. */
  async stop(): Promise<number> {
    await this.#machine.sh(`kill -TERM ${this.#pid} 2>/dev/null || true`);
    await this.ended;
    return await this.acknowledged();
  }
}

/** Checks every record on a device up to the last acknowledged one; a problem is thrown, in the checker's words. */
export async function verifyRecords(
  machine: Machine,
  device: string,
  last: number,
  tag?: number,
): Promise<void> {
  await machine.sh(`${RECORDS} verify ${device} ${last} ${tag ?? ""}`);
}
