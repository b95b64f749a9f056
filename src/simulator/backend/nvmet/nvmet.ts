import { randomUUID } from "node:crypto";
import { mkdir, stat } from "node:fs/promises";
import { isIP } from "node:net";
import type { Logger } from "../../../observability/log.ts";
import { RunFailure, SimulatorError } from "../../errors.ts";
import { Mutex } from "../../mutex.ts";
import type { Backend, ExportRecord } from "../backend.ts";
import { filesBackend, SAFE_NQN } from "../files.ts";
import { type Configfs, kernelConfigfs } from "./configfs.ts";
import { explained } from "./explain.ts";
import { identityOf } from "./identity.ts";
import { openMarks } from "./marks.ts";
import { nvmetTarget, type TargetExport } from "./target.ts";

export interface NvmetOptions {
  /** Directory of image files and marks. */
  readonly dir: string;
  /** IP address on which the exports are; default 0.0.0.0. */
  readonly address?: string;
  /** Directory of the NVMe target in configfs. */
  readonly root?: string;
  /** For tests. */
  readonly configfs?: Configfs;
}

interface Live {
  readonly record: ExportRecord;
  readonly target: TargetExport;
}

/**
 * Image files as the `files` backend has them, live exports as subsystems of the kernel's NVMe target. A host sees
 * the size of the export record, so a new size of an exported image reaches the file only when the record has it or
 * the export has ended: the kernel reads the size of the file at every Identify.
 * @throws SimulatorError with a remedy when the kernel cannot export on that address
 */
