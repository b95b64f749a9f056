import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, truncateSync } from "node:fs";
import { readImage as read, writeImage as write } from "../../../test/support/images.ts";
import {
  BLOCK,
  EXT4,
  hasTool,
  Lab,
  type LabNode,
  noDevices,
  type Volume,
} from "../../../test/support/loop-node.ts";
import { DriverError, failure } from "../../domain/errors/driver-error.ts";
import type { FilesystemState } from "../../domain/publish-context.ts";
import type { BlockDevice, DataPath } from "../../host/data-path.ts";
import { type Command, type Exec, exec } from "../../host/exec.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
/** Most cases; a multiple of 64 KiB, so the places counted from the end are where they are on a real disk. */
const SMALL = 24;

interface Case {
  readonly name: string;
  readonly mib?: number;
  /** A program that is needed to make it. */
  readonly tool?: string;
  readonly make: (image: string, size: number) => void;
}

const bytes =
  (offset: number | ((size: number) => number), content: string) => (image: string, size: number) =>
    write(image, typeof offset === "number" ? offset : offset(size), content);
const run = (program: string, ...args: string[]) => execFileSync(program, args, { stdio: "ignore" });
const mkfsExt4 = (image: string, ...args: string[]) => run("mkfs.ext4", "-q", "-F", ...args, image);
/** Zeroes a whole image except for what `keep` holds. */
const keepOnly = (image: string, size: number, keep: readonly (readonly [number, number])[]) => {
  const kept = keep.map(([offset, length]) => [offset, read(image, offset, length)] as const);
  truncateSync(image, 0);
  truncateSync(image, size);
  for (const [offset, content] of kept) write(image, offset, content);
};

const MD = "\xfc\x4e\x2b\xa9";
const MBR_ENTRY = "\x80\x20\x21\x00\x83\x10\x20\x30\x00\x08\x00\x00\x00\x80\x00\x00";
const GPT = "EFI PART\x00\x00\x01\x00\x5c\x00\x00\x00";
const LVM = "LABELONE\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00\x00LVM2 001";
const ZFS_UBERBLOCK = "\x0c\xb1\xba\x00\x00\x00\x00\x00\x88\x13\x00\x00";

