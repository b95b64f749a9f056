import { describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { writeImage } from "../../../test/support/images.ts";
import { BLOCK, EXT4, noDevices, type Volume } from "../../../test/support/loop-node.ts";
import type { PublishContext } from "../../domain/publish-context.ts";
import { exec } from "../../host/exec.ts";
import { lab, node, programs, ran, rig, stage, staging, unstage, useStageRig } from "./stage.fixture.ts";

describe.skipIf(noDevices !== "")(`NodeStageVolume refuses ${noDevices}`, () => {
  useStageRig();

  describe("never formats", () => {
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
      writeImage(volume.image, 5_000, "something");
      await refuses(volume, "deviceNotBlank", { filesystemState: "new" });
    });

    test("a used device with content only in the middle of a block group", async () => {
      const volume = lab.volume(200).export();
      writeImage(volume.image, 64 * 1024 * 1024 + 512 * 7, "x");
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
      rig.instead = (command) =>
        command.program === "blkid"
          ? Promise.resolve({ code: 2, stdout: "", stderr: "", truncated: false })
          : undefined;
      await refuses(volume, "deviceNotBlank", {});
    });

    test("when the helper cannot read the device", async () => {
      const volume = lab.volume(32).export();
      rig.instead = (command) =>
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
      rig.instead = (command) => {
        if (command.args.includes("blank")) looked = true;
        return undefined;
      };
      await expect(stage(volume, staging(), { on: deceived })).rejects.toMatchObject({ id: "deviceChanged" });
      expect(ran("mkfs.ext4")).toBe(false);
      looked = false;
    });
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
      [{ capability: { ...EXT4, accessMode: "MULTI_NODE_READER_ONLY" } }, "readersOnSeveralNodes"],
      [{ capability: { ...BLOCK, accessMode: "MULTI_NODE_READER_ONLY" } }, "readersOnSeveralNodes"],
      [{ capability: { ...BLOCK, accessMode: "MULTI_NODE_SINGLE_WRITER" } }, "readersOnSeveralNodes"],
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
    expect(rig.commands).toEqual([]);
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
});
