import { readdir, readFile, rename, stat, unlink, writeFile } from "node:fs/promises";
import { failure } from "../domain/errors/driver-error.ts";
import { readAttribute } from "../host/block-device.ts";
import type { NodeSystem } from "../host/system.ts";
import { deviceNumber, isCode } from "../mount/device-number.ts";

/**
 * Which loop device a node has attached for an NQN, in the file `<stateDir>/<nqn>.device`. The kernel tells a loop device's file by
 * its name only as long as the mount namespace lives in which it was attached: after a restart of the driver's container
 * it says `/`. A record is believed only while everything in it holds, so an old one names no device.
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

const SUFFIX = ".device";

/** What the record of a loop device over an image is now. @throws nodeStateUnknown */
export async function describeLoop(
  { sysRoot, procRoot }: Pick<NodeSystem, "sysRoot" | "procRoot">,
  name: string,
  image: string,
): Promise<LoopRecord> {
  try {
    const file = await stat(image, { bigint: true });
    return {
      boot: (await readFile(`${procRoot}/sys/kernel/random/boot_id`, "utf8")).trim(),
      name,
      sequence: (await readAttribute(`${sysRoot}/block/${name}/diskseq`)) ?? "",
      filesystem: deviceNumber(file.dev),
      inode: String(file.ino),
    };
  } catch (error) {
    throw failure("nodeStateUnknown", { what: `the loop device ${name}`, detail: String(error) }, error);
  }
}

/** Writes a record as a whole, or leaves what was there. @throws nodeCommandFailed */
export async function writeLoopRecord(stateDir: string, nqn: string, record: LoopRecord): Promise<void> {
  const path = `${stateDir}/${nqn}${SUFFIX}`;
  try {
    await writeFile(`${path}.new`, `${JSON.stringify(record)}\n`, { mode: 0o600, flush: true });
    await rename(`${path}.new`, path);
  } catch (error) {
    throw failure(
      "nodeCommandFailed",
      { what: `noting the loop device of ${nqn}`, detail: String(error) },
      error,
    );
  }
}

/** The records of a node, by NQN; one that cannot be read as a record is none. @throws nodeStateUnknown */
export async function readLoopRecords(stateDir: string): Promise<ReadonlyMap<string, LoopRecord>> {
  const records = new Map<string, LoopRecord>();
  try {
    for (const file of await readdir(stateDir)) {
      if (!file.endsWith(SUFFIX)) continue;
      const text = await readFile(`${stateDir}/${file}`, "utf8").catch((error: unknown) => {
        if (isCode(error, "ENOENT")) return "";
        throw error;
      });
      const record = parse(text);
      if (record !== undefined) records.set(file.slice(0, -SUFFIX.length), record);
    }
  } catch (error) {
    throw failure("nodeStateUnknown", { what: stateDir, detail: String(error) }, error);
  }
  return records;
}

/** Takes a record away; absent is success. @throws nodeCommandFailed */
export async function dropLoopRecord(stateDir: string, nqn: string): Promise<void> {
  try {
    await unlink(`${stateDir}/${nqn}${SUFFIX}`);
  } catch (error) {
    if (isCode(error, "ENOENT")) return;
    throw failure(
      "nodeCommandFailed",
      { what: `forgetting the loop device of ${nqn}`, detail: String(error) },
      error,
    );
  }
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
