import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { SimulatorError } from "../../errors.ts";
import { writeAtomically } from "../atomic.ts";

/** The objects that a simulator made in the kernel, and sizes that files still have to get. Written before the deed. */
export interface Marks {
  /** Random text from which the identities of this device are derived. */
  readonly seed: string;
  /** NQN of each subsystem, and its serial number, which proves that it is ours. */
  readonly subsystems: Map<string, string>;
  /** Host NQNs whose directories did not exist before. */
  readonly hosts: Set<string>;
  /** Identifier of each port, and its TCP port number. */
  readonly ports: Map<string, number>;
  /** RouterOS path of each image whose new size must not be seen yet, and that size in bytes. */
  readonly sizes: Map<string, bigint>;
}

/** The marks of one directory, in a file for the next process. */
export interface MarkBook {
  readonly marks: Marks;
  /** Changes the marks; resolves when that is on disk. */
  change(edit: (marks: Marks) => void): Promise<void>;
}

/** The content of the file; JSON has no Map, Set and bigint. */
interface Stored {
  readonly seed: string;
  readonly subsystems: Readonly<Record<string, string>>;
  readonly hosts: readonly string[];
  readonly ports: Readonly<Record<string, number>>;
  readonly sizes: Readonly<Record<string, string>>;
}

function decode(text: string): Marks {
  const { seed, subsystems, hosts, ports, sizes } = JSON.parse(text) as Stored;
  return {
    seed,
    subsystems: new Map(Object.entries(subsystems)),
    hosts: new Set(hosts),
    ports: new Map(Object.entries(ports)),
    sizes: new Map(Object.entries(sizes).map(([path, size]) => [path, BigInt(size)])),
  };
}

function encode({ seed, subsystems, hosts, ports, sizes }: Marks): string {
  const stored: Stored = {
    seed,
    subsystems: Object.fromEntries(subsystems),
    hosts: [...hosts],
    ports: Object.fromEntries(ports),
    sizes: Object.fromEntries([...sizes].map(([path, size]) => [path, String(size)])),
  };
  return `${JSON.stringify(stored, null, 1)}\n`;
}

async function load(file: string): Promise<Marks | undefined> {
  try {
    return decode(await readFile(file, "utf8"));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    // Without them the exports of an earlier process could not be told from those of other programs.
    throw new SimulatorError(`the marks ${file} cannot be read: ${String(error)}`);
  }
}

/** Opens `<dir>/nvmet.json`. @throws SimulatorError when it is there and cannot be read */
export async function openMarks(dir: string): Promise<MarkBook> {
  const file = path.join(dir, "nvmet.json");
  const found = await load(file);
  const none = { subsystems: new Map(), hosts: new Set<string>(), ports: new Map(), sizes: new Map() };
  const marks: Marks = found ?? { seed: randomUUID(), ...none };
  // Changes of different kinds may overlap; the file is written by one at a time and never goes back.
  let work: Promise<void> = Promise.resolve();
  const save = (): Promise<void> => {
    const done = work.then(() => writeAtomically(file, encode(marks)));
    work = done.catch(() => {});
    return done;
  };
  if (found === undefined) await save();
  return {
    marks,
    change: (edit) => {
      edit(marks);
      return save();
    },
  };
}
