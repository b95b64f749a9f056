import { describe, expect, test } from "bun:test";
import { rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { HOST, NQN, OK, rig, TARGET, useRig } from "./nvme-tcp.fixture.ts";

useRig();

describe("timeouts of a connection", () => {
  const times = () =>
    ["reconnect_delay", "ctrl_loss_tmo", "fast_io_fail_tmo"].map((name) => rig.sysfs.get(name));

  test("fast_io_fail_tmo is set after connecting: nvme-cli 2.3 has no option for it", async () => {
    rig.sysfs.rename("nqn.2019-01.com.example:other", HOST);
    rig.answer = () => {
      rig.sysfs.rename(NQN, HOST);
      return OK;
    };
    await rig.dataPath.connect({ ...TARGET, fastIoFailTmo: 30 });
    expect(times()).toEqual(["2", "off", "30"]);
    expect(rig.commands[0]?.args.join(" ")).not.toContain("fast");
  });

  test("a connection that is used again gets what the volume wants; what is right is left", async () => {
    for (const [attribute, value] of [
      ["reconnect_delay", "10"],
      ["ctrl_loss_tmo", "600"],
      ["fast_io_fail_tmo", "5"],
    ] as const)
      rig.sysfs.set(attribute, value);
    await rig.dataPath.connect(TARGET);
    expect(times()).toEqual(["2", "-1", "-1"]);
    expect(rig.logged).toHaveLength(3);
    rig.logged = [];
    await rig.dataPath.connect(TARGET);
    expect(rig.logged).toEqual([]);
    await rig.dataPath.connect({ ...TARGET, ctrlLossTmo: 60, fastIoFailTmo: 0 });
    expect(times()).toEqual(["2", "60", "0"]);
  });

  test("the kernel shows ctrl_loss_tmo in whole reconnects: 602 for 600 with a delay of 7 is right", async () => {
    const target = { ...TARGET, ctrlLossTmo: 600, reconnectDelay: 7 };
    rig.sysfs.set("reconnect_delay", "7");
    rig.sysfs.set("ctrl_loss_tmo", "602");
    await rig.dataPath.connect(target);
    expect([times(), rig.logged]).toEqual([["7", "602", "off"], []]);
    // One step off is another value.
    rig.sysfs.set("ctrl_loss_tmo", "595");
    await rig.dataPath.connect(target);
    expect(times()).toEqual(["7", "600", "off"]);
  });

  test("not writable, or without effect: UNAVAILABLE, naming the attribute", async () => {
    const path = join(rig.sysfs.controller, "fast_io_fail_tmo");
    rmSync(path);
    symlinkSync("/dev/null", path);
    await expect(rig.dataPath.connect({ ...TARGET, fastIoFailTmo: 30 })).rejects.toMatchObject({
      id: "connectionNotTuned",
      code: 14,
      message: expect.stringContaining("fast_io_fail_tmo of nvme0"),
    });
    rmSync(path);
    // Readable, but no write has an effect: as a read-only /sys.
    symlinkSync("/proc/sys/kernel/random/boot_id", path);
    await expect(rig.dataPath.connect(TARGET)).rejects.toMatchObject({ id: "connectionNotTuned" });
  });

  test("an attribute that the kernel does not have is logged, and nothing is created in its place", async () => {
    rmSync(join(rig.sysfs.controller, "fast_io_fail_tmo"));
    await rig.dataPath.connect(TARGET);
    expect(rig.logged).toEqual([]);
    await rig.dataPath.connect({ ...TARGET, fastIoFailTmo: 30 });
    expect(rig.logged.join()).toContain('"attribute":"fast_io_fail_tmo"');
    expect(() => rig.sysfs.get("fast_io_fail_tmo")).toThrow("ENOENT");
  });

  test("every path of the volume is set, and no other controller", async () => {
    rig.sysfs.addController("nvme1", {});
    rig.sysfs.addController("nvme2", { address: "traddr=192.0.2.8,trsvcid=4420" });
    await rig.dataPath.connect({ ...TARGET, fastIoFailTmo: 9 });
    expect(["nvme0", "nvme1", "nvme2"].map((name) => rig.sysfs.get("fast_io_fail_tmo", name))).toEqual([
      "9",
      "9",
      "off",
    ]);
  });
});
