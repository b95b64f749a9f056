import { readdir, readFile, rename, stat, unlink, writeFile } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";
import { failure } from "../domain/errors/driver-error.ts";
import { readAttribute } from "../host/block-device.ts";
import { deviceNumber, isCode, readIfPresent, readState } from "../host/files.ts";
import type { NodeSystem } from "../host/system.ts";
import { type LoopFile, loopFiles } from "../mount/loops.ts";

/**
 * Which loop device a node has attached for an NQN, in the file `<stateDir>/<nqn>.device`. The kernel keeps the name of a
 * loop device's file only as long as the mount namespace lives in which it was attached: after a restart of the driver's
 * container it says `/`. A record counts only while each of its fields still holds, so an old record names no device.
 */
export interface LoopRecord {
  /** Random id of this boot of the machine. */
  readonly boot: string;
  /** e.g. `loop3` */
  readonly name: string;
  /** Number that the kernel gave to this attaching (`diskseq`, from Linux 5.15); "" if it gives none. */
  readonly sequence: string;
  /** `major:minor` of the filesystem of the image file. */
  readonly filesystem: string;
  readonly inode: string;
}

type Roots = Pick<NodeSystem, "sysRoot" | "procRoot">;

const SUFFIX = ".device";
/** Of a record that is being written. */
const UNFINISHED = ".new";

/** The record of a loop device that is attached to an image now. @throws nodeStateUnknown */
export async function describeLoop(roots: Roots, name: string, image: string): Promise<LoopRecord> {
  return await readState(`the loop device ${name}`, async () => {
    const file = await stat(image, { bigint: true });
    return {
      boot: await bootOf(roots),
      name,
      sequence: await sequenceOf(roots, name),
      filesystem: deviceNumber(file.dev),
      inode: String(file.ino),
    };
  });
}

/** Writes a record as a whole; a failure leaves the earlier record. @throws nodeCommandFailed */
export async function writeLoopRecord(stateDir: string, nqn: string, record: LoopRecord): Promise<void> {
  const path = `${stateDir}/${nqn}${SUFFIX}`;
  try {
    await writeFile(`${path}${UNFINISHED}`, `${JSON.stringify(record)}\n`, { mode: 0o600, flush: true });
    await rename(`${path}${UNFINISHED}`, path);
  } catch (error) {
    const what = `writing the record of the loop device of ${nqn}`;
    throw failure("nodeCommandFailed", { what, detail: String(error) }, error);
  }
}

/** The records of a node, by NQN, without those that cannot be parsed. @throws nodeStateUnknown */
export async function readLoopRecords(stateDir: string): Promise<ReadonlyMap<string, LoopRecord>> {
  const records = new Map<string, LoopRecord>();
  for (const file of await readState(stateDir, () => readdir(stateDir))) {
    if (!file.endsWith(SUFFIX)) continue;
    const text = await readIfPresent(stateDir, () => readFile(`${stateDir}/${file}`, "utf8"), ["ENOENT"]);
    const record = parse(text ?? "");
    if (record !== undefined) records.set(file.slice(0, -SUFFIX.length), record);
  }
  return records;
}

/** The NQN of a record by the name of its file, also of one that was being written; any other name is returned as it is. */
export function recordedNqn(file: string): string {
  const name = file.endsWith(UNFINISHED) ? file.slice(0, -UNFINISHED.length) : file;
  return name.endsWith(SUFFIX) ? name.slice(0, -SUFFIX.length) : file;
}

/** Removes a record, and one that was being written; an absent one is success. @throws nodeCommandFailed */
export async function dropLoopRecord(stateDir: string, nqn: string): Promise<void> {
  const path = `${stateDir}/${nqn}${SUFFIX}`;
  for (const file of [path, `${path}${UNFINISHED}`]) {
    try {
      await unlink(file);
    } catch (error) {
      if (isCode(error, "ENOENT")) continue;
      const what = `removing the record of the loop device of ${nqn}`;
      throw failure("nodeCommandFailed", { what, detail: String(error) }, error);
    }
  }
}

/**
 * Loop devices of this node whose file has no name here any more, by NQN: those of which a record names the device, this
 * boot and this attaching, and of which the kernel reports the same filesystem and inode as the record.
 * @param names kernel names of the loop devices in question, e.g. `loop3`
 * @throws nodeStateUnknown
 */
export async function findOrphans(
  system: Roots & Pick<NodeSystem, "exec">,
  stateDir: string,
  names: readonly string[],
): Promise<ReadonlyMap<string, LoopRecord>> {
  const current: [string, LoopRecord][] = [];
  const records = names.length === 0 ? [] : await readLoopRecords(stateDir);
  for (const [nqn, record] of records) {
    if (!names.includes(record.name) || record.boot !== (await bootOf(system))) continue;
    if ((await sequenceOf(system, record.name)) === record.sequence) current.push([nqn, record]);
  }
  const files: ReadonlyMap<string, LoopFile> =
    current.length === 0 ? new Map() : await loopFiles(system.exec);
  return new Map(
    current.filter(([, { name, filesystem, inode }]) =>
      isDeepStrictEqual(files.get(name), { filesystem, inode }),
    ),
  );
}

async function bootOf({ procRoot }: Roots): Promise<string> {
  return (await readFile(`${procRoot}/sys/kernel/random/boot_id`, "utf8")).trim();
}

async function sequenceOf({ sysRoot }: Roots, name: string): Promise<string> {
  return (await readAttribute(`${sysRoot}/block/${name}/diskseq`)) ?? "";
}

function parse(text: string): LoopRecord | undefined {
  try {
    const { boot, name, sequence, filesystem, inode } = JSON.parse(text) as Record<string, unknown>;
    const all = [boot, name, sequence, filesystem, inode];
    if (!all.every((value) => typeof value === "string")) return undefined;
    return { boot, name, sequence, filesystem, inode } as LoopRecord;
  } catch {
    return undefined;
  }
}
