import { link, lstat, readFile, rename, unlink, writeFile } from "node:fs/promises";
import process from "node:process";
import { startTimeOf } from "./leftovers.ts";

/** Somebody else has the lock. */
export class LockedError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "LockedError";
  }
}

/**
 * Takes a lock file that names its owner by pid and start time, so that the lock of a dead process is known as such
 * also when its pid has been given to another one.
 * @param path appears complete or not at all
 * @returns gives it back
 * @throws LockedError while its owner lives, or when the file is no such lock
 */
export async function takeLock(path: string): Promise<() => Promise<void>> {
  const mine = `${process.pid} ${await startTimeOf(process.pid)}\n`;
  const temporary = `${path}.${process.pid}`;
  await unlink(temporary).catch(() => {});
  await writeFile(temporary, mine, { flag: "wx", mode: 0o600 });
  try {
    for (let attempt = 0; attempt < 5; attempt++) {
      if (await linked(temporary, path)) return () => giveBack(path, mine);
      const held = await contentOf(path);
      if (held === undefined) continue; // given back meanwhile
      await refuseLiving(path, held);
      // One at a time may replace the lock of a dead process, and only if it is still that one.
      const done = await takeLock(`${path}.takeover`);
      try {
        if ((await contentOf(path)) !== held) continue;
        await rename(temporary, path);
        return () => giveBack(path, mine);
      } finally {
        await done();
      }
    }
    throw new LockedError(`the lock ${path} changes its owner again and again`);
  } finally {
    await unlink(temporary).catch(() => {});
  }
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (isCode(error, "EEXIST")) return false;
    throw error;
  }
}

async function contentOf(path: string): Promise<string | undefined> {
  try {
    const found = await lstat(path);
    if (!found.isFile() || found.uid !== process.getuid?.())
      throw new LockedError(`${path} is not a lock file of this user`);
    return await readFile(path, "utf8");
  } catch (error) {
    if (isCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

async function refuseLiving(path: string, content: string): Promise<void> {
  const [, pid, startTime] = /^(\d+) (\d+)\n$/.exec(content) ?? [];
  if (pid === undefined) throw new LockedError(`${path} is not a lock file; remove it by hand`);
  if ((await startTimeOf(Number(pid))) === startTime)
    throw new LockedError(`process ${pid} is at work there (lock ${path})`);
}

async function giveBack(path: string, mine: string): Promise<void> {
  if ((await contentOf(path)) === mine) await unlink(path);
}

const isCode = (error: unknown, code: string): boolean =>
  error instanceof Error && "code" in error && error.code === code;
