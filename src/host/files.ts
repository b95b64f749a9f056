import { access } from "node:fs/promises";
import { DriverError, failure } from "../domain/errors/driver-error.ts";

/** `major:minor` of a stat(2) device number, as Linux encodes it (makedev(3)). */
export function deviceNumber(dev: number | bigint): string {
  const value = BigInt(dev);
  const major = ((value >> 8n) & 0xfffn) | ((value >> 32n) & 0xffff_f000n);
  const minor = (value & 0xffn) | ((value >> 12n) & 0xffff_ff00n);
  return `${major}:${minor}`;
}

/** Whether a system call failed with one of these codes, e.g. `ENOENT`. */
export function isCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}

const ABSENT = ["ENOENT", "ENOTDIR"];

/** Whether an error proves that nothing is at a path: ENOENT and ENOTDIR, no other code. */
export function isAbsent(error: unknown): boolean {
  return isCode(error, ...ABSENT);
}

/** Whether a path exists. An error counts as "no": for messages and hints, never as proof of absence. */
export async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

/** The answer of `read`, or the fallback if it throws: for facts that may vanish during the read, and that prove nothing. */
export function orElse<T>(read: () => T, fallback: T): T {
  try {
    return read();
  } catch {
    return fallback;
  }
}

/**
 * Reads a state of the machine.
 * @param what names the state in the error
 * @throws nodeStateUnknown with the error of `read`; a DriverError of `read` as it is
 */
export async function readState<T>(what: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw error instanceof DriverError
      ? error
      : failure("nodeStateUnknown", { what, detail: String(error) }, error);
  }
}

/**
 * As readState; undefined only if the error of `read` is one of absence.
 * @param codes of absence; without ENOTDIR a file in place of a directory is an unknown state
 */
export async function readIfPresent<T>(
  what: string,
  read: () => Promise<T>,
  codes: readonly string[] = ABSENT,
): Promise<T | undefined> {
  return await readState(what, async () => {
    try {
      return await read();
    } catch (error) {
      if (isCode(error, ...codes)) return undefined;
      throw error;
    }
  });
}
