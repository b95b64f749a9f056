import { readFile } from "node:fs/promises";
import path from "node:path";
import { writeAtomically } from "./backend/atomic.ts";
import { type DeviceState, decodeState, encodeState } from "./device/state.ts";
import { SimulatorError } from "./errors.ts";

/** Keeps the state of the device in `<dir>/state.json`. */
export class Persistence {
  readonly #file: string | undefined;
  #dirty = false;
  #work: Promise<void> = Promise.resolve();

  /** @param dir directory that exists; undefined keeps nothing */
  constructor(dir: string | undefined) {
    this.#file = dir === undefined ? undefined : path.join(dir, "state.json");
  }

  /** The saved state; undefined when there is none. @throws SimulatorError when it cannot be read */
  async load(): Promise<DeviceState | undefined> {
    if (this.#file === undefined) return undefined;
    try {
      return decodeState(await readFile(this.#file, "utf8"));
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
      throw new SimulatorError(`the state ${this.#file} cannot be read: ${String(error)}`);
    }
  }

  /** Notes that the state has changed. */
  touch(): void {
    this.#dirty = true;
  }

  /** Writes the state if it has changed; resolves when it is on disk. */
  save(state: () => DeviceState): Promise<void> {
    this.#work = this.#work.then(async () => {
      if (!this.#dirty || this.#file === undefined) return;
      this.#dirty = false;
      await writeAtomically(this.#file, encodeState(state()));
    });
    return this.#work;
  }
}
