import { describe, expect, test } from "bun:test";
import { mkdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../domain/clock.ts";
import { countUninspectable } from "../mount/processes.ts";
import { createNodeService } from "../node/service.ts";
import { endController } from "./end-controller.ts";
import { NQN, OK, PREFIX, rig, SLOT, useRig } from "./nvme-tcp.fixture.ts";

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

describe("a controller without a subsystem, which nvme-cli does not find", () => {
  const nothing = (): typeof OK => ({ ...OK, stdout: `NQN:${NQN} disconnected 0 controller(s)\n` });

  test("is ended by its own delete_controller, and its end is waited for", async () => {
    rig.sysfs.withoutSubsystem();
    rig.sysfs.state = "dead";
    rig.answer = nothing;
    rig.meanwhile = (round) => {
      if (round < 3) return;
      expect(rig.sysfs.get("delete_controller")).toBe("1");
      rig.sysfs.removeController("nvme0");
    };
    await rig.dataPath.disconnect(NQN);
    expect(rig.ended).toEqual(["nvme0"]);
  });

  test("is ended alone: controllers of other NQNs, of other transports and those with a subsystem are not written to", async () => {
    rig.sysfs.addController("nvme1", { subsysnqn: `${NQN}.1`, delete_controller: "" });
    rig.sysfs.addController("nvme2", { transport: "pcie", delete_controller: "" });
    rig.sysfs.withoutSubsystem();
    rig.answer = nothing;
    await expect(rig.dataPath.disconnect(NQN)).rejects.toMatchObject({
      id: "disconnectNotProven",
      message: expect.stringContaining("nvme0, nvme2 left"),
    });
    expect(rig.sysfs.get("delete_controller", "nvme0")).toBe("1");
    for (const other of ["nvme1", "nvme2"]) expect(rig.sysfs.get("delete_controller", other)).toBe("");
  });

  test.each(["NodeUnstageVolume", "the clearing at node start"])("%s ends it", async (who) => {
    rig.sysfs.withoutSubsystem();
    rig.sysfs.state = "dead";
    rig.answer = nothing;
    rig.meanwhile = () => {
      if (rig.sysfs.get("delete_controller") === "1") rig.sysfs.removeController("nvme0");
      rig.meanwhile = () => {};
    };
    const node = createNodeService({
      system: { ...rig.system, clock: systemClock },
      dataPath: rig.dataPath,
      ...{ nodeId: "node-a", clusterId: "test", nqnPrefix: PREFIX, maxVolumesPerNode: 0 },
    });
    if (who === "NodeUnstageVolume") {
      await node.unstage({ volumeId: SLOT, stagingTargetPath: `${rig.procRoot}/none/globalmount` });
    } else expect((await node.prune(20_000)).disconnected).toEqual([NQN]);
    expect(rig.ended).toEqual(["nvme0"]);
    expect(await rig.dataPath.list()).toEqual([]);
  });

  test("with a subsystem it is nvme-cli's: nothing is written past it", async () => {
    rig.answer = nothing;
    await expect(rig.dataPath.disconnect(NQN)).rejects.toMatchObject({ id: "disconnectNotProven" });
    expect(rig.ended).toEqual([]);
  });

  test("that the kernel does not delete is told with its answer", async () => {
    rig.sysfs.withoutSubsystem();
    rig.sysfs.remove("delete_controller");
    rig.answer = nothing;
    await expect(rig.dataPath.disconnect(NQN)).rejects.toMatchObject({
      id: "disconnectNotProven",
      message: expect.stringMatching(/nvme0 left.*delete_controller.*ENOENT/),
    });
  });

  test("that changed hands after it was found is not written to", () => {
    expect(endController(rig.sysfs.root, "nvme0", `${NQN}1`)).toMatchObject({ kind: "other" });
    expect(endController(rig.sysfs.root, "nvme7", NQN)).toMatchObject({ kind: "other" });
    expect(rig.sysfs.get("delete_controller")).toBe("");
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
