import { describe, expect, test } from "bun:test";
import { mkdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { countUninspectable } from "../mount/process-access.ts";
import { NQN, OK, rig, useRig } from "./nvme-tcp.fixture.ts";

useRig();

describe("readiness", () => {
  test("processes that may not be looked into are a reason against it", async () => {
    mkdirSync(join(rig.procRoot, "17/ns"), { recursive: true });
    symlinkSync("mnt:[4026531840]", join(rig.procRoot, "17/ns/mnt"));
    expect((await rig.dataPath.readinessProblems()).join()).not.toContain("looked into");
    const read = async (path: string): Promise<string> => {
      const code = path.includes("/18/") ? "EACCES" : "ENOENT";
      throw Object.assign(new Error(code), { code });
    };
    mkdirSync(join(rig.procRoot, "18"));
    expect(await countUninspectable(rig.procRoot, read)).toBe(1);
    expect(await countUninspectable(rig.procRoot)).toBe(0);
  });

  test("a process that ends while it is looked at is none, though the kernel says EACCES", async () => {
    mkdirSync(join(rig.procRoot, "18"));
    const read = async (): Promise<string> => {
      rmSync(join(rig.procRoot, "18"), { recursive: true });
      throw Object.assign(new Error("EACCES"), { code: "EACCES" });
    };
    expect(await countUninspectable(rig.procRoot, read)).toBe(0);
  });
});

describe("disconnect", () => {
  test("absent: nothing is run", async () => {
    rig.sysfs.lose();
    await rig.dataPath.disconnect(NQN);
    expect(rig.commands).toEqual([]);
  });

  test("exactly this NQN, then waits until it is gone", async () => {
    rig.answer = () => {
      rig.meanwhile = (round) => {
        if (round === 3) rig.sysfs.lose();
      };
      return { ...OK, stdout: `NQN:${NQN} disconnected 1 controller(s)\n` };
    };
    await rig.dataPath.disconnect(NQN);
    expect(rig.commands.map(({ args }) => args)).toEqual([["disconnect", `--nqn=${NQN}`]]);
  });

  test("an nvme-cli that crashes is run again, not for ever", async () => {
    const crash = {
      code: null,
      stdout: "",
      stderr: "free(): double free detected in tcache 2",
      truncated: false,
    };
    rig.answer = () => {
      if (rig.commands.length === 3) rig.sysfs.lose();
      return rig.commands.length === 3 ? OK : crash;
    };
    await rig.dataPath.disconnect(NQN);
    expect(rig.commands.length).toBe(3);
  });

  test("nor does a crash that comes again and again end in a loop, or count as success", async () => {
    rig.answer = () => ({ code: null, stdout: "", stderr: "double free", truncated: false });
    await expect(rig.dataPath.disconnect(NQN)).rejects.toMatchObject({
      id: "disconnectNotProven",
      message: expect.stringContaining("double free"),
    });
    expect(rig.commands.length).toBe(4);
  });

  test("exit code 0 without effect is not success", async () => {
    rig.answer = () => ({ ...OK, stdout: `NQN:${NQN} disconnected 0 controller(s)\n` });
    await expect(rig.dataPath.disconnect(NQN)).rejects.toMatchObject({
      id: "disconnectNotProven",
      message: expect.stringContaining("nvme0"),
    });
  });
});

describe("rescan", () => {
  test("asks live controllers and returns the new size", async () => {
    const device = await rig.dataPath.find(NQN);
    if (device === undefined) throw new Error("no device");
    rig.answer = () => {
      rig.meanwhile = () => {
        rig.sysfs.sectors = 1_228_800;
      };
      return OK;
    };
    expect((await rig.dataPath.rescan(device)).sizeBytes).toBe(629_145_600n);
    expect(rig.commands.map(({ args }) => args)).toEqual([["ns-rescan", "/dev/nvme0"]]);
  });
});
