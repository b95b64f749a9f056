import { describe, expect, test } from "bun:test";
import { NQN, rig, useRig } from "./nvme-tcp.fixture.ts";

useRig();

describe("abandon", () => {
  test("the controllers that wait lose their remaining reconnects, and their end is waited for; a live one keeps them", async () => {
    rig.sysfs.addController("nvme1", {});
    rig.sysfs.set("state", "connecting");
    rig.meanwhile = (round) => {
      if (round === 3) rig.sysfs.removeController("nvme0");
    };
    await rig.dataPath.abandon(NQN);
    expect(rig.rounds).toBe(3);
    expect(rig.sysfs.get("ctrl_loss_tmo", "nvme1")).toBe("off");
  });

  test("one that does not end is waited for as long as its next attempt may take", async () => {
    rig.sysfs.set("state", "connecting");
    rig.sysfs.set("reconnect_delay", "2");
    await rig.dataPath.abandon(NQN);
    expect(rig.sysfs.get("ctrl_loss_tmo")).toBe("0");
    expect(rig.rounds).toBe(120);
  });

  test("absent is nothing to do, a foreign NQN is not touched", async () => {
    rig.sysfs.lose();
    await rig.dataPath.abandon(NQN);
    expect(rig.rounds).toBe(0);
    await expect(rig.dataPath.abandon("nqn.2019-01.com.example:x")).rejects.toMatchObject({
      id: "nqnForeign",
    });
  });
});
