import { describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { BLOCK, EXT4, hasTool, noDevices } from "../../../test/support/loop-node.ts";
import type { Capability } from "../../domain/access-mode.ts";
import { failure } from "../../domain/errors/driver-error.ts";
import {
  count,
  lab,
  node,
  programs,
  ran,
  rig,
  stage,
  staging,
  unstage,
  useStageRig,
} from "./stage.fixture.ts";

describe.skipIf(noDevices !== "")(`NodeStageVolume ${noDevices}`, () => {
  useStageRig();

  test("restage of a healthy mount: no mkfs, no mount, no probe, no disconnect", async () => {
    const volume = lab.volume(32).export();
    const path = staging();
    await stage(volume, path);
    expect(programs().filter((name) => name.startsWith("mkfs"))).toEqual(["mkfs.ext4"]);
    writeFileSync(`${path}/precious`, "1");
    rig.commands = [];
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
    rig.instead = (command) =>
      command.program === "mount" ? Promise.reject(new Error("killed here")) : undefined;
    const crashed = lab.node("node-a", { exec: node.system.exec }, (dataPath) => ({
      ...dataPath,
      // A crash undoes nothing.
      disconnect: async () => {},
    }));
    await expect(stage(volume, path, { on: crashed })).rejects.toThrow("killed here");
    expect(lab.loops()).toHaveLength(1);
    rig.instead = () => undefined;
    rig.commands = [];
    await stage(volume, path, { context: { filesystemState: "used" } });
    expect(ran("mkfs.ext4")).toBe(false);
    expect(lab.mountsAt(path)).toHaveLength(1);
    await unstage(volume, path);
  });

  for (const program of ["blkid", "mkfs.ext4", "mount", "blockdev"]) {
    test(`a failing ${program} undoes what this call did`, async () => {
      const volume = lab.volume(32).export();
      const path = lab.path(`made-${program}`);
      rig.instead = (command) =>
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
    rig.instead = (command) =>
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
    rig.instead = (command) => {
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
    rig.instead = (command) => {
      if (command.program === "mkfs.ext4") {
        controller.abort(failure("shuttingDown", {}));
        expect(command.signal?.aborted).toBe(false);
      }
      return undefined;
    };
    await expect(stage(volume, path, { signal: controller.signal })).rejects.toMatchObject({
      id: "shuttingDown",
    });
    rig.commands = [];
    await stage(volume, path, { context: { filesystemState: "used" } });
    expect(ran("mkfs.ext4")).toBe(false);
    await unstage(volume, path);
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
    expect(rig.commands.find(({ program }) => program === "mount")?.args.join(" ")).toContain(`,${context},`);
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
    rig.commands = [];
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

  test("not exported: UNAVAILABLE, nothing is left", async () => {
    const volume = lab.volume(4);
    await expect(stage(volume, staging())).rejects.toMatchObject({ id: "connectRefused", code: 14 });
    expect(lab.loops()).toEqual([]);
  });
});
