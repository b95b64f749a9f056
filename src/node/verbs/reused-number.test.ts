import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import process from "node:process";
import { BLOCK, DRIVER, Lab, type LabNode, noDevices, type Volume } from "../../../test/support/loop-node.ts";
import { parseVolumeId } from "../../domain/volume-id.ts";
import type { BlockDevice, DataPath } from "../../host/data-path.ts";
import { kubeletStaging } from "../health/lost.fixture.ts";

/**
 * One volume's device is gone, and the kernel gave its number to the next: one loop device, which the data path calls first by
 * the one volume's NQN, then by the other's.
 */
describe.skipIf(noDevices !== "")(`a device number that went from one volume to another ${noDevices}`, () => {
  let lab: Lab;
  let node: LabNode;
  let lost: Volume;
  let next: Volume;
  let device: BlockDevice;
  let connected: Volume | undefined;
  beforeAll(() => {
    lab = new Lab();
  });
  afterAll(() => {
    if (device !== undefined) unlinkSync(device.path);
    lab.cleanUp();
  });

  /** The device under a name of its own in /dev, which can vanish as the kernel lets one vanish. */
  const ownNode = (found: BlockDevice): BlockDevice => {
    const name = `rds-csi-test-${process.pid}`;
    makeNode(`/dev/${name}`, found.number);
    return { ...found, name, path: `/dev/${name}` };
  };
  const makeNode = (path: string, number: string) => {
    execFileSync("mknod", [path, "b", ...number.split(":")]);
  };

  const volumeDevices = (...parts: string[]) => lab.path("plugins/kubernetes.io/csi/volumeDevices", ...parts);
  /** As kubelet names the target of a block volume, with its record beside it. */
  const blockTarget = (volume: Volume, pod: string, driverName = DRIVER): string => {
    const data = volumeDevices(`pv-${volume.volumeId}`, "data");
    mkdirSync(data, { recursive: true });
    writeFileSync(`${data}/vol_data.json`, JSON.stringify({ driverName, volumeHandle: volume.volumeId }));
    mkdirSync(volumeDevices("publish", `pv-${volume.volumeId}`), { recursive: true });
    mkdirSync(lab.path("pods", pod), { recursive: true });
    return volumeDevices("publish", `pv-${volume.volumeId}`, pod);
  };
  const request = (volume: Volume) => ({
    volumeId: volume.volumeId,
    publishContext: volume.context(node),
    stagingTargetPath: kubeletStaging(lab, volume.volumeId),
    capability: BLOCK,
  });
  const stage = (volume: Volume) => node.service.stage({ ...request(volume), volumeContext: {} });
  const publish = (volume: Volume, targetPath: string) =>
    node.service.publish({ ...request(volume), targetPath, readonly: false });
  const unpublish = (volume: Volume, targetPath: string) =>
    node.service.unpublish({ volumeId: volume.volumeId, targetPath });

  beforeEach(async () => {
    [lost, next] = [lab.volume(16).export(), lab.volume(16).export()];
    const own = (nqn: string) => (connected?.nqn === nqn ? { ...device, nqn } : undefined);
    const wrap = (real: DataPath): DataPath => ({
      ...real,
      connect: async ({ nqn }) => {
        device ??= ownNode(await real.connect({ ...target(), nqn }));
        connected = [lost, next].find((volume) => volume.nqn === nqn);
        return { ...device, nqn };
      },
      find: async (nqn) => own(nqn),
      list: async () => {
        const slot = connected && parseVolumeId(connected.volumeId);
        if (connected === undefined || slot === undefined) return [];
        const { nqn, epoch } = connected;
        return [{ nqn, slot, epoch, state: "live", device: own(nqn) }];
      },
      disconnect: async () => {
        connected = undefined;
      },
    });
    node = lab.node("node-a", {}, wrap);
    await stage(lost);
  });
  afterEach(() => {
    for (const volume of [lost, next]) {
      rmSync(volumeDevices(`pv-${volume.volumeId}`), { recursive: true, force: true });
    }
  });
  const target = () => ({
    address: "127.0.0.1",
    port: 4420,
    hostNqn: lost.context(node).hostNqn ?? "",
    hostId: "x",
    ctrlLossTmo: -1,
    reconnectDelay: 1,
    keepAliveTmo: 1,
    fastIoFailTmo: -1,
    nrIoQueues: 0,
    queueSize: 0,
  });
  /** Its device goes away without a word to the driver, and the kernel makes a new node for the next one. */
  const lose = () => {
    connected = undefined;
    unlinkSync(device.path);
    makeNode(device.path, device.number);
  };
  const numberAt = (path: string) => {
    const { rdev } = statSync(path);
    return `${rdev >> 8}:${rdev & 0xff}`;
  };

  test("the next volume is not staged, and not left connected, while a pod has the other's target; then it is", async () => {
    const at = blockTarget(lost, "pod-1");
    await publish(lost, at);
    lose();
    expect(numberAt(at)).toBe(device.number);
    await expect(stage(next)).rejects.toMatchObject({
      id: "deviceNumberTaken",
      code: 9,
      summary: expect.stringContaining(`${at} (volume ${lost.volumeId})`),
    });
    expect(connected).toBeUndefined();
    expect(lab.mountsAt(at)).toHaveLength(1);
    await unpublish(lost, at);
    expect(existsSync(at)).toBe(false);
    await stage(next);
    expect(connected).toBe(next);
  });

  test("nor is it published, if the other's target came to be meanwhile", async () => {
    const at = blockTarget(lost, "pod-2");
    await publish(lost, at);
    connected = next;
    const own = blockTarget(next, "pod-3");
    await expect(publish(next, own)).rejects.toMatchObject({ id: "deviceNumberTaken" });
    expect(existsSync(own)).toBe(false);
    await unpublish(lost, at);
    await publish(next, own);
    await unpublish(next, own);
  });

  test("a plain device node at the other's target counts as well, and so does kubelet's own bind mount of it", async () => {
    const at = blockTarget(lost, "pod-4");
    makeNode(at, device.number);
    lose();
    await expect(stage(next)).rejects.toMatchObject({ id: "deviceNumberTaken" });
    await unpublish(lost, at);
    const map = volumeDevices(`pv-${lost.volumeId}`, "dev");
    mkdirSync(map);
    writeFileSync(`${map}/pod-4`, "");
    execFileSync("mount", ["--bind", device.path, `${map}/pod-4`]);
    await expect(stage(next)).rejects.toMatchObject({
      id: "deviceNumberTaken",
      summary: expect.stringContaining(`${map}/pod-4 (volume ${lost.volumeId})`),
    });
    execFileSync("umount", [`${map}/pod-4`]);
    await stage(next);
  });

  test("what a pod left that is gone is cleared away", async () => {
    const [mounted, plain] = [blockTarget(lost, "pod-5"), blockTarget(lost, "pod-6")];
    await publish(lost, mounted);
    makeNode(plain, device.number);
    lose();
    for (const pod of ["pod-5", "pod-6"]) rmSync(lab.path("pods", pod), { recursive: true });
    await stage(next);
    expect(lab.mountsAt(mounted)).toEqual([]);
    expect([existsSync(mounted), existsSync(plain)]).toEqual([false, false]);
  });

  test("paths of the volume itself, of other drivers and of nobody known are not in its way, and stay", async () => {
    const own = blockTarget(next, "pod-7");
    const foreign = blockTarget(lost, "pod-8", "other.example");
    const nobody = lab.path("somewhere");
    for (const path of [own, foreign, nobody]) {
      writeFileSync(path, "");
      execFileSync("mount", ["--bind", device.path, path]);
    }
    lose();
    await stage(next);
    for (const path of [own, foreign, nobody]) {
      expect(lab.mountsAt(path)).toHaveLength(1);
      execFileSync("umount", [path]);
    }
  });

  test("the other's target is a dead one: stats and survey say so, its next publish replaces it", async () => {
    const at = blockTarget(lost, "pod-9");
    await publish(lost, at);
    connected = next;
    const { condition } = await node.service.stats({ volumeId: lost.volumeId, volumePath: at });
    expect(condition).toMatchObject({ abnormal: true, message: expect.stringContaining("vanished") });
    const id = parseVolumeId(lost.volumeId);
    expect(id && (await node.service.survey()).get(id)?.map(({ cause }) => cause)).toEqual([
      "device-vanished",
    ]);
    // Published again, with a device that is its own.
    connected = lost;
    await publish(lost, at);
    expect(lab.mountsAt(at)).toHaveLength(1);
    await unpublish(lost, at);
  });
});
