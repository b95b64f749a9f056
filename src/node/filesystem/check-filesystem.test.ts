import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync, spawnSync } from "node:child_process";
import { closeSync, copyFileSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
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
import { type Command, type Exec, exec } from "../../host/exec.ts";
import { readExt4State } from "../../mount/superblock.ts";

const CHECK = ["-f", "-p", "-j", "/dev/null", "--"];
const skipped = noDevices || ["e2fsck", "debugfs"].find((tool) => !hasTool(tool)) || "";

describe.skipIf(skipped !== "")(`check of an ext4 ${skipped}`, () => {
  let lab: Lab;
  let node: LabNode;
  let commands: Command[] = [];
  let instead: (command: Command) => ReturnType<Exec> | undefined = () => undefined;
  let count = 0;
  beforeAll(() => {
    lab = new Lab();
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

  const stage = async (volume: Volume, capability = EXT4, signal?: AbortSignal): Promise<string> => {
    count += 1;
    const path = lab.path(`staging-${count}`);
    mkdirSync(path);
    await node.service.stage({
      volumeId: volume.volumeId,
      publishContext: volume.context(node, { filesystemState: "used" }),
      stagingTargetPath: path,
      capability,
      volumeContext: {},
      signal,
    });
    return path;
  };
  const unstage = (volume: Volume, path = lab.path(`staging-${count}`)) =>
    node.service.unstage({ volumeId: volume.volumeId, stagingTargetPath: path });
  const checks = () =>
    commands.filter(({ program }) => program === "e2fsck").map(({ args }) => args.slice(0, -1));
  const debugfs = (volume: Volume, ...requests: string[]) => {
    for (const request of requests) {
      execFileSync("debugfs", ["-w", "-R", request, volume.image], { stdio: "ignore" });
    }
  };
  const markDamaged = (volume: Volume) =>
    debugfs(volume, "set_super_value state 2", "set_super_value error_count 3");
  const digest = (path: string) => execFileSync("sha256sum", ["--", path]).toString().slice(0, 64);
  /** A volume with an ext4 that holds a file of 3 MiB; answers the file's digest. */
  const withData = async (): Promise<[Volume, string]> => {
    const volume = lab.volume(32).export();
    const path = await stage(volume);
    execFileSync("dd", [
      "if=/dev/urandom",
      `of=${path}/data`,
      "bs=1M",
      "count=3",
      "conv=fsync",
      "status=none",
    ]);
    const sum = digest(`${path}/data`);
    await unstage(volume, path);
    commands = [];
    return [volume, sum];
  };

  test("a crash is replayed by the mount, without a check, and the data is there", async () => {
    const origin = lab.volume(32).export();
    const path = await stage(origin);
    execFileSync("dd", [
      "if=/dev/urandom",
      `of=${path}/data`,
      "bs=1M",
      "count=3",
      "conv=fsync",
      "status=none",
    ]);
    // As a power cut leaves it: what was synced is on the disk, the journal is not empty.
    const crashed = lab.volume(32).export();
    copyFileSync(origin.image, crashed.image);
    const sum = digest(`${path}/data`);
    await unstage(origin, path);
    expect(readExt4State(crashed.image)).toMatchObject({ needsRecovery: true, needsCheck: false });
    commands = [];
    const replayed = await stage(crashed);
    expect(checks()).toEqual([]);
    expect(digest(`${replayed}/data`)).toBe(sum);
    await unstage(crashed);
    expect(readExt4State(crashed.image)).toMatchObject({ needsRecovery: false, needsCheck: false });
  });

  test("clean: no check; marked: one check, then none; the data is intact", async () => {
    const [volume, sum] = await withData();
    await stage(volume);
    expect(checks()).toEqual([]);
    await unstage(volume);
    markDamaged(volume);
    expect(readExt4State(volume.image)).toMatchObject({ needsCheck: true, errorCount: 3 });
    const path = await stage(volume);
    expect(checks()).toEqual([CHECK]);
    expect(digest(`${path}/data`)).toBe(sum);
    await unstage(volume);
    expect(readExt4State(volume.image)).toMatchObject({ needsCheck: false, errorCount: 0 });
    commands = [];
    await stage(volume);
    expect(checks()).toEqual([]);
    await unstage(volume);
  });

  test("a crash and errors together: the check replays the journal first", async () => {
    const origin = lab.volume(32).export();
    const path = await stage(origin);
    execFileSync("dd", [
      "if=/dev/urandom",
      `of=${path}/data`,
      "bs=1M",
      "count=3",
      "conv=fsync",
      "status=none",
    ]);
    const crashed = lab.volume(32).export();
    copyFileSync(origin.image, crashed.image);
    const sum = digest(`${path}/data`);
    await unstage(origin, path);
    debugfs(crashed, "set_super_value error_count 1");
    commands = [];
    const replayed = await stage(crashed);
    expect(checks()).toHaveLength(1);
    expect(digest(`${replayed}/data`)).toBe(sum);
    await unstage(crashed);
  });

  test("damage that is safe to repair is repaired before the mount", async () => {
    const [volume, sum] = await withData();
    // Blocks and inode of a file are free in the bitmaps: the next write would overwrite it.
    const inode = /Inode: (\d+)/.exec(
      execFileSync("debugfs", ["-R", "stat /data", volume.image], {
        stdio: ["ignore", "pipe", "ignore"],
      }).toString(),
    )?.[1];
    debugfs(volume, `freei <${inode}>`, "set_super_value free_blocks_count 1");
    markDamaged(volume);
    const path = await stage(volume);
    writeFileSync(`${path}/more`, "x".repeat(2_000_000));
    expect(digest(`${path}/data`)).toBe(sum);
    await unstage(volume);
    expect(
      execFileSync("e2fsck", ["-f", "-n", volume.image], { stdio: ["ignore", "pipe", "ignore"] }),
    ).toBeDefined();
  });

  test("damage that is not: FAILED_PRECONDITION with advice, no mount, nothing left, never -y", async () => {
    const [volume] = await withData();
    debugfs(volume, "clri <2>");
    markDamaged(volume);
    const error = await stage(volume).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      id: "filesystemDamaged",
      code: 9,
      remedy: expect.stringContaining("e2fsck -f"),
    });
    expect(String(error)).toContain("RUN fsck MANUALLY");
    expect(checks()).toEqual([CHECK]);
    expect(commands.some(({ program }) => program === "mount")).toBe(false);
    expect(lab.loops()).toEqual([]);
    // The next call does not get further either.
    await expect(stage(volume)).rejects.toMatchObject({ id: "filesystemDamaged" });
  });

  test.each([
    [0, "staged"],
    [1, "staged"],
    [2, "staged"],
    [3, "staged"],
    [4, "filesystemDamaged"],
    [5, "filesystemDamaged"],
    [8, "filesystemNotChecked"],
    [12, "filesystemNotChecked"],
    [16, "filesystemNotChecked"],
    [32, "filesystemNotChecked"],
    [128, "filesystemNotChecked"],
    [null, "filesystemNotChecked"],
  ])("exit code %p of e2fsck: %s", async (code, expected) => {
    const [volume] = await withData();
    markDamaged(volume);
    instead = ({ program }) =>
      program === "e2fsck"
        ? Promise.resolve({ code, stdout: "", stderr: "injected", truncated: false })
        : undefined;
    const outcome = await stage(volume).then(
      () => "staged",
      (error: unknown) => (error instanceof DriverError ? error.id : String(error)),
    );
    expect(outcome).toBe(expected);
    expect(commands.some(({ program }) => program === "mount")).toBe(expected === "staged");
    await unstage(volume);
  });

  test.each([
    ["killed", ["-c", "kill -9 $$"], 60_000, "ended by SIGKILL"],
    ["past its deadline", ["-c", "sleep 60"], 50, "did not finish within"],
  ] as const)(
    "a check that is %s is UNAVAILABLE and no damage; the next call checks again",
    async (_, args, deadlineMs, said) => {
      const [volume, sum] = await withData();
      markDamaged(volume);
      instead = ({ program }) =>
        program === "e2fsck" ? exec({ program: "/bin/sh", args, deadlineMs }) : undefined;
      const error = await stage(volume).catch((reason: unknown) => reason);
      expect(error).toMatchObject({
        id: "filesystemNotChecked",
        code: 14,
        remedy: expect.stringContaining("checks again"),
      });
      expect(String(error)).toContain(said);
      expect(commands.some(({ program }) => program === "mount")).toBe(false);
      instead = () => undefined;
      const path = await stage(volume);
      expect(digest(`${path}/data`)).toBe(sum);
      await unstage(volume);
    },
  );

  test("the remedy works: as a block device it is repaired by hand, and then staged again", async () => {
    const [volume, sum] = await withData();
    debugfs(volume, "clri <2>");
    markDamaged(volume);
    await expect(stage(volume)).rejects.toMatchObject({
      id: "filesystemDamaged",
      remedy: expect.stringContaining("Work on a volume by hand"),
    });
    const path = await stage(volume, BLOCK);
    const target = lab.path("by-hand");
    const common = { volumeId: volume.volumeId, targetPath: target };
    const publishContext = volume.context(node, { filesystemState: "used" });
    const request = { stagingTargetPath: path, capability: BLOCK, readonly: false };
    await node.service.publish({ ...common, ...request, publishContext });
    // 1: errors corrected.
    expect(spawnSync("e2fsck", ["-f", "-y", target]).status).toBe(1);
    await node.service.unpublish(common);
    await unstage(volume, path);
    const again = await stage(volume);
    const found = execFileSync("find", [again, "-size", "+2M", "-exec", "sha256sum", "{}", ";"]).toString();
    expect(found.slice(0, 64)).toBe(sum);
    await unstage(volume);
  });

  test("not while anything has the device: it could be mounted in another container", async () => {
    const [volume] = await withData();
    markDamaged(volume);
    await stage(volume, BLOCK);
    const fd = openSync(`/dev/${lab.loops()[0]}`, "r");
    try {
      await expect(stage(volume)).rejects.toMatchObject({ id: "deviceInUse" });
      expect(checks()).toEqual([]);
    } finally {
      closeSync(fd);
    }
    await unstage(volume);
  });

  test("not for read-only staging, which must not write", async () => {
    const [volume, sum] = await withData();
    markDamaged(volume);
    const path = await stage(volume, { ...EXT4, accessMode: "SINGLE_NODE_READER_ONLY" });
    expect(checks()).toEqual([]);
    expect(digest(`${path}/data`)).toBe(sum);
    await unstage(volume);
    expect(readExt4State(volume.image)).toMatchObject({ needsCheck: true });
  });

  test("a check is not killed by the caller going away; the next call goes on", async () => {
    const [volume, sum] = await withData();
    markDamaged(volume);
    const controller = new AbortController();
    instead = (command) => {
      if (command.program !== "e2fsck") return undefined;
      expect(command.signal).toBeUndefined();
      expect(command.deadlineMs).toBeGreaterThan(3_600_000);
      controller.abort(failure("shuttingDown", {}));
      return undefined;
    };
    await expect(stage(volume, EXT4, controller.signal)).rejects.toMatchObject({ id: "shuttingDown" });
    expect(lab.loops()).toEqual([]);
    commands = [];
    const path = await stage(volume);
    expect(checks()).toEqual([]);
    expect(digest(`${path}/data`)).toBe(sum);
    await unstage(volume);
  });

  test("a superblock that cannot be read: UNAVAILABLE, neither checked nor mounted", async () => {
    const [volume] = await withData();
    for (const stdout of ['{"kind":"unreadable","detail":"EIO"}', "", "null?"]) {
      instead = ({ args }) =>
        args.includes("ext4") && !args.includes("-t")
          ? Promise.resolve({ code: 0, stdout, stderr: "", truncated: false })
          : undefined;
      await expect(stage(volume)).rejects.toMatchObject({ code: 14 });
    }
    expect(checks()).toEqual([]);
    expect(commands.some(({ program }) => program === "mount")).toBe(false);
    await unstage(volume);
  });

  test.skipIf(!hasTool("mkfs.xfs"))(
    "XFS is never repaired by itself: the error says what to do (mkfs.xfs)",
    async () => {
      const volume = lab.volume(320).export();
      execFileSync("mkfs.xfs", ["-q", volume.image]);
      // The headers of the first allocation group, behind the superblock.
      execFileSync("dd", [
        "if=/dev/urandom",
        `of=${volume.image}`,
        "bs=512",
        "seek=1",
        "count=3",
        "conv=notrunc",
        "status=none",
      ]);
      const damage = () => readFileSync(volume.image).subarray(512, 2048);
      const before = damage();
      const error = await stage(volume, { ...EXT4, fsType: "xfs" }).catch((reason: unknown) => reason);
      expect(error).toMatchObject({
        id: "filesystemDamaged",
        code: 9,
        remedy: expect.stringContaining("xfs_repair"),
      });
      expect(commands.some(({ program }) => /repair|fsck/.test(program))).toBe(false);
      expect(damage().equals(before)).toBe(true);
      expect(lab.loops()).toEqual([]);
    },
  );
});
