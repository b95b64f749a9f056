import { constants } from "node:fs";
import { mkdir, open, readdir, readFile, rmdir, symlink, unlink } from "node:fs/promises";

/** A step on the kernel's configuration that failed. `code` is the errno name, such as "EBUSY". */
export class ConfigfsError extends Error {
  readonly action: keyof Configfs;
  readonly file: string;
  readonly code: string;

  constructor(action: keyof Configfs, file: string, code: string) {
    super(`${action} ${file}: ${code}`);
    this.name = "ConfigfsError";
    this.action = action;
    this.file = file;
    this.code = code;
  }
}

/**
 * The part of configfs that the NVMe target uses (Linux Documentation/filesystems/configfs.rst): directories are objects,
 * files are attributes, symbolic links are relations. Each call throws ConfigfsError when the kernel refuses it.
 */
export interface Configfs {
  /** Names in a directory, in no order. */
  list(directory: string): Promise<readonly string[]>;
  /** An attribute without the line end. */
  read(file: string): Promise<string>;
  /** Writes an attribute in one write(2), as the kernel wants it; never makes a file. */
  write(file: string, text: string): Promise<void>;
  make(directory: string): Promise<void>;
  remove(directory: string): Promise<void>;
  link(target: string, file: string): Promise<void>;
  unlink(file: string): Promise<void>;
}

/** The configfs of this machine. */
export const kernelConfigfs: Configfs = {
  list: (directory) => step("list", directory, readdir(directory)),
  read: async (file) => (await step("read", file, readFile(file, "utf8"))).trimEnd(),
  write: (file, text) => step("write", file, writeOnce(file, text)),
  make: (directory) => step("make", directory, mkdir(directory)),
  remove: (directory) => step("remove", directory, rmdir(directory)),
  link: (target, file) => step("link", file, symlink(target, file)),
  unlink: (file) => step("unlink", file, unlink(file)),
};

async function writeOnce(file: string, text: string): Promise<void> {
  const handle = await open(file, constants.O_WRONLY);
  try {
    await handle.write(text);
  } finally {
    await handle.close();
  }
}

async function step<T>(action: keyof Configfs, file: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof Error) || !("code" in error)) throw error;
    throw new ConfigfsError(action, file, String(error.code));
  }
}

/** Whether an error is a refusal with one of these errno names. */
export function refusedWith(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof ConfigfsError && codes.includes(error.code);
}

/** Does a step whose end may have been reached already. @param codes errno names that mean "already so" */
export async function unless(codes: readonly string[], step: Promise<void>): Promise<void> {
  try {
    await step;
  } catch (error) {
    if (!refusedWith(error, ...codes)) throw error;
  }
}
