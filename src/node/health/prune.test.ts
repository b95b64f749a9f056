import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { type LogLine, recordingLogger } from "../../../test/support/kubernetes/world.ts";
import {
  BLOCK,
  DRIVER,
  EXT4,
  Lab,
  type LabNode,
  noDevices,
  type Volume,
} from "../../../test/support/loop-node.ts";
import { systemClock } from "../../domain/clock.ts";
import type { Connection, DataPath } from "../../host/data-path.ts";
import { exec } from "../../host/exec.ts";
import { createNodeSystem } from "../../host/system.ts";
import { createNodeService } from "../service.ts";
import { kubeletStaging, kubeletTarget, sysfsWithout } from "./lost.fixture.ts";

const DEADLINE = 20_000;
const NOTHING = { unmounted: [], disconnected: [], left: [], incomplete: false };

describe.skipIf(noDevices !== "")(`prune ${noDevices}`, () => {
  let lab: Lab;
  let node: LabNode;
  beforeAll(() => {
    lab = new Lab();
    node = lab.node("node-a");
  });
  afterAll(() => lab.cleanUp());
  afterEach(() => expect(lab.loops()).toEqual([]));

  const stage = (volume: Volume, path = kubeletStaging(lab, volume.volumeId), capability = EXT4) =>
    node.service.stage({
      volumeId: volume.volumeId,
      publishContext: volume.context(node, { filesystemState: "used" }),
      stagingTargetPath: path,
      capability,
      volumeContext: {},
    });
  const unstage = (volume: Volume, path = kubeletStaging(lab, volume.volumeId)) =>
    node.service.unstage({ volumeId: volume.volumeId, stagingTargetPath: path });
  const numberOf = async (volume: Volume) => (await node.dataPath.find(volume.nqn))?.number ?? "";
  const without = async (...volumes: Volume[]) =>
    lab.node("node-a", { sysRoot: sysfsWithout(lab, ...(await Promise.all(volumes.map(numberOf)))) });

  test("what is alive stays: mounts, block volumes, connections without a mount", async () => {
    const [mounted, block] = [lab.volume(32).export(), lab.volume(8).export()];
    await stage(mounted);
    await stage(block, undefined, BLOCK);
    expect(await node.service.prune(DEADLINE)).toEqual(NOTHING);
    expect(lab.loops()).toHaveLength(2);
    expect(lab.mountsAt(kubeletStaging(lab, mounted.volumeId))).toHaveLength(1);
    await unstage(mounted);
    await unstage(block);
  });

  test("a dead staging mount of ours goes; the dead mount of a pod stays and is named", async () => {
    const volume = lab.volume(32).export();
    const staging = kubeletStaging(lab, volume.volumeId);
    const target = kubeletTarget(lab, "pod-1", volume.volumeId);
    await stage(volume);
    writeFileSync(`${staging}/kept`, "x");
    await node.service.publish({
      volumeId: volume.volumeId,
      publishContext: volume.context(node),
      stagingTargetPath: staging,
      targetPath: target,
      capability: EXT4,
      readonly: false,
    });
    const report = await (await without(volume)).service.prune(DEADLINE);
    expect(report).toEqual({ ...NOTHING, unmounted: [staging], left: [expect.stringContaining(target)] });
    expect(lab.mountsAt(staging)).toEqual([]);
    expect(lab.mountsAt(target)).toHaveLength(1);
    // It is still connected (loop devices do not vanish), so the next stage mounts it again.
    await stage(volume);
    expect(readFileSync(`${staging}/kept`, "utf8")).toBe("x");
    await node.service.unpublish({ volumeId: volume.volumeId, targetPath: target });
    await unstage(volume);
  });

  test("what cannot be proven ours stays, however dead: no record, another driver's, another volume's, a foreign handle", async () => {
    const volume = lab.volume(32).export();
    const plain = lab.path("no-record");
    const foreign = kubeletStaging(lab, volume.volumeId, `${DRIVER}.other`);
    const other = kubeletStaging(lab, "pvc-something-else");
    const wrongHash = kubeletStaging(lab, volume.volumeId).replace("/globalmount", "");
    writeFileSync(
      `${wrongHash}/vol_data.json`,
      JSON.stringify({ driverName: DRIVER, volumeHandle: "csi-x" }),
    );
    const paths = [plain, foreign, other, `${wrongHash}/globalmount`];
    mkdirSync(plain);
    await stage(volume, plain);
    for (const path of paths.slice(1)) execFileSync("mount", ["--bind", plain, path]);
    const report = await (await without(volume)).service.prune(DEADLINE);
    expect(report).toEqual({ ...NOTHING, left: [expect.stringContaining("pvc-something-else")] });
    for (const path of paths) expect(lab.mountsAt(path)).toHaveLength(1);
    for (const path of paths.slice(1)) execFileSync("umount", [path]);
    await unstage(volume, plain);
  });

  test("an earlier attachment's connection goes if a later one is here and nothing uses it", async () => {
    const volume = lab.volume(32).export();
    await stage(volume, undefined, BLOCK);
    const first = volume.nqn;
    const target = (nqn: string) => ({
      nqn,
      address: "127.0.0.1",
      port: 4420,
      hostNqn: "h",
      hostId: "i",
      ctrlLossTmo: -1,
      reconnectDelay: 2,
      keepAliveTmo: 5,
      fastIoFailTmo: -1,
      nrIoQueues: 0,
      queueSize: 0,
    });
    volume.epoch = 2;
    volume.export();
    await node.dataPath.connect(target(volume.nqn));
    // In use: it stays.
    const [loop = ""] = lab.loops();
    const holder = lab.path("holder");
    mkdirSync(holder, { recursive: true });
    const device = (await node.dataPath.find(first))?.path ?? loop;
    execFileSync("mkfs.ext4", ["-q", device]);
    execFileSync("mount", [device, holder]);
    const busy = await node.service.prune(DEADLINE);
    expect(busy).toEqual({ ...NOTHING, left: [expect.stringContaining("in use")], incomplete: true });
    execFileSync("umount", [holder]);
    expect(await node.service.prune(DEADLINE)).toEqual({ ...NOTHING, disconnected: [first] });
    expect((await node.dataPath.list()).map(({ epoch }) => epoch)).toEqual([2]);
    await unstage(volume);
  });

  test.each([
    ["dead", true],
    ["deleting (no IO)", true],
    ["connecting", false],
    ["resetting", false],
    ["live", false],
  ])("a connection without a device that is %s: ended is %p", async (state, ended) => {
    const volume = lab.volume(8).export();
    await stage(volume, undefined, BLOCK);
    const disconnected: string[] = [];
    const wrap = (real: DataPath): DataPath => ({
      ...real,
      list: async () =>
        (await real.list()).map((each): Connection => ({ ...each, state, device: undefined })),
      disconnect: async (nqn) => void disconnected.push(nqn),
    });
    const report = await lab.node("node-a", {}, wrap).service.prune(DEADLINE);
    expect(disconnected).toEqual(ended ? [volume.nqn] : []);
    expect(report.disconnected).toEqual(disconnected);
    await unstage(volume);
  });

  test("it never throws and never takes long: no sysfs, no tools, hanging umount, hanging list", async () => {
    const volume = lab.volume(32).export();
    await stage(volume);
    const sysRoot = sysfsWithout(lab, await numberOf(volume));
    const log: LogLine[] = [];
    const quick = {
      ...systemClock,
      sleep: (_: number, signal?: AbortSignal) => systemClock.sleep(200, signal),
    };
    const options = { sysRoot, clock: quick, logger: recordingLogger(log) };
    const cases = [
      lab.node("node-a", { ...options, sysRoot: "/nonexistent", procRoot: "/nonexistent" }),
      lab.node("node-a", { ...options, exec: () => Promise.reject(new Error("no tools")) }),
      lab.node("node-a", {
        ...options,
        exec: (command) =>
          command.program === "umount"
            ? exec({ ...command, program: "sleep", args: ["600"] })
            : exec(command),
      }),
      lab.node("node-a", options, (real) => ({ ...real, list: () => new Promise(() => {}) })),
    ];
    for (const [index, each] of cases.entries()) {
      // Each hangs for longer than a test may take.
      const report = await each.service.prune(DEADLINE);
      expect([index, report.incomplete]).toEqual([index, true]);
    }
    expect(log.every(({ level }) => level !== "error")).toBe(true);
    // The last one cleared the mount before it met the list that hangs.
    await unstage(volume);
  });

  test("without a driver name no mount is looked at", async () => {
    const volume = lab.volume(32).export();
    await stage(volume);
    const system = createNodeSystem({ sysRoot: sysfsWithout(lab, await numberOf(volume)) });
    const service = createNodeService({
      system,
      dataPath: node.dataPath,
      nodeId: "node-a",
      clusterId: "lab",
      nqnPrefix: "nqn.2000-02.com.mikrotik",
      maxVolumesPerNode: 0,
    });
    expect(await service.prune(DEADLINE)).toEqual(NOTHING);
    expect(lab.mountsAt(kubeletStaging(lab, volume.volumeId))).toHaveLength(1);
    await unstage(volume);
  });
});
