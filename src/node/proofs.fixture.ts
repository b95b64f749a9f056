import { settled } from "../../test/support/clock.ts";
import { unusedHelper } from "../../test/support/node-helper.ts";
import type { BlockDevice, DataPath, DeviceUser } from "../host/data-path.ts";
import type { Command, ExecResult } from "../host/exec.ts";
import type { FilesystemFinding, Superblock } from "../host/helper-answers.ts";
import { createNodeSystem, type NodeSystem } from "../host/system.ts";
import type { Devices } from "./device-proofs.ts";

export const DEVICE: BlockDevice = {
  nqn: "nqn.2000-02.com.mikrotik:csi-a.7",
  name: "nvme0n1",
  path: "/dev/nvme0n1",
  number: "259:1",
  sizeBytes: 1_000n,
  readOnly: false,
};
export const ZEROS: Superblock = { kind: "zeros" };

export const read = (superblock: Superblock, more: object = {}): FilesystemFinding => ({
  kind: "read",
  superblock,
  marks: [],
  ...more,
});

/** What the machine answers; a list gives one answer after the other, its last one again and again. */
export interface Machine {
  readonly users?: readonly (readonly DeviceUser[])[];
  readonly found?: readonly FilesystemFinding[];
  readonly blank?: Awaited<ReturnType<NodeSystem["helper"]["lookForData"]>>;
  /** Exit code of the flush before a look. */
  readonly flush?: number;
  /** blkid: exit code and output. */
  readonly blkid?: readonly [number, string];
  readonly find?: Partial<BlockDevice> | "absent";
  /** Device number of the node in /dev; "" for another kind of file, or `absent`. */
  readonly stat?: string;
  readonly erased?: Awaited<ReturnType<NodeSystem["helper"]["eraseMarks"]>>;
  readonly mountinfo?: string;
}

/** A node whose machine answers as told, and the steps that it was asked for, in the order of their ends. */
export function machine(answers: Machine): Devices & {
  readonly steps: string[];
  readonly step: (name: string) => Promise<void>;
} {
  const steps: string[] = [];
  // Each step takes time: one that nobody waits for ends after the next.
  const step = async (name: string): Promise<void> => {
    for (let turn = 0; turn < 3; turn += 1) await settled();
    steps.push(name);
  };
  const counts = new Map<string, number>();
  const next = <T>(name: string, list: readonly T[], otherwise: T): T => {
    const count = counts.get(name) ?? 0;
    counts.set(name, count + 1);
    return list[Math.min(count, list.length - 1)] ?? otherwise;
  };
  const result = (code: number, stdout = ""): ExecResult => ({ code, stdout, stderr: "", truncated: false });
  const exec = async ({ program, args }: Command): Promise<ExecResult> => {
    const force = args.find((arg) => arg === "-F" || arg === "-f");
    const shown = force === undefined ? program : `${program} ${force}`;
    await step(program === "blockdev" ? args.join(" ") : shown);
    if (program === "blockdev") return result(answers.flush ?? 0);
    if (program === "blkid") return result(...(answers.blkid ?? ([2, ""] as const)));
    return result(0);
  };
  const system = createNodeSystem({
    exec,
    clock: {
      now: () => 0,
      monotonic: () => 0,
      // Only proofs wait for milliseconds; the watch of an mkfs must not spin.
      sleep: async (ms, signal) => {
        if (ms < 10_000) {
          // Longer than a step, as its end shows whether somebody has waited for it.
          for (let turn = 0; turn < 3; turn += 1) await settled();
          await step(`sleep ${ms}`);
        } else
          await new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
      },
    },
    sysRoot: "/nowhere",
    nodeNumber: async () => {
      await step("stat");
      return answers.stat === "absent" ? undefined : (answers.stat ?? DEVICE.number);
    },
    helper: {
      ...unusedHelper,
      findFilesystem: async (_path, size, filesystem) => {
        await step(`find ${filesystem} ${size}`);
        return next("found", answers.found ?? [], read(ZEROS));
      },
      lookForData: async (_path, size, deep) => {
        await step(`look ${size} ${deep ? "deep" : "quick"}`);
        return answers.blank ?? { kind: "blank", bytesRead: 1 };
      },
      writeMark: async (_path, number) => {
        await step(`mark ${number}`);
        return { kind: "done" };
      },
      eraseMarks: async (_path, number, _size, volume) => {
        await step(`unmark ${number} ${volume}`);
        return answers.erased ?? { kind: "done" };
      },
    },
  });
  const dataPath: Partial<DataPath> = {
    users: async () => {
      await step("users");
      return next("users", answers.users ?? [], []);
    },
    find: async () => {
      await step("connected");
      return answers.find === "absent" ? undefined : { ...DEVICE, ...answers.find };
    },
  };
  return { system, dataPath: dataPath as DataPath, steps, step };
}

/** Id of the error that a call fails with, or its result. */
export async function outcome(call: Promise<unknown>): Promise<unknown> {
  try {
    return await call;
  } catch (error) {
    return (error as { readonly id?: string }).id ?? error;
  }
}
