import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Command, ExecResult } from "../host/exec.ts";
import { CONNECT, HOST, NQN, OK, ran, rig, TARGET, useRig } from "./nvme-tcp.fixture.ts";

useRig();

describe("an existing connection", () => {
  const ELSEWHERE = "traddr=192.0.2.8,trsvcid=4420,src_addr=192.0.2.7";
  /** disconnect removes it; connect brings it back at the right address. */
  const obey = ({ args }: Command): ExecResult => {
    if (args[0] === "disconnect") rig.sysfs.lose();
    return OK;
  };

  test.each([
    ["192.0.2.9", "traddr=192.0.2.9,trsvcid=4420,host_traddr=192.0.2.7,src_addr=192.0.2.7"],
    ["2001:db8::9", "traddr=2001:DB8:0:0::9,trsvcid=4420,src_addr=2001:db8::7"],
    ["192.0.2.9", "traddr=::ffff:192.0.2.9,trsvcid=4420"],
  ])("to %s as %s: the right address, however it is spelled", async (address, attribute) => {
    rig.sysfs.address = attribute;
    expect(await rig.dataPath.connect({ ...TARGET, address })).toMatchObject({ name: "nvme0n1" });
    expect(rig.commands).toEqual([]);
  });

  test.each([
    ["another address", ELSEWHERE, "192.0.2.8:4420"],
    ["another port", "traddr=192.0.2.9,trsvcid=4421,src_addr=192.0.2.7", "192.0.2.9:4421"],
    ["another address, lost", "traddr=2001:db8::8,trsvcid=4420", "[2001:db8::8]:4420"],
  ])("to %s, unused: disconnected, then connected anew", async (title, attribute, shown) => {
    rig.sysfs.address = attribute;
    if (title.endsWith("lost")) rig.sysfs.state = "connecting";
    rig.answer = (command) => {
      if (command.args[0] === "disconnect") rig.sysfs.rename("nqn.2019-01.com.example:gone", HOST);
      else {
        rig.sysfs.rename(NQN, HOST);
        rig.sysfs.address = "traddr=192.0.2.9,trsvcid=4420";
        rig.sysfs.state = "live";
      }
      return OK;
    };
    expect(await rig.dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
    expect(ran()).toEqual([`disconnect --nqn=${NQN}`, CONNECT]);
    expect(rig.logged.join()).toContain(shown);
  });

  test("to another address, used: refused, naming both addresses and the users; nothing is disconnected", async () => {
    rig.sysfs.address = ELSEWHERE;
    const uses = [{ pid: 4711, command: "qemu-kvm", parent: 1, how: "fd 7" }];
    rig.inspection = {
      exclusive: "busy",
      detail: "",
      processes: { uses, unreadable: 0 },
      backing: { files: [], remote: [] },
    };
    writeFileSync(
      join(rig.procRoot, "self/mountinfo"),
      "36 35 259:1 / /var/lib/kubelet/x rw - ext4 /dev/nvme0n1 rw\n",
    );
    await expect(rig.dataPath.connect(TARGET)).rejects.toMatchObject({
      id: "connectedElsewhere",
      code: 9,
      message: expect.stringContaining(
        `${NQN} is connected to 192.0.2.8:4420 instead of 192.0.2.9:4420, and cannot be moved: mounted at /var/lib/kubelet/x; process 4711 (qemu-kvm, fd 7)`,
      ),
    });
    expect(rig.commands).toEqual([]);
  });

  test("to another address, and its users cannot be known: nothing is disconnected", async () => {
    rig.sysfs.address = ELSEWHERE;
    rig.inspection = {
      exclusive: "free",
      detail: "",
      processes: { uses: [], unreadable: 3 },
      backing: { files: [], remote: [] },
    };
    await expect(rig.dataPath.connect(TARGET)).rejects.toMatchObject({ id: "nodeStateUnknown" });
    rig.inspection = {
      exclusive: "error",
      detail: "EIO",
      processes: { uses: [], unreadable: 0 },
      backing: { files: [], remote: [] },
    };
    await expect(rig.dataPath.connect(TARGET)).rejects.toMatchObject({ id: "nodeStateUnknown" });
    expect(rig.commands).toEqual([]);
  });

  test("to another address, and it does not go: not connected beside it", async () => {
    rig.sysfs.address = ELSEWHERE;
    rig.answer = () => OK;
    await expect(rig.dataPath.connect(TARGET)).rejects.toMatchObject({ id: "disconnectNotProven" });
    expect(ran()).toEqual([`disconnect --nqn=${NQN}`]);
  });

  test("to another address, again after it was moved: given up", async () => {
    rig.sysfs.address = ELSEWHERE;
    rig.answer = (command) => {
      rig.sysfs.rename(command.args[0] === "disconnect" ? "nqn.2019-01.com.example:gone" : NQN, HOST);
      return OK;
    };
    await expect(rig.dataPath.connect(TARGET)).rejects.toMatchObject({ id: "connectedElsewhere" });
    expect(ran()).toEqual([`disconnect --nqn=${NQN}`, CONNECT]);
  });

  test("over another transport is another address", async () => {
    rig.sysfs.set("transport", "rdma");
    rig.inspection = {
      ...rig.inspection,
      processes: { uses: [{ pid: 1, command: "x", parent: 0, how: "fd 1" }], unreadable: 0 },
      backing: { files: [], remote: [] },
    };
    await expect(rig.dataPath.connect(TARGET)).rejects.toMatchObject({
      id: "connectedElsewhere",
      message: expect.stringContaining("192.0.2.9:4420 (rdma)"),
    });
  });

  test("whose address cannot be read is looked at again", async () => {
    rig.sysfs.address = "";
    rig.meanwhile = (round) => {
      if (round === 3) rig.sysfs.address = "traddr=192.0.2.9,trsvcid=4420";
    };
    expect(await rig.dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
    expect(rig.commands).toEqual([]);
  });

  test("for the same host NQN with another host ID: refused", async () => {
    rig.sysfs.set("hostid", "33333333-3333-4333-8333-333333333333");
    await expect(rig.dataPath.connect(TARGET)).rejects.toMatchObject({
      id: "connectedAsOtherHost",
      code: 9,
      message: expect.stringContaining("(host ID 33333333-3333-4333-8333-333333333333) instead of"),
    });
    rig.sysfs.set("hostid", TARGET.hostId.toUpperCase());
    expect(await rig.dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
  });

  for (const state of ["deleting", "deleting (no IO)", "dead"]) {
    test(`${state}: waits until it is gone, then connects`, async () => {
      rig.sysfs.state = state;
      rig.answer = (command) => {
        expect(command.args[0]).toBe("connect");
        rig.sysfs.rename(NQN, HOST);
        rig.sysfs.state = "live";
        return OK;
      };
      rig.meanwhile = (round) => {
        if (round === 5) rig.sysfs.rename("nqn.2019-01.com.example:gone", HOST);
      };
      expect(await rig.dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
      expect(ran()).toEqual([CONNECT]);
    });

    test(`${state} for ever: UNAVAILABLE with the state`, async () => {
      rig.sysfs.state = state;
      await expect(rig.dataPath.connect(TARGET)).rejects.toMatchObject({
        id: "deviceNotReady",
        message: expect.stringContaining(`after 40 s (nvme0 ${state} at 192.0.2.9:4420)`),
      });
      expect(rig.commands).toEqual([]);
    });
  }

  test("one that was made for another host and is being removed is waited for as well", async () => {
    rig.sysfs.state = "deleting";
    rig.sysfs.rename(NQN, HOST.replaceAll("1111", "2222"));
    rig.meanwhile = (round) => {
      if (round === 2) rig.sysfs.lose();
    };
    rig.answer = obey;
    await expect(rig.dataPath.connect(TARGET)).rejects.toMatchObject({ id: "deviceNotReady" });
    expect(ran()).toEqual([CONNECT]);
  });

  test("live without namespace: waits, scans once, takes the namespace that comes", async () => {
    rig.sysfs.loseDevice();
    rig.answer = () => {
      rig.sysfs.addDevice("nvme0n1");
      return OK;
    };
    expect(await rig.dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
    expect(ran()).toEqual(["ns-rescan /dev/nvme0"]);
    expect(rig.system.clock.monotonic()).toBe(3_100);
  });

  for (const code of [0, 1]) {
    test(`live without namespace for ever: UNAVAILABLE, one rescan (exit code ${code})`, async () => {
      rig.sysfs.loseDevice();
      rig.answer = () => ({ ...OK, code });
      await expect(rig.dataPath.connect(TARGET)).rejects.toMatchObject({
        id: "namespaceAbsent",
        code: 14,
        message: expect.stringContaining(
          "is connected (nvme0 live at 192.0.2.9:4420), but has no namespace after 10 s",
        ),
      });
      expect(ran()).toEqual(["ns-rescan /dev/nvme0"]);
    });
  }
});
