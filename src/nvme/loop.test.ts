import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync, spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  linkSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import {
  BLOCK,
  CLUSTER,
  Lab,
  type LabNode,
  noDevices,
  toolPath,
  type Volume,
} from "../../test/support/loop-node.ts";
import { hostIdentity } from "../domain/host-identity.ts";
import type { Target } from "../host/data-path.ts";
import { type Exec, exec } from "../host/exec.ts";

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

describe.skipIf(noDevices !== "")(`loop data path ${noDevices}`, () => {
  let lab: Lab;
  let a: LabNode;
  let b: LabNode;
  beforeAll(() => {
    lab = new Lab();
    a = lab.node("a");
    b = lab.node("b");
  });
  afterAll(() => lab.cleanUp());
  afterEach(async () => {
    for (const node of [a, b]) {
      for (const { nqn } of await node.dataPath.list()) await node.dataPath.disconnect(nqn);
    }
    expect(lab.loops()).toEqual([]);
  });

  const target = (volume: Volume, node: LabNode, more: Partial<Target> = {}): Target => ({
    nqn: volume.nqn,
    address: "127.0.0.1",
    port: 4420,
    ...hostIdentity(CLUSTER, node.nodeId),
    ctrlLossTmo: -1,
    reconnectDelay: 1,
    keepAliveTmo: 1,
    fastIoFailTmo: -1,
    nrIoQueues: 0,
    queueSize: 0,
    ...more,
  });
  const claim = (volume: Volume, node: LabNode) => join(lab.root, "state", node.nodeId, volume.nqn);

  test("connect twice is one device; disconnect twice is fine; nothing is left", async () => {
    const volume = lab.volume(4).export();
    const device = await a.dataPath.connect(target(volume, a));
    expect(await a.dataPath.connect(target(volume, a))).toEqual(device);
    expect(device).toMatchObject({ nqn: volume.nqn, sizeBytes: 4n * 1024n * 1024n, readOnly: false });
    expect(await a.dataPath.find(volume.nqn)).toEqual(device);
    expect(await a.dataPath.list()).toMatchObject([
      { slot: volume.volumeId, epoch: 1, state: "live", device },
    ]);
    await a.dataPath.disconnect(volume.nqn);
    await a.dataPath.disconnect(volume.nqn);
    expect(await a.dataPath.find(volume.nqn)).toBeUndefined();
    expect(existsSync(claim(volume, a))).toBe(false);
  });

  test("refusals like those of a target: not exported, other port, host not allowed", async () => {
    const volume = lab.volume(4);
    await expect(a.dataPath.connect(target(volume, a))).rejects.toMatchObject({ id: "connectRefused" });
    volume.export([hostIdentity(CLUSTER, "a").hostNqn]);
    await expect(a.dataPath.connect(target(volume, a, { port: 4421 }))).rejects.toMatchObject({
      id: "connectRefused",
    });
    await expect(b.dataPath.connect(target(volume, b))).rejects.toMatchObject({ id: "subsystemNotOffered" });
    await a.dataPath.connect(target(volume, a));
  });

  test("an export file that cannot be understood is unknown, not absent", async () => {
    const volume = lab.volume(4);
    for (const text of [
      "",
      "{",
      "[]",
      "null",
      '{"nqn":1}',
      JSON.stringify({ nqn: volume.nqn, path: "relative" }),
    ]) {
      writeFileSync(join(lab.exportsDir, `${volume.nqn}.json`), text);
      await expect(a.dataPath.connect(target(volume, a))).rejects.toMatchObject({ id: "nodeStateUnknown" });
    }
  });

  test("two nodes on one machine: a device each, same bytes; one leaving does not take the other's", async () => {
    const volume = lab.volume(4).export();
    const [one, two] = [
      await a.dataPath.connect(target(volume, a)),
      await b.dataPath.connect(target(volume, b)),
    ];
    expect(one.name).not.toBe(two.name);
    execFileSync("dd", [`of=${one.path}`, "bs=4096", "count=1", "oflag=direct", "status=none"], {
      input: Buffer.alloc(4096, "A"),
    });
    const seen = execFileSync("dd", [`if=${two.path}`, "bs=4096", "count=1", "iflag=direct", "status=none"]);
    expect(seen.equals(Buffer.alloc(4096, "A"))).toBe(true);
    await a.dataPath.disconnect(volume.nqn);
    expect(await b.dataPath.find(volume.nqn)).toEqual(two);
    expect(await a.dataPath.find(volume.nqn)).toBeUndefined();
  });

  test("crash after the claim, before losetup: the next connect goes on", async () => {
    const volume = lab.volume(4).export();
    await a.dataPath.list();
    linkSync(volume.image, claim(volume, a));
    expect(await a.dataPath.list()).toEqual([]);
    await a.dataPath.connect(target(volume, a));
    expect(lab.loops()).toHaveLength(1);
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

  test("withdrawn: the device stays, but a new connect is refused", async () => {
    const volume = lab.volume(4).export();
    await a.dataPath.connect(target(volume, a));
    volume.withdraw();
    expect(await a.dataPath.find(volume.nqn)).toBeDefined();
    await expect(a.dataPath.connect(target(volume, a))).rejects.toMatchObject({ id: "connectRefused" });
  });

  test("losetup --detach succeeds on an open device; disconnect does not believe it", async () => {
    const volume = lab.volume(4).export();
    const device = await a.dataPath.connect(target(volume, a));
    let now = 0;
    const clock = {
      now: () => now,
      monotonic: () => now,
      sleep: async (ms: number) => {
        now += ms;
      },
    };
    const hurried = lab.node("a", { clock }).dataPath;
    const fd = openSync(device.path, "r");
    try {
      await expect(hurried.disconnect(volume.nqn)).rejects.toMatchObject({ id: "disconnectNotProven" });
    } finally {
      closeSync(fd);
    }
  });

  test("a device that was switched to read-only is writable again before its machine can give it to the next user", async () => {
    const volume = lab.volume(4).export();
    const atDetach: string[] = [];
    const watched = lab.node("a", {
      exec: (command) => {
        const device = command.args.at(-1)?.replace("/dev/", "");
        if (command.args[0] === "--detach")
          atDetach.push(readFileSync(`/sys/block/${device}/ro`, "utf8").trim());
        return exec(command);
      },
    });
    const device = await watched.dataPath.connect(target(volume, a));
    execFileSync("blockdev", ["--setro", device.path]);
    await watched.dataPath.disconnect(volume.nqn);
    expect(atDetach).toEqual(["0"]);
  });

  test("a loop device that its last user left read-only is writable for a volume", async () => {
    const volume = lab.volume(4).export();
    const left = lab.node("a", {
      exec: async (command) => {
        const result = await exec(command);
        if (command.args[0] === "--find") execFileSync("blockdev", ["--setro", result.stdout.trim()]);
        return result;
      },
    });
    expect(await left.dataPath.connect(target(volume, a))).toMatchObject({ readOnly: false });
    // What is attached may be published read-only.
    const device = await a.dataPath.find(volume.nqn);
    execFileSync("blockdev", ["--setro", device?.path ?? ""]);
    expect(await a.dataPath.connect(target(volume, a))).toMatchObject({ readOnly: true });
  });

  test("rescan takes over a grown file, once the export shows its size", async () => {
    const volume = lab.volume(4).export();
    const device = await a.dataPath.connect(target(volume, a));
    volume.grow(9, "later");
    expect((await a.dataPath.rescan(device)).sizeBytes).toBe(4n * 1024n * 1024n);
    volume.export();
    expect((await a.dataPath.rescan(device)).sizeBytes).toBe(9n * 1024n * 1024n);
  });

  test.skipIf(!existsSync("/dev/shm"))(
    "a state directory on another filesystem (/dev/shm): claimed by a bind mount",
    async () => {
      const stateDir = mkdtempSync("/dev/shm/rds-csi-loop-");
      const far = lab.node("far", {}, undefined, stateDir);
      const volume = lab.volume(4).export();
      try {
        const device = await far.dataPath.connect(target(volume, far));
        expect(lab.mountsAt(`${stateDir}/${volume.nqn}`)).toHaveLength(1);
        expect(await lab.node("far", {}, undefined, stateDir).dataPath.connect(target(volume, far))).toEqual(
          device,
        );
        expect(await far.dataPath.list()).toHaveLength(1);
        expect(await far.dataPath.users(device)).toEqual([]);
        await far.dataPath.disconnect(volume.nqn);
        expect(readdirSync(stateDir)).toEqual([]);
        // After a reboot the empty file is left, without its mount.
        writeFileSync(`${stateDir}/${volume.nqn}`, "");
        await far.dataPath.connect(target(volume, far));
      } finally {
        await far.dataPath.disconnect(volume.nqn);
        rmdirSync(stateDir);
      }
      expect(statSync(volume.image).size).toBe(volume.size);
    },
  );

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
      const container = spawn("unshare", ["--mount", "--propagation", "private", "sleep", "300"], {
        stdio: "ignore",
      });
      const namespace = `/proc/${container.pid}/ns/mnt`;
      await until(
        () => existsSync(namespace) && readlinkSync(namespace) !== readlinkSync("/proc/self/ns/mnt"),
      );
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

  test("a foreign NQN is refused before anything is looked at", async () => {
    const volume = lab.volume(4);
    for (const nqn of ["nqn.2019-01.com.example:x", "../../etc/passwd", `${volume.nqn}/../x`]) {
      for (const call of [
        a.dataPath.find(nqn),
        a.dataPath.disconnect(nqn),
        a.dataPath.connect(target(volume, a, { nqn })),
      ]) {
        await expect(call).rejects.toMatchObject({ id: "nqnForeign" });
      }
    }
  });

  test("ready: nothing to complain about; a missing exports directory is named", async () => {
    expect(await a.dataPath.readinessProblems()).toEqual([]);
    const lost = new Lab();
    const node = lost.node("x");
    lost.cleanUp();
    expect((await node.dataPath.readinessProblems()).join("\n")).toContain("exports directory");
  });
});
