import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import {
  BLOCK,
  EXT4,
  FORGET_MOUNTS,
  hasTool,
  Lab,
  type LabNode,
  noDevices,
  type Volume,
} from "../../../test/support/loop-node.ts";
import { unusedHelper } from "../../../test/support/node-helper.ts";
import type { Capability } from "../../domain/access-mode.ts";
import { systemClock } from "../../domain/clock.ts";
import { loopCandidates } from "../../mount/loops.ts";
import { blockUsers } from "../../mount/users.ts";

describe.skipIf(noDevices !== "")(`NodeUnstageVolume ${noDevices}`, () => {
  let lab: Lab;
  let node: LabNode;
  let count = 0;
  const children: ChildProcess[] = [];
  beforeAll(() => {
    lab = new Lab();
    // Four times faster between the looks at a device in use. A program of another test may have it open for a moment.
    const clock = {
      ...systemClock,
      sleep: (ms: number, signal?: AbortSignal) => systemClock.sleep(ms / 4, signal),
    };
    node = lab.node("node-a", { clock });
  });
  afterAll(() => {
    for (const child of children) child.kill("SIGKILL");
    lab.cleanUp();
  });

  const staged = async (
    capability: Capability = EXT4,
  ): Promise<{ volume: Volume; path: string; device: string }> => {
    count += 1;
    const volume = lab.volume(32).export();
    const path = lab.path(`staging-${count}`);
    mkdirSync(path);
    await node.service.stage({
      volumeId: volume.volumeId,
      publishContext: volume.context(node),
      stagingTargetPath: path,
      capability,
      volumeContext: {},
    });
    const device = await node.dataPath.find(volume.nqn);
    return { volume, path, device: device?.path ?? "" };
  };
  const unstage = ({ volume, path }: { volume: Volume; path: string }) =>
    node.service.unstage({ volumeId: volume.volumeId, stagingTargetPath: path });
  const isConnected = async ({ volume }: { volume: Volume }) =>
    (await node.dataPath.find(volume.nqn)) !== undefined;

  /** A process that keeps a file open; resolves once it has it. */
  const holding = async (path: string): Promise<ChildProcess> => {
    const child = spawn("sh", ["-c", 'exec 7<"$0"; echo ready; exec sleep 300', path], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    children.push(child);
    await new Promise((resolve) => child.stdout?.once("data", resolve));
    return child;
  };
  const end = async (child: ChildProcess) => {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  };

  test("an open file: FAILED_PRECONDITION, still mounted and connected; closed: done", async () => {
    const it = await staged();
    writeFileSync(`${it.path}/f`, "x");
    const child = await holding(`${it.path}/f`);
    await expect(unstage(it)).rejects.toMatchObject({ code: 9, id: "unmountFailed" });
    expect(lab.mountsAt(it.path)).toHaveLength(1);
    expect(await isConnected(it)).toBe(true);
    await end(child);
    await unstage(it);
    expect(await isConnected(it)).toBe(false);
  });

  test("a bind mount left: refused before anything is unmounted", async () => {
    const it = await staged();
    const bind = `${it.path}-bind`;
    mkdirSync(bind);
    execFileSync("mount", ["--bind", it.path, bind]);
    await expect(unstage(it)).rejects.toMatchObject({
      id: "deviceInUse",
      message: expect.stringContaining(bind),
    });
    expect(lab.mountsAt(it.path)).toHaveLength(1);
    execFileSync("umount", [bind]);
    await unstage(it);
    expect(await isConnected(it)).toBe(false);
  });

  test("a filesystem that has left the mount table but is alive (a hanging umount): not disconnected", async () => {
    const it = await staged();
    writeFileSync(`${it.path}/f`, "x");
    const fd = openSync(`${it.path}/f`, "r");
    const cwd = spawn("sleep", ["300"], { cwd: it.path, stdio: "ignore" });
    children.push(cwd);
    // As after a umount that hangs: no mount is shown, but the filesystem still writes.
    execFileSync("umount", ["-l", it.path]);
    expect(lab.mountsAt(it.path)).toEqual([]);
    await expect(unstage(it)).rejects.toMatchObject({ id: "deviceInUse" });
    expect(await isConnected(it)).toBe(true);
    closeSync(fd);
    await end(cwd);
    await unstage(it);
    expect(await isConnected(it)).toBe(false);
  });

  test("a filesystem mounted only in another mount namespace: the kernel says busy", async () => {
    const it = await staged(BLOCK);
    execFileSync("mkfs.ext4", ["-q", it.device]);
    const script = `${FORGET_MOUNTS}mount ${it.device} ${it.path} && cd / && echo ready && exec sleep 300`;
    const child = spawn("unshare", ["--mount", "sh", "-c", script], { stdio: ["ignore", "pipe", "ignore"] });
    children.push(child);
    await new Promise((resolve) => child.stdout?.once("data", resolve));
    expect(lab.mountsAt(it.path)).toEqual([]);
    await expect(unstage(it)).rejects.toMatchObject({
      id: "deviceInUse",
      message: expect.stringContaining("kernel"),
    });
    expect(await isConnected(it)).toBe(true);
    await end(child);
    await unstage(it);
  });

  test("a process that has the device open through another node of it (a container): found and named", async () => {
    const it = await staged(BLOCK);
    const rdev = statSync(it.device).rdev;
    const other = lab.path(`node-${count}`);
    execFileSync("mknod", [other, "b", String(rdev >> 8), String(rdev & 0xff)]);
    const child = await holding(other);
    unlinkSync(other);
    await expect(unstage(it)).rejects.toMatchObject({
      id: "deviceInUse",
      message: expect.stringContaining(`process ${child.pid} (sleep, fd 7)`),
    });
    expect(await isConnected(it)).toBe(true);
    await end(child);
    await unstage(it);
    expect(await isConnected(it)).toBe(false);
  });

  test("a short-lived opener (udev after a umount) only delays", async () => {
    const it = await staged(BLOCK);
    const child = await holding(it.device);
    let looks = 0;
    const watched = lab.node("node-a", {}, (dataPath) => ({
      ...dataPath,
      users: async (device) => {
        const users = await dataPath.users(device);
        looks += 1;
        if (looks === 1) await end(child);
        return users;
      },
    }));
    await watched.service.unstage({ volumeId: it.volume.volumeId, stagingTargetPath: it.path });
    expect(looks).toBe(2);
    expect(await isConnected(it)).toBe(false);
  });

  test("a loop device over it (kubelet maps block volumes so): refused", async () => {
    const it = await staged(BLOCK);
    const loop = execFileSync("losetup", ["--find", "--show", it.device]).toString().trim();
    try {
      await expect(unstage(it)).rejects.toMatchObject({
        id: "deviceInUse",
        message: expect.stringContaining(`loop device ${loop.slice(5)}`),
      });
    } finally {
      execFileSync("losetup", ["--detach", loop]);
    }
    await unstage(it);
    expect(await isConnected(it)).toBe(false);
  });

  /** In a mount namespace of its own: a node of the device, whose path leads to a plain file here. */
  const elsewhere = (device: string) => {
    const directory = lab.path(`elsewhere-${count}`);
    mkdirSync(directory);
    writeFileSync(`${directory}/disk`, "x".repeat(4096));
    const { rdev } = statSync(device);
    return `${FORGET_MOUNTS}mount -t tmpfs none ${directory} && mknod ${directory}/disk b ${rdev >> 8} ${rdev & 0xff} && losetup --find --show ${directory}/disk`;
  };

  test("a loop device made through a node in another mount namespace: refused and named; unclear once that has ended", async () => {
    const it = await staged(BLOCK);
    const child = spawn("unshare", ["--mount", "sh", "-c", `${elsewhere(it.device)} && exec sleep 300`], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    children.push(child);
    const said = await new Promise<string>((resolve) =>
      child.stdout?.once("data", (text) => resolve(String(text))),
    );
    const loop = said.trim();
    try {
      await expect(unstage(it)).rejects.toMatchObject({
        id: "deviceInUse",
        message: expect.stringContaining(`loop device ${loop.slice(5)}`),
      });
      expect(await isConnected(it)).toBe(true);
      await end(child);
      // Its node is gone with the namespace: no path leads to it any more.
      const device = await node.dataPath.find(it.volume.nqn);
      if (device === undefined) throw new Error("disconnected");
      await expect(blockUsers(node.system, device, "refuse")).rejects.toMatchObject({
        id: "nodeStateUnknown",
        message: expect.stringContaining(`the loop device ${loop.slice(5)} may be over it`),
      });
    } finally {
      execFileSync("losetup", ["--detach", loop]);
    }
    await unstage(it);
    expect(await isConnected(it)).toBe(false);
  });

  test("a loop device whose file was attached before the device existed is not in question, whatever it is over", async () => {
    const image = lab.path("gone.img");
    writeFileSync(image, "x".repeat(1024 * 1024));
    const loop = execFileSync("losetup", ["--find", "--show", image]).toString().trim();
    unlinkSync(image);
    try {
      const it = await staged(BLOCK);
      const device = await node.dataPath.find(it.volume.nqn);
      if (device === undefined) throw new Error("disconnected");
      const names = (await loopCandidates(node.system, device)).map(({ name }) => name);
      expect(names).not.toContain(loop.slice(5));
      await unstage(it);
    } finally {
      execFileSync("losetup", ["--detach", loop]);
    }
  });

  test.skipIf(!hasTool("xfs_io"))(
    "a process that maps the device and has closed it, through another node of it: refused and named (xfs_io)",
    async () => {
      const it = await staged(BLOCK);
      const { rdev } = statSync(it.device);
      const other = lab.path(`mapped-${count}`);
      execFileSync("mknod", [other, "b", String(rdev >> 8), String(rdev & 0xff)]);
      const child = spawn("xfs_io", [other], { stdio: ["pipe", "ignore", "ignore"] });
      children.push(child);
      child.stdin?.write("mmap -r 0 4096\nclose\n");
      const isMapped = () => readFileSync(`/proc/${child.pid}/maps`, "latin1").includes(other);
      const isOpen = () =>
        readdirSync(`/proc/${child.pid}/fd`).some(
          (fd) => readlinkSync(`/proc/${child.pid}/fd/${fd}`) === other,
        );
      while (!isMapped() || isOpen()) await delay(5);
      unlinkSync(other);
      await expect(unstage(it)).rejects.toMatchObject({
        id: "deviceInUse",
        message: expect.stringContaining(`process ${child.pid} (xfs_io, mapped device)`),
      });
      expect(await isConnected(it)).toBe(true);
      await end(child);
      await unstage(it);
      expect(await isConnected(it)).toBe(false);
    },
  );

  test.skipIf(!hasTool("addpart"))(
    "a partition of the device that a process, or a loop device, uses: refused and named (addpart)",
    async () => {
      const it = await staged(BLOCK);
      execFileSync("addpart", [it.device, "1", "2048", "4096"]);
      const child = await holding(`${it.device}p1`);
      await expect(unstage(it)).rejects.toMatchObject({
        id: "deviceInUse",
        message: expect.stringContaining(`process ${child.pid} (sleep, fd 7)`),
      });
      await end(child);
      const loop = execFileSync("losetup", ["--find", "--show", `${it.device}p1`])
        .toString()
        .trim();
      await expect(unstage(it)).rejects.toMatchObject({
        id: "deviceInUse",
        message: expect.stringContaining(`loop device ${loop.slice(5)}`),
      });
      execFileSync("losetup", ["--detach", loop]);
      execFileSync("delpart", [it.device, "1"]);
      await unstage(it);
      expect(await isConnected(it)).toBe(false);
    },
  );

  test("nothing staged, path absent, parent absent, unknown volume: success, nothing is touched", async () => {
    const other = await staged();
    const volume = lab.volume(4);
    for (const path of [lab.path("none"), lab.path("none", "deeper")]) {
      await node.service.unstage({ volumeId: volume.volumeId, stagingTargetPath: path });
    }
    await node.service.unstage({ volumeId: "../../etc", stagingTargetPath: other.path });
    expect(lab.mountsAt(other.path)).toHaveLength(1);
    await expect(unstage({ volume, path: other.path })).rejects.toMatchObject({ id: "pathOccupied" });
    expect(await isConnected(other)).toBe(true);
    await unstage(other);
  });

  test("connected but not mounted (crash in stage), also without the path: disconnected", async () => {
    const it = await staged(BLOCK);
    rmSync(it.path, { recursive: true });
    await unstage(it);
    expect(await isConnected(it)).toBe(false);
  });

  test("stacked mounts of the volume are all unmounted", async () => {
    const it = await staged();
    execFileSync("mount", ["--bind", it.path, it.path]);
    expect(lab.mountsAt(it.path)).toHaveLength(2);
    await unstage(it);
    expect(lab.mountsAt(it.path)).toEqual([]);
  });

  test("every epoch of the slot goes, no other volume", async () => {
    const it = await staged(BLOCK);
    const other = await staged(BLOCK);
    it.volume.epoch = 7;
    it.volume.export();
    const hosts = it.volume.context(node);
    await node.dataPath.connect({
      nqn: it.volume.nqn,
      address: "127.0.0.1",
      port: 4420,
      hostNqn: hosts.hostNqn ?? "",
      hostId: "x",
      ctrlLossTmo: -1,
      reconnectDelay: 1,
      keepAliveTmo: 1,
      fastIoFailTmo: -1,
      nrIoQueues: 0,
      queueSize: 0,
    });
    await unstage(it);
    expect((await node.dataPath.list()).map(({ slot }) => slot as string)).toEqual([other.volume.volumeId]);
    await unstage(other);
  });

  test("one node's unstage leaves the other node's device", async () => {
    const it = await staged(BLOCK);
    const peer = lab.node("node-b");
    const request = { volumeId: it.volume.volumeId, stagingTargetPath: it.path };
    await peer.service.stage({
      ...request,
      publishContext: it.volume.context(peer),
      capability: BLOCK,
      volumeContext: {},
    });
    await unstage(it);
    expect(await peer.dataPath.find(it.volume.nqn)).toBeDefined();
    await peer.service.unstage(request);
    expect(lab.loops()).toEqual([]);
  });

  test("what cannot be looked into is an error, not unused", async () => {
    const it = await staged(BLOCK);
    const blind = lab.node("node-a", {
      helper: {
        ...unusedHelper,
        inspect: async () => ({
          exclusive: "error",
          detail: "EIO",
          processes: { uses: [], unreadable: 0 },
          backing: { files: [], remote: [] },
        }),
      },
    });
    const request = { volumeId: it.volume.volumeId, stagingTargetPath: it.path };
    await expect(blind.service.unstage(request)).rejects.toMatchObject({ id: "nodeStateUnknown", code: 14 });
    expect(await isConnected(it)).toBe(true);
    await unstage(it);
  });
});
