import { describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { CLUSTER, Lab, noDevices } from "../../test/support/loop-node.ts";
import { hostIdentity } from "../domain/host-identity.ts";
import { exec } from "../host/exec.ts";
import { a, b, claim, lab, target, useLoopRig } from "./loop.fixture.ts";

describe.skipIf(noDevices !== "")(`loop data path ${noDevices}`, () => {
  useLoopRig();

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

  test("a disconnect ends whole, also when its caller has gone", async () => {
    const volume = lab.volume(4).export();
    await a.dataPath.connect(target(volume, a));
    await a.dataPath.disconnect(volume.nqn, AbortSignal.abort(new Error("kubelet was killed")));
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
