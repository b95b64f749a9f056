import { describe, expect, test } from "bun:test";
import { execFileSync, spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  linkSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { BLOCK, FORGET_MOUNTS, type LabNode, noDevices, toolPath } from "../../test/support/loop-node.ts";
import { type Exec, exec } from "../host/exec.ts";
import { a, claim, lab, target, useLoopRig } from "./loop.fixture.ts";

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

describe.skipIf(noDevices !== "")(`loop data path, interrupted ${noDevices}`, () => {
  useLoopRig();

  test("crash after the claim, before losetup: the next connect goes on", async () => {
    const volume = lab.volume(4).export();
    await a.dataPath.list();
    linkSync(volume.image, claim(volume, a));
    expect(await a.dataPath.list()).toEqual([]);
    await a.dataPath.connect(target(volume, a));
    expect(lab.loops()).toHaveLength(1);
  });

  test("crash after the claim, before losetup: a restarted node gives the claim up, and keeps those in use", async () => {
    const [left, used] = [lab.volume(4).export(), lab.volume(4).export()];
    await a.dataPath.list();
    linkSync(left.image, claim(left, a));
    const device = await a.dataPath.connect(target(used, a));
    const restarted = lab.node("a").dataPath;
    // As diagnose does beside a node that may be connecting.
    await restarted.list();
    expect(existsSync(claim(left, a))).toBe(true);
    await restarted.prepare?.();
    expect(await restarted.list()).toMatchObject([{ slot: used.volumeId, device }]);
    expect([existsSync(claim(left, a)), existsSync(claim(used, a))]).toEqual([false, true]);
    expect(existsSync(left.image)).toBe(true);
    // While it serves, a claim may be that of a running connect.
    linkSync(left.image, claim(left, a));
    await restarted.prepare?.();
    expect(existsSync(claim(left, a))).toBe(true);
  });

  test("crash in the middle of a disconnect: a restarted node drops the record of a device that is gone", async () => {
    const [gone, used] = [lab.volume(4).export(), lab.volume(4).export()];
    for (const volume of [gone, used]) await a.dataPath.connect(target(volume, a));
    const record = (volume: typeof gone) => `${claim(volume, a)}.device`;
    const kept = readFileSync(record(gone));
    await a.dataPath.disconnect(gone.nqn);
    for (const suffix of ["", ".new"]) writeFileSync(`${record(gone)}${suffix}`, kept);
    await lab.node("a").dataPath.prepare?.();
    expect(readdirSync(join(lab.root, "state", "a")).sort()).toEqual([used.nqn, `${used.nqn}.device`]);
  });

  test("losetup fails, or its caller leaves: the claim is gone, so that a deleted image frees its space", async () => {
    const volume = lab.volume(4).export();
    const leaves = new AbortController();
    const failing: Exec = (command) => {
      if (command.args[0] !== "--find") return exec(command);
      leaves.abort();
      return exec({ ...command, args: ["--find", "--no-such-option"] });
    };
    const node = lab.node("a", { exec: failing });
    await expect(node.dataPath.connect(target(volume, node), leaves.signal)).rejects.toThrow();
    expect(existsSync(claim(volume, node))).toBe(false);
    expect(await node.dataPath.list()).toEqual([]);
  });

  test("crash after losetup: a restarted node knows its device and no other", async () => {
    const volume = lab.volume(4).export();
    const device = await a.dataPath.connect(target(volume, a));
    const restarted = lab.node("a").dataPath;
    expect(await restarted.connect(target(volume, a))).toEqual(device);
    expect(await lab.node("c").dataPath.list()).toEqual([]);
    await restarted.disconnect(volume.nqn);
    expect(await a.dataPath.find(volume.nqn)).toBeUndefined();
  });

  test("crash while losetup runs, and it ends late: of two devices the one that is used stays", async () => {
    const volume = lab.volume(4).export();
    const first = await a.dataPath.connect(target(volume, a));
    execFileSync("losetup", ["--find", "--direct-io=off", claim(volume, a)]);
    const devices = (await a.dataPath.list()).map(({ device }) => device?.path ?? "");
    expect(devices).toHaveLength(2);
    const used = devices.find((path) => path !== first.path) ?? "";
    const fd = openSync(used, "r");
    try {
      expect((await a.dataPath.connect(target(volume, a))).path).toBe(used);
      expect(await a.dataPath.list()).toHaveLength(1);
    } finally {
      closeSync(fd);
    }
    execFileSync("losetup", ["--find", "--direct-io=off", claim(volume, a)]);
    await a.dataPath.connect(target(volume, a));
    expect(await a.dataPath.list()).toHaveLength(1);
  });

  test("a claim of a file that was replaced is stale: renewed if free, refused while attached", async () => {
    const volume = lab.volume(4).export();
    const replace = () => {
      renameSync(volume.image, `${volume.image}.old`);
      writeFileSync(volume.image, "new");
      truncateSync(volume.image, volume.size);
    };
    await a.dataPath.list();
    linkSync(volume.image, claim(volume, a));
    replace();
    const device = await a.dataPath.connect(target(volume, a));
    expect(execFileSync("dd", [`if=${device.path}`, "bs=3", "count=1", "status=none"]).toString()).toBe(
      "new",
    );
    replace();
    await expect(a.dataPath.connect(target(volume, a))).rejects.toMatchObject({ id: "deviceChanged" });
  });

  test("the claim vanishes: the device is still found and can be disconnected", async () => {
    const volume = lab.volume(4).export();
    const device = await a.dataPath.connect(target(volume, a));
    unlinkSync(claim(volume, a));
    expect(readFileSync(`/sys/block/${device.name}/loop/backing_file`, "utf8")).toContain("(deleted)");
    expect(await a.dataPath.find(volume.nqn)).toEqual(device);
    await a.dataPath.disconnect(volume.nqn);
    expect(await a.dataPath.find(volume.nqn)).toBeUndefined();
  });

  describe.skipIf(
    !existsSync("/dev/shm") || ["unshare", "nsenter"].some((tool) => toolPath(tool) === undefined),
  )("after a restart of the driver's container, with which its mount namespace went", () => {
    const nameOf = ({ name }: { readonly name: string }) =>
      readFileSync(`/sys/block/${name}/loop/backing_file`, "utf8").trim();

    /** A node whose claims are mounted, and whose loop devices are attached, in a mount namespace that ends here. */
    const restarted = async (
      work: (before: LabNode, stateDir: string, end: () => Promise<LabNode>) => Promise<void>,
    ): Promise<void> => {
      const stateDir = mkdtempSync("/dev/shm/rds-csi-loop-");
      const sleep = `${FORGET_MOUNTS}exec sleep 300`;
      const container = spawn("unshare", ["--mount", "--propagation", "private", "sh", "-c", sleep], {
        stdio: "ignore",
      });
      const namespace = `/proc/${container.pid}/ns/mnt`;
      await until(() => readFileSync(`/proc/${container.pid}/comm`, "utf8") === "sleep\n");
      const attached: string[] = [];
      const inside: Exec = async (command) => {
        const own = command.program === "losetup" || command.args.at(-1)?.startsWith(stateDir) === true;
        if (!own) return exec(command);
        const args = [`--mount=${namespace}`, "--", command.program, ...command.args];
        const result = exec({ ...command, program: "nsenter", args });
        if (command.args[0] === "--find") attached.push((await result).stdout.trim());
        return result;
      };
      const end = async (): Promise<LabNode> => {
        container.kill("SIGKILL");
        await until(() => !existsSync(namespace));
        return lab.node("far", {}, undefined, stateDir);
      };
      try {
        await work(lab.node("far", { exec: inside }, undefined, stateDir), stateDir, end);
      } finally {
        const after = await end();
        for (const { nqn } of await after.dataPath.list()) await after.dataPath.disconnect(nqn);
        // A test that failed leaves a device without a name.
        for (const path of attached) {
          const name = path.replace("/dev/", "");
          const left = `/sys/block/${name}/loop/backing_file`;
          if (existsSync(left) && nameOf({ name }).startsWith("/ "))
            execFileSync("losetup", ["--detach", path]);
        }
        rmSync(stateDir, { recursive: true });
      }
    };
    test("a device is known by device and inode of its file: found, connected again and disconnected, by its own node only", async () => {
      await restarted(async (before, stateDir, end) => {
        const volume = lab.volume(4).export();
        const device = await before.dataPath.connect(target(volume, before));
        expect(nameOf(device)).toBe(`${stateDir}/${volume.nqn}`);
        const after = await end();
        await until(() => nameOf(device) === "/");
        expect(await after.dataPath.find(volume.nqn)).toEqual(device);
        expect(await after.dataPath.list()).toMatchObject([{ slot: volume.volumeId, device }]);
        expect(await after.dataPath.connect(target(volume, after))).toEqual(device);
        expect(await a.dataPath.list()).toEqual([]);
        // Another file took the image's place.
        renameSync(volume.image, `${volume.image}.old`);
        writeFileSync(volume.image, "new");
        await expect(after.dataPath.connect(target(volume, after))).rejects.toMatchObject({
          id: "deviceChanged",
        });
        await after.dataPath.disconnect(volume.nqn);
        expect(await after.dataPath.find(volume.nqn)).toBeUndefined();
        expect(readdirSync(stateDir)).toEqual([]);
      });
    });

    test("a record of another boot, device, attaching or file names no device", async () => {
      await restarted(async (before, stateDir, end) => {
        const volume = lab.volume(4).export();
        const device = await before.dataPath.connect(target(volume, before));
        const after = await end();
        await until(() => nameOf(device) === "/");
        const path = `${stateDir}/${volume.nqn}.device`;
        const record = JSON.parse(readFileSync(path, "utf8"));
        for (const field of Object.keys(record)) {
          writeFileSync(path, JSON.stringify({ ...record, [field]: `${record[field]}0` }));
          expect(await after.dataPath.find(volume.nqn)).toBeUndefined();
        }
        writeFileSync(path, "{");
        expect(await after.dataPath.find(volume.nqn)).toBeUndefined();
        writeFileSync(path, JSON.stringify(record));
        expect(await after.dataPath.find(volume.nqn)).toEqual(device);
      });
    });

    test("a published block volume answers NodeGetVolumeStats, and is unpublished and unstaged", async () => {
      await restarted(async (before, _, end) => {
        const volume = lab.volume(4).export();
        const { volumeId } = volume;
        const [stagingTargetPath, targetPath] = [lab.path("restart-staging"), lab.path("restart-target")];
        const publishContext = volume.context(before);
        const request = { volumeId, publishContext, stagingTargetPath, capability: BLOCK, volumeContext: {} };
        await before.service.stage(request);
        await before.service.publish({ ...request, targetPath, readonly: false });
        const after = await end();
        expect((await after.service.stats({ volumeId, volumePath: targetPath })).usage).toMatchObject([
          { unit: "bytes", total: BigInt(volume.size) },
        ]);
        await after.service.unpublish({ volumeId, targetPath });
        expect(existsSync(targetPath)).toBe(false);
        await after.service.unstage({ volumeId, stagingTargetPath });
        expect(await after.dataPath.list()).toEqual([]);
      });
    });
  });
});
