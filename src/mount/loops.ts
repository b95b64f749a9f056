import { statSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { failure } from "../domain/errors/driver-error.ts";
import { readAttribute } from "../host/block-device.ts";
import type { BlockDevice } from "../host/data-path.ts";
import { type Exec, succeed } from "../host/exec.ts";
import { readState } from "../host/files.ts";
import type { BackingScan } from "../host/helper-answers.ts";
import type { NodeSystem } from "../host/system.ts";

/** A loop device that has a file. */
export interface LoopCandidate {
  /** Kernel name, e.g. `loop0`. */
  readonly name: string;
  /** Path of its file, as it was called where the loop device was made. */
  readonly path: string;
}

const DEADLINE_MS = 10_000;

/**
 * The loop devices that may be over a device: all that have a file, but for those whose file was attached before the device
 * existed. The kernel numbers both from one counter (`diskseq`, from Linux 5.15), so the lower number is the earlier one.
 * @throws nodeStateUnknown
 */
export async function loopCandidates(
  { sysRoot }: Pick<NodeSystem, "sysRoot">,
  device: BlockDevice,
): Promise<readonly LoopCandidate[]> {
  const since = await sequence(`${sysRoot}/dev/block/${device.number}`);
  const found: LoopCandidate[] = [];
  for (const loop of await attachedLoops(sysRoot)) {
    if (loop.name === device.name) continue;
    const attached = await sequence(`${sysRoot}/block/${loop.name}`);
    if (since !== undefined && attached !== undefined && attached < since) continue;
    found.push(loop);
  }
  return found;
}

/**
 * The loop devices that have a file. A machine may have hundreds that have none, and each look in a thread costs more than the look
 * itself; so they are looked for in this thread. stat(2) in sysfs asks no device and no filesystem of a disk.
 * @throws nodeStateUnknown
 */
export async function attachedLoops(sysRoot: string): Promise<readonly LoopCandidate[]> {
  const blocks = `${sysRoot}/block`;
  const names = await readState(blocks, async () =>
    (await readdir(blocks)).filter(
      (name) => /^loop\d+$/.test(name) && isThere(`${blocks}/${name}/loop/backing_file`),
    ),
  );
  const found: LoopCandidate[] = [];
  for (const name of names) {
    // undefined: it was detached since.
    const backing = await readAttribute(`${blocks}/${name}/loop/backing_file`);
    if (backing !== undefined) found.push({ name, path: backing.replace(/ \(deleted\)$/, "") });
  }
  return found;
}

/** @throws the error of stat(2), unless it proves that nothing is there */
function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

/**
 * Which of some loop devices are over one of some devices. The path alone proves nothing, as it may come from another mount
 * namespace. The kernel also knows filesystem and inode of the file (loopFiles): where a path leads to that inode, its kind
 * and device number are known.
 * @param numbers `major:minor` each
 * @param scan where the candidates' paths lead to, see findBacking
 * @returns the loop devices that are, and those that are unclear
 * @throws toolMissing, deadlineExceeded, nodeStateUnknown
 */
export async function loopsOver(
  { exec, sysRoot }: Pick<NodeSystem, "exec" | "sysRoot">,
  candidates: readonly LoopCandidate[],
  numbers: ReadonlySet<string>,
  scan: BackingScan,
  signal?: AbortSignal,
): Promise<{ readonly over: readonly LoopCandidate[]; readonly unclear: readonly LoopCandidate[] }> {
  const over: LoopCandidate[] = [];
  const unclear: LoopCandidate[] = [];
  if (candidates.length === 0) return { over, unclear };
  const inodes = await loopFiles(exec, signal);
  for (const candidate of candidates) {
    const wanted = inodes.get(candidate.name);
    const files = scan.files.filter(
      ({ path, filesystem, inode }) =>
        path === candidate.path && filesystem === wanted?.filesystem && inode === wanted.inode,
    );
    if (files.some(({ device }) => numbers.has(device))) over.push(candidate);
    else if (files.length > 0) continue;
    // Our devices are never reached through a network filesystem.
    else if (wanted !== undefined && scan.remote.includes(wanted.filesystem)) continue;
    else if (await isAttached(sysRoot, candidate)) unclear.push(candidate);
  }
  return { over, unclear };
}

/** The file of a loop device. */
export interface LoopFile {
  /** `major:minor` of the filesystem that holds it. */
  readonly filesystem: string;
  readonly inode: string;
}

/**
 * The files of the loop devices by kernel name, e.g. `loop0`, as the kernel knows them (LOOP_GET_STATUS64, asked through
 * losetup).
 * @throws toolMissing, deadlineExceeded, nodeStateUnknown
 */
export async function loopFiles(exec: Exec, signal?: AbortSignal): Promise<ReadonlyMap<string, LoopFile>> {
  const args = ["--list", "--noheadings", "--output", "NAME,BACK-MAJ:MIN,BACK-INO"];
  const command = { program: "losetup" as const, args, deadlineMs: DEADLINE_MS, signal };
  const { stdout } = await succeed(exec, command, (detail) =>
    failure("nodeStateUnknown", { what: "the files of loop devices", detail }),
  );
  const files = new Map<string, LoopFile>();
  for (const line of stdout.split("\n")) {
    const [, name, filesystem, inode] = /^\s*\/dev\/(\S+)\s+(\d+:\d+)\s+(\d+)\s*$/.exec(line) ?? [];
    if (name !== undefined && filesystem !== undefined && inode !== undefined) {
      files.set(name, { filesystem, inode });
    }
  }
  return files;
}

/** It may have been detached since it was listed. */
async function isAttached(sysRoot: string, { name }: LoopCandidate): Promise<boolean> {
  return (await readAttribute(`${sysRoot}/block/${name}/loop/backing_file`)) !== undefined;
}

async function sequence(directory: string): Promise<bigint | undefined> {
  const text = await readAttribute(`${directory}/diskseq`);
  return text !== undefined && /^\d+$/.test(text) ? BigInt(text) : undefined;
}
