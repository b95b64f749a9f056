import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import {
  BLOCK,
  EXT4,
  hasTool,
  Lab,
  type LabNode,
  noDevices,
  type Volume,
} from "../../../test/support/loop-node.ts";
import type { Capability } from "../../domain/access-mode.ts";
import { failure } from "../../domain/errors/driver-error.ts";
import type { PublishContext } from "../../domain/publish-context.ts";
import { type Command, type Exec, exec } from "../../host/exec.ts";

describe.skipIf(noDevices !== "")(`NodeStageVolume ${noDevices}`, () => {
  let lab: Lab;
  let count = 0;
  let commands: Command[];
  /** Replaces a program's run. */
  let instead: (command: Command) => ReturnType<Exec> | undefined;
  let node: LabNode;
  beforeAll(() => {
    lab = new Lab();
    commands = [];
    instead = () => undefined;
    node = lab.node("node-a", {
      exec: (command) => {
        commands.push(command);
        return instead(command) ?? exec(command);
      },
    });
  });
  afterAll(() => lab.cleanUp());
  afterEach(() => {
    instead = () => undefined;
    commands = [];
  });

  const programs = (): readonly string[] => commands.map((command) => command.program);
  const ran = (program: string) => programs().includes(program);
  const staging = () => {
    count += 1;
    const path = lab.path(`staging-${count}`);
    mkdirSync(path);
    return path;
  };
  const stage = (
    volume: Volume,
    path: string,
    more: {
      capability?: Capability;
      context?: Partial<PublishContext>;
      on?: LabNode;
      signal?: AbortSignal;
    } = {},
  ) => {
    const on = more.on ?? node;
    return on.service.stage({
      volumeId: volume.volumeId,
      publishContext: volume.context(on, more.context),
      stagingTargetPath: path,
      capability: more.capability ?? EXT4,
      volumeContext: {},
      signal: more.signal,
    });
  };
  const unstage = (volume: Volume, path: string, on = node) =>
    on.service.unstage({ volumeId: volume.volumeId, stagingTargetPath: path });

  test("restage of a healthy mount: no mkfs, no mount, no probe, no disconnect", async () => {
    const volume = lab.volume(32).export();
    const path = staging();
    await stage(volume, path);
    expect(programs().filter((name) => name.startsWith("mkfs"))).toEqual(["mkfs.ext4"]);
    writeFileSync(`${path}/precious`, "1");
    commands = [];
    await stage(volume, path);
    await stage(volume, `${path}/`, { context: { filesystemState: "used" } });
    expect(programs().filter((name) => name !== "stat")).toEqual([]);
    expect(readFileSync(`${path}/precious`, "utf8")).toBe("1");
    expect(lab.mountsAt(path)).toHaveLength(1);
    await unstage(volume, path);
  });

  test("crash between connect and mount: another process goes on", async () => {
    const volume = lab.volume(32).export();
    const path = staging();
    instead = (command) =>
      command.program === "mount" ? Promise.reject(new Error("killed here")) : undefined;
    const crashed = lab.node("node-a", { exec: node.system.exec }, (dataPath) => ({
      ...dataPath,
      // A crash undoes nothing.
      disconnect: async () => {},
    }));
    await expect(stage(volume, path, { on: crashed })).rejects.toThrow("killed here");
    expect(lab.loops()).toHaveLength(1);
    instead = () => undefined;
    commands = [];
    await stage(volume, path, { context: { filesystemState: "used" } });
    expect(ran("mkfs.ext4")).toBe(false);
    expect(lab.mountsAt(path)).toHaveLength(1);
    await unstage(volume, path);
  });

  for (const program of ["blkid", "mkfs.ext4", "mount", "blockdev"]) {
    test(`a failing ${program} undoes what this call did`, async () => {
      const volume = lab.volume(32).export();
      const path = lab.path(`made-${program}`);
      instead = (command) =>
        command.program === program
          ? Promise.resolve({ code: 1, stdout: "", stderr: "boom", truncated: false })
          : undefined;
      await expect(stage(volume, path)).rejects.toThrow("boom");
      expect(lab.loops()).toEqual([]);
      expect(lab.mountsAt(path)).toEqual([]);
      expect(existsSync(path)).toBe(false);
    });
  }

  test("a failure leaves alone what was there before: connection stays", async () => {
    const volume = lab.volume(32).export();
    const path = staging();
    await stage(volume, path, { capability: BLOCK });
    instead = (command) =>
      command.program === "mount"
        ? Promise.resolve({ code: 32, stdout: "", stderr: "boom", truncated: false })
        : undefined;
    await expect(stage(volume, path)).rejects.toMatchObject({ id: "mountFailed" });
    expect(lab.loops()).toHaveLength(1);
    await unstage(volume, path);
  });

  test("aborted in the middle: undone although the signal is aborted, and reported as such", async () => {
    const volume = lab.volume(32).export();
    const path = staging();
    const controller = new AbortController();
    const reason = failure("deadlineExceeded", { what: "NodeStageVolume", seconds: 1 });
    instead = (command) => {
      if (command.program === "blkid") controller.abort(reason);
      return undefined;
    };
    await expect(stage(volume, path, { signal: controller.signal })).rejects.toBe(reason);
    expect(lab.loops()).toEqual([]);
    await stage(volume, path);
    await unstage(volume, path);
  });

  test("mkfs is not killed by the caller going away", async () => {
    const volume = lab.volume(32).export();
    const path = staging();
    const controller = new AbortController();
    instead = (command) => {
      if (command.program === "mkfs.ext4") {
        controller.abort(failure("shuttingDown", {}));
        expect(command.signal?.aborted).toBe(false);
      }
      return undefined;
    };
    await expect(stage(volume, path, { signal: controller.signal })).rejects.toMatchObject({
      id: "shuttingDown",
    });
    commands = [];
    await stage(volume, path, { context: { filesystemState: "used" } });
    expect(ran("mkfs.ext4")).toBe(false);
    await unstage(volume, path);
  });

  describe("never formats", () => {
    const write = (volume: Volume, offset: number, text: string) => {
      const fd = openSync(volume.image, "r+");
      writeSync(fd, text, offset);
      closeSync(fd);
    };
    const refuses = async (
      volume: Volume,
      id: string,
      context: Partial<PublishContext>,
      capability = EXT4,
    ) => {
      const before = execFileSync("sha256sum", [volume.image]).toString();
      await expect(stage(volume, staging(), { context, capability })).rejects.toMatchObject({ id });
      expect(programs().filter((name) => name.startsWith("mkfs"))).toEqual([]);
      expect(execFileSync("sha256sum", [volume.image]).toString()).toBe(before);
      expect(lab.loops()).toEqual([]);
    };

    test("a blank device of a volume that must hold data", async () => {
      await refuses(lab.volume(32).export(), "filesystemMissing", { filesystemState: "keep" });
    });

    test("a device with unknown content", async () => {
      const volume = lab.volume(32).export();
      write(volume, 5_000, "something");
      await refuses(volume, "deviceNotBlank", { filesystemState: "new" });
    });

    test("a used device with content only in the middle of a block group", async () => {
      const volume = lab.volume(200).export();
      write(volume, 64 * 1024 * 1024 + 512 * 7, "x");
      await refuses(volume, "deviceNotBlank", { filesystemState: "used" });
    });

    test("another filesystem than asked for, a swap area", async () => {
      const ext4 = lab.volume(32).export();
      execFileSync("mkfs.ext4", ["-q", "-F", ext4.image]);
      await refuses(ext4, "filesystemMismatch", {}, { ...EXT4, fsType: "xfs" });
      const swap = lab.volume(32).export();
      execFileSync("mkswap", ["-q", swap.image], { stdio: "ignore" });
      await refuses(swap, "filesystemMismatch", {});
    });

    test("a device that blkid cannot read although it says nothing is there", async () => {
      const volume = lab.volume(32).export();
      execFileSync("mkfs.ext4", ["-q", "-F", "-t", "ext3", volume.image]);
      // Exit code 2 also means that blkid could not read (reference-driver.md, 5.6).
      instead = (command) =>
        command.program === "blkid"
          ? Promise.resolve({ code: 2, stdout: "", stderr: "", truncated: false })
          : undefined;
      await refuses(volume, "deviceNotBlank", {});
    });

    test("when the helper cannot read the device", async () => {
      const volume = lab.volume(32).export();
      instead = (command) =>
        command.args.includes("blank")
          ? Promise.resolve({
              code: 0,
              stdout: JSON.stringify({ kind: "unreadable", detail: "EIO" }),
              stderr: "",
              truncated: false,
            })
          : undefined;
      await refuses(volume, "deviceUnreadable", {});
    });

    test("a device that somebody else has open", async () => {
      const volume = lab.volume(32).export();
      const path = staging();
      await stage(volume, path, { capability: BLOCK });
      const fd = openSync(`/dev/${lab.loops()[0]}`, "r");
      try {
        await expect(stage(volume, path)).rejects.toMatchObject({ id: "deviceInUse" });
      } finally {
        closeSync(fd);
      }
      expect(ran("mkfs.ext4")).toBe(false);
      await unstage(volume, path);
    });

    test("a device that became another one after the probe", async () => {
      const volume = lab.volume(32).export();
      let looked = false;
      const deceived = lab.node("node-a", { exec: node.system.exec }, (dataPath) => ({
        ...dataPath,
        find: async (nqn) => {
          const device = await dataPath.find(nqn);
          return device && looked ? { ...device, number: "7:250" } : device;
        },
      }));
      instead = (command) => {
        if (command.args.includes("blank")) looked = true;
        return undefined;
      };
      await expect(stage(volume, staging(), { on: deceived })).rejects.toMatchObject({ id: "deviceChanged" });
      expect(ran("mkfs.ext4")).toBe(false);
      looked = false;
    });
  });

  test.skipIf(!hasTool("mkfs.xfs"))("xfs, with allowed flags, read-only modes (mkfs.xfs)", async () => {
    const volume = lab.volume(320).export();
    const path = staging();
    const capability: Capability = { ...EXT4, fsType: "xfs", mountFlags: ["noatime", "nosuid"] };
    await stage(volume, path, { capability });
    expect(lab.mountsAt(path)[0]).toMatchObject({ fsType: "xfs" });
    expect(lab.mountsAt(path)[0]?.options).toEqual(expect.arrayContaining(["noatime", "nosuid"]));
    const readOnly: Capability = { ...capability, accessMode: "SINGLE_NODE_READER_ONLY" };
    await expect(stage(volume, path, { capability: readOnly })).rejects.toMatchObject({
      id: "stagedDifferently",
    });
    await expect(stage(volume, path)).rejects.toMatchObject({ id: "stagedDifferently" });
    await unstage(volume, path);
    await stage(volume, path, { capability: readOnly, context: { filesystemState: "keep" } });
    expect(lab.mountsAt(path)[0]?.options).toContain("ro");
    expect(lab.mountsAt(path)[0]?.superOptions).toContain("nouuid");
    expect(() => writeFileSync(`${path}/x`, "")).toThrow("EROFS");
    await unstage(volume, path);
  });

  test("mount options reach the kernel, an SELinux context as kubelet quotes it; what it does not know it refuses", async () => {
    const volume = lab.volume(32).export();
    const path = staging();
    const context = 'context="system_u:object_r:container_file_t:s0:c15,c25"';
    const mountFlags = ["nosymfollow", context, "discard", "commit=17", "_netdev"];
    await stage(volume, path, { capability: { ...EXT4, mountFlags } });
    const [mounted] = lab.mountsAt(path);
    expect(mounted?.options).toContain("nosymfollow");
    expect(mounted?.superOptions).toEqual(expect.arrayContaining(["discard", "commit=17"]));
    expect(commands.find(({ program }) => program === "mount")?.args.join(" ")).toContain(`,${context},`);
    await unstage(volume, path);
    const unknown: Capability = { ...EXT4, mountFlags: ["no_such_option=1"] };
    await expect(
      stage(volume, path, { capability: unknown, context: { filesystemState: "used" } }),
    ).rejects.toMatchObject({
      id: "mountFailed",
      remedy: expect.stringContaining("mount option"),
    });
    expect(lab.loops()).toEqual([]);
  });

  test("a new epoch: the old connection is released first, also from under the staging mount", async () => {
    const volume = lab.volume(32).export();
    const path = staging();
    await stage(volume, path);
    writeFileSync(`${path}/kept`, "x");
    volume.withdraw().epoch = 2;
    volume.export();
    await stage(volume, path, { context: { filesystemState: "used" } });
    expect((await node.dataPath.list()).map(({ epoch }) => epoch)).toEqual([2]);
    expect(readFileSync(`${path}/kept`, "utf8")).toBe("x");
    volume.epoch = 1;
    await expect(stage(volume, path)).rejects.toMatchObject({ id: "epochOutdated" });
    volume.epoch = 2;
    await unstage(volume, path);
  });

  test("a new epoch while the old one is in use: refused, nothing is touched", async () => {
    const volume = lab.volume(32).export();
    const path = staging();
    const bind = staging();
    await stage(volume, path);
    execFileSync("mount", ["--bind", path, bind]);
    volume.epoch = 2;
    volume.export();
    await expect(stage(volume, path)).rejects.toMatchObject({
      id: "deviceInUse",
      message: expect.stringContaining(bind),
    });
    expect(lab.mountsAt(path)).toHaveLength(1);
    expect((await node.dataPath.list()).map(({ epoch }) => epoch)).toEqual([1]);
    execFileSync("umount", [bind]);
    await stage(volume, path, { context: { filesystemState: "used" } });
    await unstage(volume, path);
  });

  test("an adopted volume has no epoch in its NQN", async () => {
    const volume = lab.volume(32);
    volume.epoch = 0;
    volume.export();
    const path = staging();
    await stage(volume, path);
    await unstage(volume, path);
    expect(lab.loops()).toEqual([]);
  });

  test("a staging mount whose device has vanished is replaced; unstage removes it, too", async () => {
    const volume = lab.volume(32).export();
    const path = staging();
    await stage(volume, path);
    // A sysfs that knows the loop devices, but no device by number: what is mounted looks dead.
    const sysRoot = lab.path(`sys-${count}`);
    mkdirSync(`${sysRoot}/dev/block`, { recursive: true });
    symlinkSync("/sys/block", `${sysRoot}/block`);
    const blind = lab.node("node-a", { sysRoot, exec: node.system.exec });
    commands = [];
    await stage(volume, path, { on: blind, context: { filesystemState: "used" } });
    expect(lab.mountsAt(path)).toHaveLength(1);
    expect(programs().filter((name) => /mount|mkfs/.test(name))).toEqual(["umount", "mount"]);
    const stranger = lab.node("node-x", { sysRoot });
    await unstage(volume, path, stranger);
    expect(lab.mountsAt(path)).toEqual([]);
    expect(lab.loops()).toHaveLength(1);
    await unstage(volume, path);
    expect(lab.loops()).toEqual([]);
  });

  test("a used volume whose device multipathd or LVM holds: the refusal names the holder, as for a new one", async () => {
    const volume = lab.volume(32).export();
    const path = staging();
    await stage(volume, path);
    await unstage(volume, path);
    const holder = "held by dm-0 (multipath map mpatha of multipathd)";
    let held = false;
    const on = lab.node(
      "node-a",
      {
        exec: async (command) => {
          if (command.program !== "mount") return await exec(command);
          held = true;
          const stderr = `mount: ${path}: ${command.args.at(-2)} already mounted or mount point busy.`;
          return { code: 32, stdout: "", stderr, truncated: false };
        },
      },
      (dataPath) => ({
        ...dataPath,
        users: async (device) =>
          held ? [{ kind: "holder", description: holder }] : await dataPath.users(device),
      }),
    );
    const staged = stage(volume, path, { on, context: { filesystemState: "used" } });
    await expect(staged).rejects.toMatchObject({
      id: "deviceInUse",
      code: 9,
      summary: expect.stringContaining(holder),
    });
    // The connection stays, as somebody has it.
    await unstage(volume, path);
  });

  test("a staging path with content is refused: nothing is formatted, mounted or left connected", async () => {
    const volume = lab.volume(32).export();
    const path = staging();
    for (let each = 0; each < 7; each += 1) writeFileSync(`${path}/file-${each}`, "content");
    await expect(stage(volume, path)).rejects.toMatchObject({
      id: "pathNotEmpty",
      code: 9,
      summary: expect.stringContaining('"file-4" and 2 more'),
    });
    expect(ran("mkfs.ext4")).toBe(false);
    expect(lab.mountsAt(path)).toEqual([]);
    expect(lab.loops()).toEqual([]);
    expect(readdirSync(path)).toHaveLength(7);
  });

  test("a foreign mount at the staging path stays", async () => {
    const volume = lab.volume(32).export();
    const path = staging();
    execFileSync("mount", ["-t", "tmpfs", "none", path]);
    await expect(stage(volume, path)).rejects.toMatchObject({ id: "pathOccupied" });
    await expect(stage(volume, path, { capability: BLOCK })).rejects.toMatchObject({ id: "pathOccupied" });
    await expect(unstage(volume, path)).rejects.toMatchObject({ id: "pathOccupied" });
    expect(lab.mountsAt(path)).toHaveLength(1);
    execFileSync("umount", [path]);
    expect(lab.loops()).toEqual([]);
  });

  test("block where a filesystem is staged: ALREADY_EXISTS", async () => {
    const volume = lab.volume(32).export();
    const path = staging();
    await stage(volume, path);
    await expect(stage(volume, path, { capability: BLOCK })).rejects.toMatchObject({
      id: "stagedDifferently",
      code: 6,
    });
    await unstage(volume, path);
  });

  test("size: grown meanwhile is fine, too small is refused", async () => {
    const volume = lab.volume(32).export();
    const path = staging();
    await stage(volume, path, { capability: BLOCK });
    volume.grow(40);
    await stage(volume, path, { capability: BLOCK });
    await stage(volume, path, { capability: BLOCK, context: { sizeBytes: 32n * 1024n * 1024n } });
    const context = { sizeBytes: 41n * 1024n * 1024n };
    await expect(stage(volume, path, { capability: BLOCK, context })).rejects.toMatchObject({
      id: "deviceTooSmall",
    });
    await unstage(volume, path);
  });

  test("refused before anything is connected", async () => {
    const volume = lab.volume(4).export();
    const other = lab.volume(4);
    const path = staging();
    const cases: [Parameters<typeof stage>[2], string][] = [
      [{ context: { hostNqn: "nqn.2014-08.org.nvmexpress:uuid:x" } }, "hostIdentityMismatch"],
      [{ context: { nqn: "nqn.2019-01.com.example:vol" } }, "nqnForeign"],
      [{ context: { nqn: other.nqn } }, "nqnForeign"],
      [{ capability: { ...EXT4, accessMode: "MULTI_NODE_MULTI_WRITER" } }, "rwxFilesystem"],
      [{ capability: { ...EXT4, accessMode: "MULTI_NODE_READER_ONLY" } }, "capabilityUnsupported"],
      [{ capability: { ...EXT4, fsType: "btrfs" } }, "capabilityUnsupported"],
      [{ capability: { ...EXT4, fsType: "../ext4" } }, "capabilityUnsupported"],
      [{ capability: { ...EXT4, mountFlags: ["x-mount.mkdir"] } }, "mountFlagRefused"],
      [{ capability: { ...EXT4, mountFlags: ["ro,remount"] } }, "mountFlagRefused"],
      [{ capability: { ...EXT4, mountFlags: ["loop=/dev/loop9"] } }, "mountFlagRefused"],
    ];
    for (const [more, id] of cases) await expect(stage(volume, path, more)).rejects.toMatchObject({ id });
    await expect(stage(volume, "relative/path")).rejects.toMatchObject({ id: "fieldInvalid" });
    await expect(stage(volume, `${path}/../x`)).rejects.toMatchObject({ id: "fieldInvalid" });
    await expect(stage(volume, "/")).rejects.toMatchObject({ id: "fieldInvalid" });
    await expect(stage(volume, `${path}\n`)).rejects.toMatchObject({ id: "fieldInvalid" });
    await expect(stage(volume, lab.path("none", "deeper"))).rejects.toMatchObject({ id: "parentMissing" });
    expect(commands).toEqual([]);
    expect(lab.loops()).toEqual([]);
  });

  test("a symbolic link as staging path is refused; one in its parents is resolved", async () => {
    const volume = lab.volume(32).export();
    const real = staging();
    const link = lab.path("link");
    symlinkSync(real, link);
    await expect(stage(volume, link)).rejects.toMatchObject({ id: "pathOccupied" });
    expect(lab.loops()).toEqual([]);
    mkdirSync(`${real}/inner`);
    await stage(volume, `${link}/inner`);
    expect(lab.mountsAt(`${real}/inner`)).toHaveLength(1);
    await stage(volume, `${real}/inner`);
    await unstage(volume, `${link}/inner`);
    expect(lab.loops()).toEqual([]);
  });

  test("not exported: UNAVAILABLE, nothing is left", async () => {
    const volume = lab.volume(4);
    await expect(stage(volume, staging())).rejects.toMatchObject({ id: "connectRefused", code: 14 });
    expect(lab.loops()).toEqual([]);
  });
});
