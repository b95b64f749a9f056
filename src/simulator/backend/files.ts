import { Buffer } from "node:buffer";
import { constants } from "node:fs";
import { lstat, mkdir, open, readdir, realpath, rm, rmdir, stat, truncate, unlink } from "node:fs/promises";
import path from "node:path";
import type { Logger } from "../../observability/log.ts";
import { RunFailure, SimulatorError } from "../errors.ts";
import { writeAtomically } from "./atomic.ts";
import type { Backend, BackendEntry } from "./backend.ts";
import { canReflink, cloneFile, copyFileBytes } from "./sparse-copy.ts";

/** NQNs that may become a file name: no separator, no leading dot. */
export const SAFE_NQN = /^[A-Za-z0-9_-][A-Za-z0-9._:-]{0,222}$/;

/**
 * Image files as sparse files below `<dir>/files`, live exports as `<dir>/exports/<nqn>.json`.
 * RouterOS path `/pool/x/y.img` is `<dir>/files/pool/x/y.img`; no path leads out of the directory.
 * @param dir absolute or relative directory; made when missing
 */
export async function filesBackend(dir: string, logger: Logger): Promise<Backend> {
  const root = path.resolve(dir, "files");
  const exportsDir = path.resolve(dir, "exports");
  await mkdir(root, { recursive: true });
  await mkdir(exportsDir, { recursive: true });
  const realRoot = await realpath(root);

  const resolved = (name: string): string => {
    const target = path.resolve(root, name);
    const parts = name.split("/");
    const strange = name.includes("\0") || parts.some((part) => part === "" || part === "." || part === "..");
    if (strange || !target.startsWith(root + path.sep)) throw new RunFailure(`failure: bad path ${name}`);
    return target;
  };
  /** The host path, with proof that no symbolic link on the way leaves the root. */
  const contained = async (name: string): Promise<string> => {
    const target = resolved(name);
    const parent = await realpath(path.dirname(target));
    const inside = parent === realRoot || parent.startsWith(realRoot + path.sep);
    const link = await lstat(target).then(
      (found) => found.isSymbolicLink(),
      () => false,
    );
    if (!inside || link) throw new RunFailure(`failure: bad path ${name}`);
    return target;
  };
  const exportFile = (nqn: string): string | undefined =>
    SAFE_NQN.test(nqn) ? path.join(exportsDir, `${nqn}.json`) : undefined;

  async function walk(folder: string, prefix: string): Promise<BackendEntry[]> {
    const found: BackendEntry[] = [];
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      const name = prefix === "" ? entry.name : `${prefix}/${entry.name}`;
      if (entry.isDirectory()) {
        found.push({ path: name, directory: true, size: 0n });
        found.push(...(await walk(path.join(folder, entry.name), name)));
      } else if (entry.isFile()) {
        const { size } = await stat(path.join(folder, entry.name), { bigint: true });
        found.push({ path: name, directory: false, size });
      }
    }
    return found;
  }

  /** Pools whose file system cannot share blocks between files. */
  const withoutReflinks = new Set<string>();

  return {
    kind: "files",
    get instantCopies() {
      return withoutReflinks.size === 0;
    },
    openPool: async (name) => {
      const folder = resolved(name);
      await mkdir(folder, { recursive: true });
      if (await canReflink(folder)) return;
      withoutReflinks.add(name);
      logger.info("snapshots of images that are written meanwhile are not of one instant", { folder });
    },
    list: () => walk(root, ""),
    create: async (name, size) => {
      const target = await contained(name);
      const file = await open(target, constants.O_CREAT | constants.O_EXCL | constants.O_RDWR, 0o600);
      try {
        await file.truncate(toLength(size));
      } finally {
        await file.close();
      }
    },
    resize: async (name, size) => truncate(await contained(name), toLength(size)),
    remove: async (name) => {
      await unlink(await contained(name)).catch(ignoreMissing);
    },
    makeDirectory: async (name) => {
      await mkdir(await contained(name)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "EEXIST") throw error;
      });
    },
    removeDirectory: async (name) => {
      await rmdir(await contained(name)).catch(ignoreMissing);
    },
    copy: async (from, to) => {
      const [source, target] = [await contained(from), await contained(to)];
      await copyFileBytes(source, target);
    },
    clone: async (pairs) => {
      const made: string[] = [];
      try {
        for (const [from, to] of pairs) {
          const [source, target] = [await contained(from), await contained(to)];
          await cloneFile(source, target);
          made.push(target);
        }
      } catch (error) {
        for (const target of made) await unlink(target).catch(ignoreMissing);
        throw error;
      }
    },
    read: async (name, offset, length) => {
      const file = await open(await contained(name), "r");
      try {
        const buffer = Buffer.alloc(length);
        const { bytesRead } = await file.read(buffer, 0, length, toLength(offset));
        return new Uint8Array(buffer.subarray(0, bytesRead));
      } finally {
        await file.close();
      }
    },
    write: async (name, offset, data) => {
      const file = await open(await contained(name), "r+");
      try {
        await file.write(data, 0, data.length, toLength(offset));
      } finally {
        await file.close();
      }
    },
    allocated: async (name) => {
      const { blocks } = await stat(await contained(name), { bigint: true });
      return blocks * 512n;
    },
    hostPath: resolved,
    publishExport: async (record) => {
      const file = exportFile(record.nqn);
      if (file === undefined) {
        logger.warn("the NQN of an export is no file name, so it is not written", { nqn: record.nqn });
        return;
      }
      const { nqn, port, slot, allowHosts } = record;
      const document = {
        nqn,
        port,
        path: resolved(record.path),
        sizeBytes: String(record.sizeBytes),
        slot,
        allowHosts,
      };
      await writeAtomically(file, `${JSON.stringify(document)}\n`);
    },
    dropHosts: async () => {},
    withdrawExport: async (nqn) => {
      const file = exportFile(nqn);
      if (file !== undefined) await rm(file, { force: true });
    },
    withdrawAllExports: async () => {
      for (const name of await readdir(exportsDir)) {
        if (name.endsWith(".json") || name.endsWith(".tmp"))
          await rm(path.join(exportsDir, name), { force: true });
      }
    },
  };
}

/** File system calls of node take lengths as numbers, exact up to 2^53 (8 PiB). */
function toLength(size: bigint): number {
  if (size > BigInt(Number.MAX_SAFE_INTEGER))
    throw new SimulatorError(`a file of ${size} bytes is too large`);
  return Number(size);
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error;
}