const CASES: readonly Case[] = [
  {
    name: "MBR partition table",
    make: (image) => {
      write(image, 446, MBR_ENTRY);
      write(image, 510, "\x55\xaa");
    },
  },
  { name: "MBR signature alone", make: bytes(510, "\x55\xaa") },
  { name: "boot code without a signature", make: bytes(0, "\xeb\x63\x90") },
  { name: "GPT, primary header alone", make: bytes(512, GPT) },
  { name: "GPT of 4096-byte sectors, primary header alone", make: bytes(4096, GPT) },
  { name: "GPT, backup header alone", make: bytes((size) => size - 512, GPT) },
  {
    name: "GPT, backup entries alone",
    make: bytes((size) => size - 33 * 512, "\xaf\x3d\xc6\x0f\x83\x84\x72\x47"),
  },
  { name: "LVM physical volume", make: bytes(512, LVM) },
  { name: "LVM label in sector 0", make: bytes(0, LVM) },
  { name: "LVM metadata without a label", make: bytes(4096 + 4, " LVM2 x[5A%r0N*>") },
  { name: "LUKS1", make: bytes(0, "LUKS\xba\xbe\x00\x01aes") },
  { name: "LUKS2", make: bytes(0, "LUKS\xba\xbe\x00\x02") },
  { name: "LUKS2, second header alone", make: bytes(0x4000, "SKUL\xba\xbe\x00\x02") },
  { name: "LUKS2, second header of the largest kind alone", make: bytes(0x40_0000, "SKUL\xba\xbe\x00\x02") },
  { name: "LUKS header wiped, encrypted data behind it", make: bytes(0x8000, "\x8f\x11\x5c\x93") },
  { name: "swap", tool: "mkswap", make: (image) => run("mkswap", image) },
  { name: "swap of 64 KiB pages", make: bytes(64 * KIB - 10, "SWAPSPACE2") },
  { name: "hibernated swap", make: bytes(4096 - 10, "S1SUSPEND") },
  { name: "Btrfs", mib: 128, tool: "mkfs.btrfs", make: (image) => run("mkfs.btrfs", "-q", image) },
  { name: "Btrfs, magic alone", make: bytes(64 * KIB + 64, "_BHRfS_M") },
  { name: "Btrfs, copy at 64 MiB alone", mib: 72, make: bytes(64 * MIB + 64, "_BHRfS_M") },
  { name: "MD 0.90", make: bytes((size) => size - 64 * KIB, MD) },
  { name: "MD 1.0", make: bytes((size) => size - 8 * KIB, MD) },
  { name: "MD 1.1", make: bytes(0, MD) },
  { name: "MD 1.2", make: bytes(4096, MD) },
  { name: "NVIDIA RAID", make: bytes((size) => size - 2 * 512, "NVIDIA  ") },
  { name: "ZFS, first label", make: bytes(128 * KIB, ZFS_UBERBLOCK) },
  { name: "ZFS, second label alone", make: bytes((256 + 128) * KIB, ZFS_UBERBLOCK) },
  { name: "ZFS, third label alone", make: bytes((size) => size - 512 * KIB + 128 * KIB, ZFS_UBERBLOCK) },
  { name: "ZFS, last label alone", make: bytes((size) => size - 256 * KIB + 128 * KIB, ZFS_UBERBLOCK) },
  {
    name: "ext4 with a zeroed magic number",
    make: (image) => {
      mkfsExt4(image);
      write(image, KIB + 0x38, "\0\0");
    },
  },
  {
    name: "ext4 with a zeroed superblock",
    make: (image) => {
      mkfsExt4(image);
      write(image, KIB, Buffer.alloc(KIB));
    },
  },
  {
    name: "ext4, the second half of its superblock torn",
    make: (image) => {
      mkfsExt4(image);
      write(image, KIB, Buffer.alloc(512, 0xff));
    },
  },
  {
    name: "ext4 of 1 KiB blocks, one backup superblock alone",
    make: (image, size) => {
      mkfsExt4(image, "-b", "1024");
      keepOnly(image, size, [[8193 * KIB, KIB]]);
    },
  },
  {
    name: "ext4 of 4 KiB blocks, one backup superblock alone",
    mib: 160,
    make: (image, size) => {
      mkfsExt4(image, "-b", "4096");
      keepOnly(image, size, [[32768 * 4 * KIB, KIB]]);
    },
  },
  {
    name: "ext4, everything zero but its last group descriptor block",
    make: (image, size) => {
      mkfsExt4(image, "-b", "4096");
      keepOnly(image, size, [[4096, 4096]]);
    },
  },
  {
    name: "XFS with a zeroed first sector",
    mib: 320,
    tool: "mkfs.xfs",
    make: (image) => {
      run("mkfs.xfs", "-q", image);
      write(image, 0, Buffer.alloc(512));
    },
  },
  {
    name: "XFS, first 8 MiB zeroed",
    mib: 320,
    tool: "mkfs.xfs",
    make: (image) => {
      run("mkfs.xfs", "-q", image);
      write(image, 0, Buffer.alloc(8 * MIB));
    },
  },
  {
    name: "XFS, one secondary superblock alone",
    mib: 320,
    tool: "mkfs.xfs",
    make: (image, size) => {
      run("mkfs.xfs", "-q", image);
      keepOnly(image, size, [[80 * MIB, 512]]);
    },
  },
  { name: "XFS magic alone", make: bytes(0, "XFSB") },
  { name: "another filesystem (ext2)", make: (image) => run("mkfs.ext4", "-q", "-F", "-t", "ext2", image) },
  { name: "one byte at the very start", make: bytes(0, "\x01") },
  { name: "one byte at the very end", make: bytes((size) => size - 1, "\x01") },
  { name: "0xff all over", make: (image, size) => write(image, 0, Buffer.alloc(size, 0xff)) },
];