export async function nvmetBackend(options: NvmetOptions, logger: Logger): Promise<Backend> {
  const { dir, address = "0.0.0.0", root = "/sys/kernel/config/nvmet", configfs = kernelConfigfs } = options;
  if (isIP(address) === 0) throw new SimulatorError(`--nvmet-address is ${address}, not an IP address`);
  // The kernel takes the path of an image up to the first line end.
  if (dir.includes("\n")) throw new SimulatorError("the directory has a line end in its name");
  await mkdir(dir, { recursive: true });
  const files = await filesBackend(dir, logger);
  const book = await openMarks(dir);
  const target = nvmetTarget({ configfs, root, address, book, logger });
  const live = new Map<string, Live>();
  const mutex = new Mutex();

  /** Runs a step alone. A refusal of the kernel gets a message with a remedy. */
  async function alone<T>(step: () => Promise<T>): Promise<T> {
    const release = await mutex.acquire();
    try {
      return await step();
    } catch (error) {
      throw explained(error, { root, address });
    } finally {
      release();
    }
  }

  const exported = (path: string) => [...live.values()].some((one) => one.record.path === path);
  const postponed = (path: string): bigint | undefined => book.marks.sizes.get(path);
  const forget = async (path: string): Promise<void> => {
    if (postponed(path) !== undefined) await book.change((marks) => void marks.sizes.delete(path));
  };
  /** Gives a file its new size, which waited for the end of the export. */
  async function settle(path: string): Promise<void> {
    const size = postponed(path);
    if (size === undefined) return;
    await files.resize(path, size).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    });
    await forget(path);
  }

  function targetOf(record: ExportRecord): TargetExport {
    const { nqn, port, path, allowHosts } = record;
    if (!SAFE_NQN.test(nqn))
      throw new SimulatorError(`the NQN ${JSON.stringify(nqn)} cannot be exported: ${NAME_RULE}`);
    const file = files.hostPath(path);
    const hosts = allowHosts.filter((name) => SAFE_NQN.test(name));
    if (hosts.length < allowHosts.length)
      logger.warn(`a host NQN cannot be let in: ${NAME_RULE}`, { nqn, allowHosts });
    const identity = identityOf(book.marks.seed, record.identity);
    return { nqn, identity, file, port, hosts: allowHosts.length === 0 ? undefined : hosts };
  }

  /** Makes the file as large as hosts shall see it. @returns whether that changed it */
  async function fitSize(record: ExportRecord, file: string): Promise<boolean> {
    const { size } = await stat(file, { bigint: true });
    if (size === record.sizeBytes) return false;
    if (postponed(record.path) !== record.sizeBytes) {
      throw new SimulatorError(
        `the disk ${record.slot} is ${record.sizeBytes} bytes but its file has ${size}: the NVMe target exports whole files only (file-offset must be 0)`,
      );
    }
    await settle(record.path);
    return true;
  }

  async function withdraw(nqn: string): Promise<void> {
    await target.destroy(nqn);
    live.delete(nqn);
  }

  async function publish(record: ExportRecord): Promise<void> {
    const wanted = targetOf(record);
    const current = live.get(record.nqn)?.target;
    if (current !== undefined && !sameDevice(current, wanted)) await withdraw(record.nqn);
    const changed = await fitSize(record, wanted.file ?? "");
    if (live.has(record.nqn)) {
      await target.allow(record.nqn, wanted.hosts);
      if (changed) await target.revalidate(record.nqn);
    } else {
      await target.create(wanted);
    }
    live.set(record.nqn, { record, target: wanted });
  }

  /** Exports nothing for a moment, so that a missing module, right or address shows now and not at the first volume. */
  async function rehearse(): Promise<void> {
    const nqn = `nqn.2014-08.org.nvmexpress:uuid:${randomUUID()}`;
    await target.create({
      nqn,
      identity: identityOf(book.marks.seed, nqn),
      file: undefined,
      port: 0,
      hosts: [],
    });
    await target.destroy(nqn);
  }

  const backend: Backend = {
    ...files,
    kind: "nvmet",
    get instantCopies() {
      return files.instantCopies;
    },
    resize: (path, size) =>
      alone(async () => {
        if (!exported(path)) {
          await files.resize(path, size);
          return;
        }
        if (size > BigInt(Number.MAX_SAFE_INTEGER))
          throw new RunFailure(`failure: ${size} bytes are too many`);
        await book.change((marks) => void marks.sizes.set(path, size));
      }),
    remove: (path) =>
      alone(async () => {
        // An open file lives on in its namespace until the export ends, which follows the removal.
        await files.remove(path);
        await forget(path);
      }),
    copy: (from, to) =>
      alone(async () => {
        await files.copy(from, to);
        const size = postponed(from);
        if (size !== undefined && !exported(to)) await files.resize(to, size);
      }),
    clone: (pairs) =>
      alone(async () => {
        await files.clone(pairs);
        for (const [from, to] of pairs) {
          const size = postponed(from);
          if (size !== undefined) await files.resize(to, size);
        }
      }),
    read: async (path, offset, length) => {
      const bytes = await files.read(path, offset, length);
      const size = postponed(path);
      if (size === undefined) return bytes;
      const left = size > offset ? size - offset : 0n;
      const padded = new Uint8Array(left < BigInt(length) ? Number(left) : length);
      padded.set(bytes.subarray(0, padded.length));
      return padded;
    },
    publishExport: (record) => alone(() => publish(record)),
    dropHosts: (nqn) =>
      alone(async () => {
        if (!live.has(nqn)) return;
        try {
          await target.drop(nqn);
        } catch (error) {
          live.delete(nqn);
          throw error;
        }
      }),
    withdrawExport: (nqn) =>
      alone(async () => {
        const path = live.get(nqn)?.record.path;
        await withdraw(nqn);
        if (path !== undefined && !exported(path)) await settle(path);
      }),
    withdrawAllExports: () =>
      alone(async () => {
        await target.destroyAll();
        live.clear();
        for (const path of [...book.marks.sizes.keys()]) await settle(path);
      }),
  };
  await backend.withdrawAllExports();
  await alone(rehearse);
  return backend;
}

/** Whether one export can become the other without a new subsystem. */
function sameDevice(one: TargetExport, other: TargetExport): boolean {
  return one.file === other.file && one.port === other.port && one.identity.uuid === other.identity.uuid;
}

const NAME_RULE =
  "the kernel's target takes 1 to 223 letters, digits and any of . : _ -, not beginning with . or :";
