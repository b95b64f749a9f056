import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EXT4, hasTool, Lab, type LabNode, noDevices, type Volume } from "../../../test/support/loop-node.ts";
import type { Filesystem } from "../../domain/access-mode.ts";
import { exec } from "../../host/exec.ts";
import { SUPERBLOCK_SPAN, superblockDanger } from "../../mount/superblock.ts";

const MIB = 1024 * 1024;
const lacks = (...tools: string[]) => tools.find((tool) => !hasTool(tool)) ?? "";

describe("what a superblock asks for beyond its device", () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "rds-csi-unsafe-"));
  });
  afterAll(() => rmSync(directory, { recursive: true }));
  const file = (name: string, mib: number): string => {
    const path = join(directory, name);
    writeFileSync(path, "");
    truncateSync(path, mib * MIB);
    return path;
  };
  const dangerOf = (path: string, filesystem: Filesystem) =>
    superblockDanger(readFileSync(path).subarray(0, SUPERBLOCK_SPAN), filesystem);
  const run = (program: string, ...args: string[]) => execFileSync(program, args, { stdio: "ignore" });

  const noExt4 = lacks("mkfs.ext4", "tune2fs", "debugfs");
  test.skipIf(noExt4 !== "")(`ext4: a plain one asks for nothing ${noExt4}`, () => {
    const path = file("plain", 16);
    run("mkfs.ext4", "-q", path);
    expect(dangerOf(path, "ext4")).toBeUndefined();
    run("debugfs", "-w", "-R", "set_super_value mount_opts noatime,commit=30", path);
    expect(dangerOf(path, "ext4")).toBeUndefined();
    run("mkfs.ext4", "-q", "-F", "-O", "^has_journal", path);
    expect(dangerOf(path, "ext4")).toBeUndefined();
  });

  test
    .skipIf(noExt4 !== "")
    .each([
      ["journal_dev 0x700"],
      ["journal_inum 0"],
      ["journal_inum 0; journal_uuid 11111111-2222-3333-4444-555555555555"],
    ])(
    "ext4: a journal on another device is seen, also where only e2fsck would look for it: %s",
    (values) => {
      const path = file("journal", 16);
      run("mkfs.ext4", "-q", "-F", path);
      for (const value of values.split("; ")) run("debugfs", "-w", "-R", `set_super_value ${value}`, path);
      if (values.includes("uuid")) run("debugfs", "-w", "-R", "feature ^has_journal", path);
      expect(dangerOf(path, "ext4")).toBe("its journal is on another device");
    },
  );

  test.skipIf(noExt4 !== "").each([
    ["journal_path=/dev/sda", "journal_path: it brings another file or device into the mount"],
    ["noatime,journal_dev=0x700", "journal_dev: it brings"],
    ["noload", "noload: it leaves the journal unread"],
    ["abort", "abort: it exists to test"],
  ])("ext4: a mount option in the superblock is judged as one of a storage class: %s", (options, words) => {
    const path = file("options", 16);
    run("mkfs.ext4", "-q", "-F", path);
    run("debugfs", "-w", "-R", `set_super_value mount_opts ${options}`, path);
    expect(dangerOf(path, "ext4")).toContain(`its superblock holds the mount option ${words}`);
  });

  const noXfs = lacks("mkfs.xfs");
  test.skipIf(noXfs !== "")(
    `xfs: an external log and a realtime section are seen, a plain one asks for nothing ${noXfs}`,
    () => {
      const path = file("xfs", 320);
      run("mkfs.xfs", "-q", "-f", path);
      expect(dangerOf(path, "xfs")).toBeUndefined();
      run("mkfs.xfs", "-q", "-f", "-l", `logdev=${file("log", 80)},size=64m`, path);
      expect(dangerOf(path, "xfs")).toBe("its log is on another device");
      run("mkfs.xfs", "-q", "-f", "-r", `rtdev=${file("rt", 80)}`, path);
      expect(dangerOf(path, "xfs")).toBe("its realtime section is on another device");
    },
  );
});

const skipped = noDevices || lacks("tune2fs", "debugfs", "e2fsck");

describe.skipIf(skipped !== "")(`a superblock that is not to be trusted ${skipped}`, () => {
  let lab: Lab;
  let node: LabNode;
  const programs: string[] = [];
  beforeAll(() => {
    lab = new Lab();
    node = lab.node("node-a", {
      exec: (command) => {
        programs.push(command.program);
        return exec(command);
      },
    });
  });
  afterAll(() => lab.cleanUp());
  let count = 0;
  const stage = async (volume: Volume, mountFlags: readonly string[] = []): Promise<string> => {
    count += 1;
    const path = lab.path(`staging-${count}`);
    mkdirSync(path);
    const publishContext = volume.context(node, { filesystemState: "used" });
    const capability = { ...EXT4, mountFlags };
    const { volumeId } = volume;
    await node.service.stage({
      volumeId,
      publishContext,
      stagingTargetPath: path,
      capability,
      volumeContext: {},
    });
    return path;
  };
  const unstage = (volume: Volume, path: string) =>
    node.service.unstage({ volumeId: volume.volumeId, stagingTargetPath: path });

  test("one that asks for a panic of the node and for no barriers is overruled; a storage class may say what errors lead to", async () => {
    const volume = lab.volume(32).export();
    execFileSync("mkfs.ext4", ["-q", volume.image]);
    execFileSync("tune2fs", ["-e", "panic", "-o", "nobarrier", volume.image], { stdio: "ignore" });
    for (const [flags, errors] of [
      [[], "errors=remount-ro"],
      [["errors=continue"], "errors=continue"],
    ] as const) {
      const path = await stage(volume, flags);
      const options = lab.mountsAt(path).at(-1)?.superOptions ?? [];
      expect(options).toContain(errors);
      expect(options).not.toContain("errors=panic");
      expect(options).not.toContain("nobarrier");
      await unstage(volume, path);
    }
  });

  test("one whose journal is on another device is refused before a check and a mount, and the volume is let go", async () => {
    const volume = lab.volume(32).export();
    execFileSync("mkfs.ext4", ["-q", volume.image]);
    for (const request of ["journal_inum 0", "journal_dev 0x700", "state 2", "error_count 1"]) {
      execFileSync("debugfs", ["-w", "-R", `set_super_value ${request}`, volume.image], { stdio: "ignore" });
    }
    programs.length = 0;
    await expect(stage(volume)).rejects.toMatchObject({ id: "filesystemUnsafe", code: 9 });
    expect(programs).not.toContain("e2fsck");
    expect(programs).not.toContain("mount");
    expect(await node.dataPath.list()).toEqual([]);
  });
});
