import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { type LogLine, recordingLogger } from "../../../test/support/kubernetes/world.ts";
import { BLOCK, EXT4, Lab, type LabNode, noDevices, type Volume } from "../../../test/support/loop-node.ts";
import { systemClock } from "../../domain/clock.ts";
import type { Connection, DataPath } from "../../host/data-path.ts";
import { kubeletStaging, kubeletTarget, sysfsWithout } from "./lost.fixture.ts";

describe.skipIf(noDevices !== "")(`healing ${noDevices}`, () => {
  let lab: Lab;
  let node: LabNode;
  beforeAll(() => {
    lab = new Lab();
    node = lab.node("node-a");
  });
  afterAll(() => lab.cleanUp());

  const request = (volume: Volume, on: LabNode, capability = EXT4) => ({
    volumeId: volume.volumeId,
    publishContext: volume.context(on, { filesystemState: "used" }),
    stagingTargetPath: kubeletStaging(lab, volume.volumeId),
    capability,
  });
  const stage = (volume: Volume, on = node, capability = EXT4) =>
    on.service.stage({ ...request(volume, on, capability), volumeContext: {} });
  const publish = (volume: Volume, targetPath: string, on = node, capability = EXT4) =>
    on.service.publish({ ...request(volume, on, capability), targetPath, readonly: false });
  const unstage = (volume: Volume, on = node) =>
    on.service.unstage({
      volumeId: volume.volumeId,
      stagingTargetPath: kubeletStaging(lab, volume.volumeId),
    });
  /** The same node after its device has vanished: what connects now gets another device. */
  const afterLoss = async (volume: Volume, log: LogLine[] = []): Promise<LabNode> => {
    const number = (await node.dataPath.find(volume.nqn))?.number ?? "";
    const overrides = { sysRoot: sysfsWithout(lab, number), logger: recordingLogger(log) };
    return lab.node("node-a", overrides, undefined, `${lab.root}/state/again-${volume.volumeId}`);
  };

  test("device renamed: the dead staging mount goes, none is stacked, the data is there, dead pods are named", async () => {
    const volume = lab.volume(32).export();
    await stage(volume);
    const staging = kubeletStaging(lab, volume.volumeId);
    writeFileSync(`${staging}/kept`, "x");
    execFileSync("sync", ["--file-system", staging]);
    const target = kubeletTarget(lab, "pod-old", volume.volumeId);
    await publish(volume, target);
    const old = lab.mountsAt(staging)[0]?.device;
    const log: LogLine[] = [];
    const again = await afterLoss(volume, log);
    await stage(volume, again);
    await stage(volume, again);
    expect(lab.mountsAt(staging)).toHaveLength(1);
    expect(lab.mountsAt(staging)[0]?.device).not.toBe(old);
    expect(readFileSync(`${staging}/kept`, "utf8")).toBe("x");
    expect(log.filter(({ message }) => message.includes("vanished"))).toMatchObject([
      { level: "warn", fields: { path: staging, deadInPods: [target] } },
    ]);
    // The pod's own mount is replaced when the pod is published anew.
    expect(lab.mountsAt(target)[0]?.device).toBe(old);
    await publish(volume, target, again);
    expect(lab.mountsAt(target)).toHaveLength(1);
    expect(lab.mountsAt(target)[0]?.device).not.toBe(old);
    await again.service.unpublish({ volumeId: volume.volumeId, targetPath: target });
    await unstage(volume, again);
    await unstage(volume);
    expect(lab.loops()).toEqual([]);
  });

  test("block: the node of a vanished device at the target is replaced", async () => {
    const volume = lab.volume(8).export();
    const target = kubeletTarget(lab, "pod-block", volume.volumeId);
    await stage(volume, node, BLOCK);
    await publish(volume, target, node, BLOCK);
    const old = statSync(target).rdev;
    const again = await afterLoss(volume);
    await stage(volume, again, BLOCK);
    await publish(volume, target, again, BLOCK);
    expect(lab.mountsAt(target)).toHaveLength(1);
    expect(statSync(target).rdev).not.toBe(old);
    await again.service.unpublish({ volumeId: volume.volumeId, targetPath: target });
    expect(existsSync(target)).toBe(false);
    await unstage(volume, again);
    await unstage(volume);
    expect(lab.loops()).toEqual([]);
  });

  /** A node whose connection has no device and this state, until it is disconnected. */
  const withBroken = (state: string, returnsAfter = Number.POSITIVE_INFINITY) => {
    const disconnected: string[] = [];
    let lists = 0;
    const wrap = (real: DataPath): DataPath => ({
      ...real,
      list: async (signal) => {
        lists += 1;
        const broken = disconnected.length === 0 && lists <= returnsAfter;
        const change = (each: Connection) => (broken ? { ...each, state, device: undefined } : each);
        return (await real.list(signal)).map(change);
      },
      disconnect: async (nqn, signal) => {
        disconnected.push(nqn);
        await real.disconnect(nqn, signal);
      },
    });
    let offset = 0;
    const clock = {
      ...systemClock,
      monotonic: () => performance.now() + offset,
      // A program of another test may have the device open for a moment: looks are not repeated at once.
      sleep: async (ms: number, signal?: AbortSignal) => {
        offset += ms;
        await systemClock.sleep(Math.min(ms, 250), signal);
      },
    };
    return { on: lab.node("node-a", { clock }, wrap), disconnected };
  };

  test.each([
    ["dead", true],
    ["deleting", true],
    ["deleting (no IO)", true],
    ["dead, deleting", true],
    ["live", true],
    ["connecting", false],
    ["resetting", false],
    ["new", false],
    ["connecting, deleting", false],
    ["a state of the next kernel", false],
  ])("a connection without a device whose controller is %s: ended is %p", async (state, ended) => {
    const volume = lab.volume(32).export();
    await stage(volume, node, BLOCK);
    const { on, disconnected } = withBroken(state);
    await stage(volume, on);
    expect(disconnected).toEqual(ended ? [volume.nqn] : []);
    await unstage(volume);
  });

  test("a live connection whose namespace appears in time stays", async () => {
    const volume = lab.volume(32).export();
    await stage(volume, node, BLOCK);
    const { on, disconnected } = withBroken("live", 4);
    await stage(volume, on);
    expect(disconnected).toEqual([]);
    await unstage(volume);
  });

  test("a connection is not ended while its volume is mounted at the staging path", async () => {
    const volume = lab.volume(32).export();
    await stage(volume);
    const { on, disconnected } = withBroken("live");
    await stage(volume, on);
    expect(disconnected).toEqual([]);
    expect(lab.mountsAt(kubeletStaging(lab, volume.volumeId))).toHaveLength(1);
    await unstage(volume);
  });
});
