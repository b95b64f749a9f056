import { Buffer } from "node:buffer";
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { copyFile, open, stat, truncate, unlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

const ONLY_REFLINK = constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL;

/** Whether two files in this directory can share blocks (Btrfs, XFS). */
export async function canReflink(folder: string): Promise<boolean> {
  const source = path.join(folder, `.reflink-${randomUUID()}`);
  const target = `${source}.copy`;
  try {
    await writeFile(source, "x", { flag: "wx" });
    await copyFile(source, target, ONLY_REFLINK);
    return true;
  } catch {
    return false;
  } finally {
    for (const one of [source, target]) await unlink(one).catch(() => {});
  }
}

/**
 * Makes a new file with the bytes of another: by a reflink, which the kernel makes between two writes, or else by a
 * copy of its data, which takes time. Nothing of a clone that failed stays.
 */
export async function cloneFile(source: string, target: string): Promise<void> {
  const shared = await copyFile(source, target, ONLY_REFLINK).then(
    () => true,
    () => false,
  );
  if (shared) return;
  const file = await open(target, "wx", 0o600);
  await file.close();
  try {
    await copyData(source, target);
  } catch (error) {
    await unlink(target).catch(() => {});
    throw error;
  }
}

/** Copies a file's bytes over the start of another, which is made when it is missing. */
export async function copyFileBytes(source: string, target: string): Promise<void> {
  const before = await stat(target).catch(() => undefined);
  if (before === undefined) await cloneFile(source, target);
  else await copyInto(source, target);
}

/** Fills an empty file. `cp` skips holes without reading them; where it is missing they are read and left out. */
async function copyData(source: string, target: string): Promise<void> {
  await run("cp", ["--sparse=auto", source, target]).catch(async () => {
    await truncate(target, 0);
    await truncate(target, (await stat(source)).size);
    await copyInto(source, target);
  });
}

/** Copies a file's bytes over the start of another; blocks of zeros are left out when the target has none. */
async function copyInto(source: string, target: string): Promise<void> {
  const [from, to] = [await open(source, "r"), await open(target, "r+")];
  try {
    const buffer = Buffer.alloc(1 << 20);
    const zeros = Buffer.alloc(1 << 20);
    const old = Buffer.alloc(1 << 20);
    for (let offset = 0; ; ) {
      const { bytesRead } = await from.read(buffer, 0, buffer.length, offset);
      if (bytesRead === 0) break;
      const blank = buffer.compare(zeros, 0, bytesRead, 0, bytesRead) === 0;
      const before = blank ? (await to.read(old, 0, bytesRead, offset)).bytesRead : 0;
      const skip = blank && before === bytesRead && old.compare(zeros, 0, bytesRead, 0, bytesRead) === 0;
      if (!skip) await to.write(buffer, 0, bytesRead, offset);
      offset += bytesRead;
    }
  } finally {
    await from.close();
    await to.close();
  }
}
