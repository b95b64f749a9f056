import { describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { HOST, NQN, PREFIX, rig, SLOT, TARGET, useRig } from "./nvme-tcp.fixture.ts";

useRig();

describe("NQN to device", () => {
  test("multipath: the device of the subsystem, not the hidden path", async () => {
    expect(await rig.dataPath.find(NQN)).toEqual({
      nqn: NQN,
      name: "nvme0n1",
      path: "/dev/nvme0n1",
      number: "259:1",
      sizeBytes: 314_572_800n,
      readOnly: false,
    });
    expect(await rig.dataPath.list()).toMatchObject([
      { nqn: NQN, slot: SLOT, epoch: 3, state: "live", device: { name: "nvme0n1" } },
    ]);
  });

  test("no multipath: the device of the controller", async () => {
    rig.sysfs.withoutMultipath();
    expect(await rig.dataPath.find(NQN)).toMatchObject({ path: "/dev/nvme0n1", number: "259:1" });
  });

  test("after a reconnect beside a stale mount the names have other numbers", async () => {
    rig.sysfs.rebornAsN2();
    expect(await rig.dataPath.find(NQN)).toMatchObject({ name: "nvme0n2" });
  });

  test("only the exact NQN counts", async () => {
    for (const other of [`${PREFIX}:${SLOT}`, `${PREFIX}:${SLOT}.33`, `${PREFIX}:${SLOT}.4`]) {
      expect(await rig.dataPath.find(other)).toBeUndefined();
    }
  });

  test("a subsystem that only a stale mount keeps is absent; one with a controller and no device is unknown", async () => {
    rig.sysfs.loseDevice();
    rig.sysfs.state = "connecting";
    await expect(rig.dataPath.find(NQN)).rejects.toMatchObject({ id: "deviceNotReady" });
    expect(await rig.dataPath.list()).toMatchObject([{ nqn: NQN, state: "connecting", device: undefined }]);
    rig.sysfs.lose();
    expect(await rig.dataPath.find(NQN)).toBeUndefined();
    expect(await rig.dataPath.list()).toEqual([]);
  });

  test("no NVMe class in sysfs is absent; no sysfs is unknown", async () => {
    rmSync(join(rig.sysfs.root, "class/nvme"), { recursive: true });
    rmSync(join(rig.sysfs.root, "class/nvme-subsystem"), { recursive: true });
    expect(await rig.dataPath.find(NQN)).toBeUndefined();
    rmSync(join(rig.sysfs.root, "class"), { recursive: true });
    await expect(rig.dataPath.find(NQN)).rejects.toMatchObject({ id: "nodeStateUnknown" });
  });

  test("several devices are refused, not chosen from", async () => {
    rig.sysfs.addDevice("nvme0n7");
    await expect(rig.dataPath.find(NQN)).rejects.toMatchObject({ id: "deviceAmbiguous" });
    await expect(rig.dataPath.connect(TARGET)).rejects.toMatchObject({ id: "deviceAmbiguous" });
    await expect(rig.dataPath.disconnect(NQN)).rejects.toMatchObject({ id: "deviceAmbiguous" });
    expect(await rig.dataPath.list()).toHaveLength(2);
    expect(rig.commands).toEqual([]);
  });

  test("what is not ours is neither listed nor touched", async () => {
    for (const nqn of [
      `${PREFIX}:system-disk`,
      `nqn.2019-01.com.example:${SLOT}`,
      `${PREFIX}:${SLOT}.0`,
      `${PREFIX}x:${SLOT}`,
    ]) {
      rig.sysfs.rename(nqn, HOST);
      expect(await rig.dataPath.list()).toEqual([]);
      for (const call of [
        rig.dataPath.find(nqn),
        rig.dataPath.disconnect(nqn),
        rig.dataPath.connect({ ...TARGET, nqn }),
      ]) {
        await expect(call).rejects.toMatchObject({ id: "nqnForeign" });
      }
    }
    expect(rig.commands).toEqual([]);
  });
});
