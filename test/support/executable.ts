import { accessSync, constants } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";

/** Root of the repository. */
export const repository = resolve(import.meta.dirname, "../..");

/** The compiled program: `dist/rds-csi`, or what RDS_CSI_EXECUTABLE names. `scripts/test` builds it first. */
export const executable = resolve(repository, process.env.RDS_CSI_EXECUTABLE ?? "dist/rds-csi");
try {
  accessSync(executable, constants.X_OK);
} catch {
  throw new Error(`${executable} is not there: run scripts/build first`);
}

export const isRoot = process.getuid?.() === 0;

/** Whether a program is on the PATH, or where the administrator's programs are. */
export function hasProgram(name: string): boolean {
  const directories = [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/sbin"];
  return directories.some((directory) => {
    try {
      accessSync(join(directory, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Why devices and mounts cannot be tested here, for the names of skipped tests; "" when they can. */
export const noDevices: string = (() => {
  if (!isRoot) return "(skipped: not root)";
  const missing = ["losetup", "mkfs.ext4", "mount", "umount", "blkid", "fuser"].filter((p) => !hasProgram(p));
  if (missing.length > 0) return `(skipped: ${missing.join(", ")} not installed)`;
  try {
    accessSync("/dev/loop-control");
    return "";
  } catch {
    return "(skipped: no loop devices)";
  }
})();

/** A new directory with a short path, as it is to hold unix sockets (at most 107 bytes). */
export const shortDirectory = (): Promise<string> => mkdtemp(join(tmpdir(), "rc-"));