describe.skipIf(noDevices !== "")(`no case formats ${noDevices}`, () => {
  let lab: Lab;
  let node: LabNode;
  let commands: Command[] = [];
  let instead: (command: Command) => ReturnType<Exec> | undefined = () => undefined;
  let count = 0;
  const spying: Exec = (command) => {
    commands.push(command);
    return instead(command) ?? exec(command);
  };
  beforeAll(() => {
    lab = new Lab();
    node = lab.node("node-a", { exec: spying });
  });
  afterAll(() => lab.cleanUp());
  afterEach(() => {
    instead = () => undefined;
    commands = [];
  });

  const stage = (volume: Volume, state: FilesystemState, on = node, capability = EXT4) => {
    count += 1;
    const path = lab.path(`staging-${count}`);
    mkdirSync(path);
    return on.service.stage({
      volumeId: volume.volumeId,
      publishContext: volume.context(on, { filesystemState: state }),
      stagingTargetPath: path,
      capability,
      volumeContext: {},
    });
  };
  const unstage = (volume: Volume) =>
    node.service.unstage({ volumeId: volume.volumeId, stagingTargetPath: lab.path("nowhere") });
  /** A copy to compare with; quick for sparse images, unlike a hash. */
  const remember = (path: string) => {
    execFileSync("cp", ["--sparse=always", "--", path, `${path}.before`]);
    return () => run("cmp", "--", path, `${path}.before`);
  };
  const formatted = () =>
    commands.filter(({ program }) => /mkfs|mke2fs|e2fsck|wipefs|blkdiscard/.test(program));
  /** Stages, expects a refusal, and proves that nothing was formatted and no byte changed. */
  const refused = async (volume: Volume, work: () => Promise<void>): Promise<DriverError> => {
    const unchanged = remember(volume.image);
    const error = await work().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (!(error instanceof DriverError)) throw new Error(`not refused: ${String(error)}`);
    expect(formatted()).toEqual([]);
    unchanged();
    return error;
  };

  for (const { name, mib = SMALL, tool, make } of CASES) {
    test.skipIf(tool !== undefined && !hasTool(tool))(
      `${name}${tool === undefined ? "" : ` (needs ${tool})`}`,
      async () => {
        const volume = lab.volume(mib).export();
        make(volume.image, volume.size);
        for (const state of ["new", "used", "keep"] as const) {
          const error = await refused(volume, () => stage(volume, state));
          expect(["deviceNotBlank", "filesystemMismatch", "filesystemMissing", "signatureUnclear"]).toContain(
            error.id,
          );
          expect(error.code).toBe(9);
        }
        expect(lab.loops()).toEqual([]);
        rmSync(volume.image);
        rmSync(`${volume.image}.before`);
      },
    );
  }

  test("the same device, blank, is formatted: the cases above would have been", async () => {
    const volume = lab.volume(SMALL).export();
    await stage(volume, "new");
    expect(formatted().map(({ program }) => program)).toEqual(["mkfs.ext4"]);
    await node.service.unstage({
      volumeId: volume.volumeId,
      stagingTargetPath: lab.path(`staging-${count}`),
    });
  });

  describe("faults", () => {
    test("a device whose end cannot be read (EIO from the kernel)", async () => {
      const volume = lab.volume(64).export();
      await stage(volume, "new", node, BLOCK);
      truncateSync(volume.image, 32 * MIB);
      const error = await refused(volume, () => stage(volume, "new"));
      expect(error).toMatchObject({
        id: "deviceUnreadable",
        code: 14,
        message: expect.stringContaining("EIO"),
      });
      await unstage(volume);
    });

    const answers: [string, (command: Command) => ReturnType<Exec> | undefined, string][] = [
      ["the look is killed", (command) => answer(command, "blank", { code: null }), "nodeStateUnknown"],
      ["the look crashes", (command) => answer(command, "blank", { code: 139 }), "nodeStateUnknown"],
      ["the look says nothing", (command) => answer(command, "blank", { stdout: "" }), "nodeStateUnknown"],
      ["the look hangs", (command) => hang(command, "blank"), "deadlineExceeded"],
      ["the users cannot be seen", (command) => answer(command, "inspect", { code: 1 }), "nodeStateUnknown"],
      ["the search for users hangs", (command) => hang(command, "inspect"), "deadlineExceeded"],
      ["blkid is killed", (command) => answer(command, "blkid", { code: null }), "deviceUnreadable"],
      ["blkid hangs", (command) => hang(command, "blkid"), "deadlineExceeded"],
      ["blkid finds two things", (command) => answer(command, "blkid", { code: 8 }), "signatureUnclear"],
      [
        "blkid says yes without a type",
        (command) => answer(command, "blkid", { code: 0 }),
        "deviceUnreadable",
      ],
      [
        "the cache cannot be dropped",
        (command) => answer(command, "blockdev", { code: 1 }),
        "deviceUnreadable",
      ],
    ];
    test.each(answers)("%s", async (_, replaced, id) => {
      const volume = lab.volume(SMALL).export();
      instead = replaced;
      expect((await refused(volume, () => stage(volume, "new"))).id).toBe(id as DriverError["id"]);
      instead = () => undefined;
      await unstage(volume);
    });

    /** A node whose device has a node of its own in the lab's directory, which a test may replace. */
    const withOwnNode = (after: (device: BlockDevice) => void, devicePath: string) => {
      const moved = (device: BlockDevice | undefined) => device && { ...device, path: devicePath };
      const wrap = (real: DataPath): DataPath => ({
        ...real,
        connect: async (target, signal) => {
          const device = await real.connect(target, signal);
          after(device);
          return { ...device, path: devicePath };
        },
        find: async (nqn, signal) => moved(await real.find(nqn, signal)),
        list: async (signal) =>
          (await real.list(signal)).map((each) => ({ ...each, device: moved(each.device) })),
      });
      return lab.node("node-a", { exec: spying }, wrap);
    };
    const mknod = (path: string, number: string) => run("mknod", path, "b", ...number.split(":"));

    test("a device that appears late: refused until its node is there, formatted once it is", async () => {
      const volume = lab.volume(SMALL).export();
      const path = lab.path("late");
      let number = "";
      const on = withOwnNode((device) => {
        number = device.number;
      }, path);
      const error = await refused(volume, () => stage(volume, "new", on));
      expect(error).toMatchObject({ id: "deviceChanged", message: expect.stringContaining("absent") });
      mknod(path, number);
      commands = [];
      await stage(volume, "new", on);
      expect(formatted()).toHaveLength(1);
      await on.service.unstage({
        volumeId: volume.volumeId,
        stagingTargetPath: lab.path(`staging-${count}`),
      });
    });

    test.each(["before the users are looked for", "after it"])(
      "a device that is swapped between the proof and mkfs, %s",
      async (moment) => {
        const precious = lab.volume(SMALL).export();
        await stage(precious, "new", node, BLOCK);
        const victim = (await node.dataPath.find(precious.nqn))?.number ?? "";
        write(precious.image, 12 * MIB, "precious");
        const intact = remember(precious.image);
        commands = [];
        const volume = lab.volume(SMALL).export();
        const path = lab.path(`swapped-${count}`);
        const on = withOwnNode((device) => mknod(path, device.number), path);
        // The search for users before the proof may take several looks.
        let isProven = false;
        let isSwapped = false;
        instead = (command) => {
          const isProof = command.args.includes("blank");
          const isMoment = isProof ? moment !== "after it" : isProven && command.args.includes("inspect");
          isProven ||= isProof;
          if (isSwapped || !isMoment) return undefined;
          isSwapped = true;
          return exec(command).finally(() => {
            rmSync(path);
            mknod(path, victim);
          });
        };
        const error = await refused(volume, () => stage(volume, "new", on));
        expect(error.id).toBe("deviceChanged");
        intact();
        instead = () => undefined;
        await unstage(volume);
        await unstage(precious);
      },
    );

    test("data that somebody writes after blkid has looked", async () => {
      const volume = lab.volume(SMALL).export();
      instead = (command) =>
        command.program === "blkid"
          ? exec(command).finally(() => write(volume.image, 4 * MIB, "meanwhile"))
          : undefined;
      await expect(stage(volume, "new")).rejects.toMatchObject({ id: "deviceNotBlank" });
      expect(formatted()).toEqual([]);
      expect(read(volume.image, 4 * MIB, 9).toString()).toBe("meanwhile");
    });
  });

  /** Answers in place of a program or a helper operation. */
  function answer(command: Command, name: string, result: { code?: number | null; stdout?: string }) {
    if (command.program !== name && !command.args.includes(name)) return undefined;
    return Promise.resolve({ code: 0, stdout: "{}", stderr: "injected", truncated: false, ...result });
  }
  function hang(command: Command, name: string) {
    if (command.program !== name && !command.args.includes(name)) return undefined;
    return Promise.reject(failure("deadlineExceeded", { what: name, seconds: 1 }));
  }
});
