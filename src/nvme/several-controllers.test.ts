import { describe, expect, test } from "bun:test";
import { CONNECT, HOST, NQN, OK, ran, rig, TARGET, useRig } from "./nvme-tcp.fixture.ts";

useRig();

describe("several controllers of one NQN", () => {
  test("multipath: one that is right and live is enough, one to another address is reported", async () => {
    rig.sysfs.addController("nvme1", { address: "traddr=192.0.2.8,trsvcid=4420" });
    expect(await rig.dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
    expect(rig.logged).toEqual([
      `also connected to another address ${JSON.stringify({
        nqn: NQN,
        wanted: "192.0.2.9:4420",
        paths: "nvme1 live at 192.0.2.8:4420",
      })}`,
    ]);
    expect(rig.commands).toEqual([]);
  });

  test("multipath: the right one is connecting, another one is live: waits for the right one", async () => {
    rig.sysfs.state = "connecting";
    rig.sysfs.addController("nvme1", { address: "traddr=192.0.2.8,trsvcid=4420", state: "live" });
    rig.meanwhile = (round) => {
      if (round === 4) rig.sysfs.state = "live";
    };
    expect(await rig.dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
    expect(rig.commands).toEqual([]);
  });

  test("multipath: two right ones, one of them lost: used", async () => {
    rig.sysfs.addController("nvme1", { state: "connecting" });
    expect(await rig.dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
  });

  test("multipath: all are elsewhere and unused: all go, one comes", async () => {
    rig.sysfs.address = "traddr=192.0.2.8,trsvcid=4420";
    rig.sysfs.addController("nvme1", {});
    rig.answer = (command) => {
      if (command.args[0] === "disconnect") {
        rig.sysfs.removeController("nvme1");
        rig.sysfs.rename("nqn.2019-01.com.example:gone", HOST);
      } else {
        rig.sysfs.rename(NQN, HOST);
        rig.sysfs.address = "traddr=192.0.2.9,trsvcid=4420";
      }
      return OK;
    };
    expect(await rig.dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
    expect(ran()).toEqual([`disconnect --nqn=${NQN}`, CONNECT]);
  });

  test("no multipath: every path has a device of its own (recorded/no-multipath.txt): refused, not chosen from", async () => {
    rig.sysfs.withoutMultipath();
    expect(await rig.dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
    rig.sysfs.addController("nvme1", { address: "traddr=192.0.2.8,trsvcid=4420" });
    rig.sysfs.addPathDevice("nvme1", "nvme1n1");
    await expect(rig.dataPath.connect(TARGET)).rejects.toMatchObject({
      id: "deviceAmbiguous",
      message: expect.stringContaining("/dev/nvme0n1, /dev/nvme1n1"),
    });
    expect(rig.commands).toEqual([]);
  });

  test("no multipath: the device of one that is being removed is waited out", async () => {
    rig.sysfs.withoutMultipath();
    rig.sysfs.addController("nvme1", { state: "deleting" });
    rig.sysfs.addPathDevice("nvme1", "nvme1n1");
    rig.meanwhile = (round) => {
      if (round === 3) rig.sysfs.removeController("nvme1");
    };
    expect(await rig.dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
    expect(rig.system.clock.monotonic()).toBe(300);
  });

  test("no multipath: the device of a controller at another address is not taken for the right one's", async () => {
    rig.sysfs.withoutMultipath();
    rig.sysfs.address = "traddr=192.0.2.8,trsvcid=4420";
    rig.sysfs.addController("nvme1", { address: "traddr=192.0.2.9,trsvcid=4420" });
    rig.answer = () => OK;
    await expect(rig.dataPath.connect(TARGET)).rejects.toMatchObject({ id: "namespaceAbsent" });
    expect(ran()).toEqual(["ns-rescan /dev/nvme1"]);
  });

  test("no multipath: one connection to another address is moved as well", async () => {
    rig.sysfs.withoutMultipath();
    rig.sysfs.address = "traddr=192.0.2.8,trsvcid=4420";
    rig.answer = (command) => {
      rig.sysfs.rename(command.args[0] === "disconnect" ? "nqn.2019-01.com.example:gone" : NQN, HOST);
      rig.sysfs.address = "traddr=192.0.2.9,trsvcid=4420";
      return OK;
    };
    expect(await rig.dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1", path: "/dev/nvme0n1" });
    expect(ran()).toEqual([`disconnect --nqn=${NQN}`, CONNECT]);
  });
});
