import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, readFile, rmdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Controller } from "../../src/csi/gen/csi_pb.ts";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import { executable, noDevices, shortDirectory } from "../support/executable.ts";
import { loopsBelow, mountsBelow } from "../support/leftovers.ts";
import { capture, type Running } from "../support/processes.ts";
import { block, MIB, mount, outcome } from "../support/rpc.ts";
import { exists, type Stand, startStand, until } from "../support/stand.ts";

// Processes that are killed without a chance to clean up, at points that the simulator's faults hold open.

let base = "";
let stand: Stand;
let controller: Running;
beforeAll(async () => {
  base = await shortDirectory();
  stand = await startStand({ executable, directory: join(base, "s"), startNodes: noDevices === "" });
  controller = stand.controllerProcess;
});
afterEach(() => stand.control.clearFaults());
afterAll(async () => {
  const left = stand === undefined ? [] : [...(await mountsBelow(base)), ...(await loopsBelow(base))];
  await stand?.close();
  await rmdir(base);
  expect(left).toEqual([]);
});

const request = (name: string) => ({
  name,
  capacityRange: { requiredBytes: 32n * MIB },
  volumeCapabilities: [block()],
});
const lastSequence = async () => (await stand.control.commands()).at(-1)?.sequence ?? 0;
const disk = async (id: string) => (await stand.control.state()).disks.filter(({ slot }) => slot === id);

describe("the socket", () => {
  test("mode 0660, of the controller and of its metrics", async () => {
    for (const path of [stand.controllerSocket, join(stand.directory, "metrics.sock")]) {
      const found = await stat(path);
      expect([found.isSocket(), (found.mode & 0o777).toString(8)]).toEqual([true, "660"]);
    }
  });

  test("a second controller on it is refused while the first lives, which does not notice", async () => {
    const before = await stat(stand.controllerSocket);
    const { code, stderr } = await capture(executable, stand.controllerFlags(stand.controllerSocket));
    expect(code).toBe(1);
    expect(stderr).toContain(
      `--endpoint: the program cannot listen on ${stand.controllerSocket}: another process serves it`,
    );
    expect((await stat(stand.controllerSocket)).ino).toBe(before.ino);
    expect((await stand.identity.probe()).ready).toBe(true);
  });

  test("what kill -9 left there is replaced", async () => {
    const before = await stat(stand.controllerSocket);
    await controller.kill();
    expect(await exists(stand.controllerSocket)).toBe(true);
    controller = await stand.startController();
    expect((await stat(stand.controllerSocket)).ctimeMs).toBeGreaterThan(before.ctimeMs);
    expect((await stand.connect(Controller, stand.controllerSocket).listVolumes()).entries).toEqual([]);
  });
});

describe("kill -9 of the controller", () => {
  /** Kills the controller once the RDS has been sent a line, and starts another one. */
  async function killAt(line: RegExp, fault: { kind: string; ms?: number }, call: () => Promise<unknown>) {
    await stand.control.fault({ ...fault, line: line.source });
    const mark = await lastSequence();
    const answer = outcome(call());
    await stand.control.untilSent(line, mark);
    await controller.kill();
    expect(await answer).toMatch(/^UNAVAILABLE: /);
    await stand.control.clearFaults();
    controller = await stand.startController();
  }

  for (const [when, fault] of [
    ["before the command took effect", { kind: "hang" }],
    ["after it took effect, before its answer", { kind: "delay", ms: 60_000 }],
  ] as const) {
    test(`in the middle of CreateVolume, ${when}: the next controller answers the same`, async () => {
      const name = `create-${fault.kind}`;
      const id = volumeIdFromName(name);
      await killAt(new RegExp(`/disk/add.*${id}`), fault, () => stand.controller.createVolume(request(name)));
      const client = stand.connect(Controller, stand.controllerSocket);
      const first = await client.createVolume(request(name));
      expect(first.volume).toMatchObject({ volumeId: id, capacityBytes: 32n * MIB });
      expect(await client.createVolume(request(name))).toEqual(first);
      expect(await disk(id)).toHaveLength(1);
      await client.deleteVolume({ volumeId: id });
      expect(await disk(id)).toEqual([]);
    });

    test(`in the middle of ControllerPublish, ${when}: one epoch, the same context for ever`, async () => {
      const name = `publish-${fault.kind}`;
      const id = volumeIdFromName(name);
      await stand.connect(Controller, stand.controllerSocket).createVolume(request(name));
      const publish = { volumeId: id, nodeId: "node-a", volumeCapability: block() };
      await killAt(new RegExp(`nvme-tcp-export=yes.*${id}|${id}.*nvme-tcp-export=yes`), fault, () =>
        stand.connect(Controller, stand.controllerSocket).controllerPublishVolume(publish),
      );
      const client = stand.connect(Controller, stand.controllerSocket);
      const first = await client.controllerPublishVolume(publish);
      expect(first.publishContext.nqn).toMatch(
        new RegExp(`^nqn\\.2000-02\\.com\\.mikrotik:${id}\\.1-[0-9a-f]{8}$`),
      );
      expect(await client.controllerPublishVolume(publish)).toEqual(first);
      expect((await disk(id))[0]).toMatchObject({ exported: true, nqn: first.publishContext.nqn ?? "" });
      const { entries } = await client.listVolumes();
      expect(entries.map(({ volume, status }) => [volume?.volumeId, status?.publishedNodeIds])).toEqual([
        [id, ["node-a"]],
      ]);
      await client.controllerUnpublishVolume({ volumeId: id, nodeId: "node-a" });
      await client.deleteVolume({ volumeId: id });
    });

    test(`in the middle of DeleteVolume, ${when}: nothing is left of it`, async () => {
      const name = `delete-${fault.kind}`;
      const id = volumeIdFromName(name);
      await stand.connect(Controller, stand.controllerSocket).createVolume(request(name));
      await killAt(new RegExp(`/disk/remove.*${id}|${id}.*/disk/remove`), fault, () =>
        stand.connect(Controller, stand.controllerSocket).deleteVolume({ volumeId: id }),
      );
      const client = stand.connect(Controller, stand.controllerSocket);
      expect(await outcome(client.deleteVolume({ volumeId: id }))).toBe("OK");
      const { disks, files } = await stand.control.state();
      expect(disks).toEqual([]);
      expect(files.filter(({ directory }) => !directory)).toEqual([]);
    });
  }
});

describe("kill -9 of the simulator", () => {
  test("started again on its directory: same host key, disks, exports; the controller reconnects by itself", async () => {
    const client = stand.connect(Controller, stand.controllerSocket);
    const volumeId = (await client.createVolume(request("survivor"))).volume?.volumeId ?? "";
    const publish = { volumeId, nodeId: "node-a", volumeCapability: block() };
    const { publishContext } = await client.controllerPublishVolume(publish);
    const key = await readFile(join(stand.directory, "host-key"), "utf8");
    const { disks } = await stand.control.state();
    const old = await stand.control.commands();
    expect(old.length).toBeGreaterThan(0);

    await simulator().kill();
    expect(await outcome(client.listVolumes({}, { deadlineMs: 500 }))).toMatch(
      /^(UNAVAILABLE|DEADLINE_EXCEEDED): /,
    );
    expect((await stand.identity.probe()).ready).toBe(true);
    restarted = await stand.startSimulator();
    expect(await readFile(join(stand.directory, "host-key"), "utf8")).toBe(key);
    const after = await stand.control.state();
    expect(after.disks).toEqual(disks);
    expect(after.disks[0]).toMatchObject({ exported: true, nqn: publishContext.nqn ?? "" });
    expect(await exists(join(stand.directory, "rds/exports", `${publishContext.nqn}.json`))).toBe(true);

    await until("the controller to reconnect", async () => (await outcome(client.listVolumes())) === "OK", [
      controller,
    ]);
    expect((await client.controllerPublishVolume(publish)).publishContext).toEqual(publishContext);
    await client.controllerUnpublishVolume({ volumeId });
    await client.deleteVolume({ volumeId });
  });

  let restarted: Running | undefined;
  const simulator = () => restarted ?? stand.simulator;

  test("in the middle of writing its state: what was answered is there, what was not can be repeated", async () => {
    const client = stand.connect(Controller, stand.controllerSocket);
    const answers: Promise<string>[] = [];
    for (let index = 0; index < 30; index++) {
      answers.push(outcome(client.createVolume(request(`burst-${index}`), { deadlineMs: 5_000 })));
    }
    await Promise.race(answers);
    await simulator().kill();
    restarted = await stand.startSimulator();
    const first = await Promise.all(answers);
    const slots = (await stand.control.state()).disks.map(({ slot }) => slot);
    for (const [index, answer] of first.entries()) {
      if (answer === "OK") expect(slots).toContain(volumeIdFromName(`burst-${index}`));
    }
    for (let index = 0; index < 30; index++) {
      await until(
        "the repeat",
        async () => (await outcome(client.createVolume(request(`burst-${index}`)))) === "OK",
      );
    }
    const { disks, files } = await stand.control.state();
    expect(disks.map(({ slot }) => slot).sort()).toEqual(
      Array.from({ length: 30 }, (_, index) => volumeIdFromName(`burst-${index}`)).sort(),
    );
    expect(files.filter(({ directory }) => !directory)).toHaveLength(30);
    for (const { slot } of disks) await client.deleteVolume({ volumeId: slot });
  }, 240_000);
});

describe.skipIf(noDevices !== "")(`kill -9 of a node process ${noDevices}`, () => {
  test("between stage and publish, and again before unstage: the next one continues", async () => {
    const client = stand.connect(Controller, stand.controllerSocket);
    const created = await client.createVolume({ ...request("node"), volumeCapabilities: [mount()] });
    const volumeId = created.volume?.volumeId ?? "";
    const attach = { volumeId, nodeId: "node-a", volumeCapability: mount() };
    const { publishContext } = await client.controllerPublishVolume(attach);
    const pods = join(stand.directory, "pods");
    await mkdir(pods);
    const paths = { stagingTargetPath: join(pods, "staging"), targetPath: join(pods, "target") };
    const staged = { volumeId, publishContext, volumeCapability: mount(), ...paths };
    let node = stand.nodeProcesses.get("node-a");
    const restart = async () => {
      await node?.kill();
      node = await stand.startNode("node-a");
      await until("the node", async () => (await outcome(stand.node("node-a").nodeGetInfo())) === "OK");
    };

    await stand.node("node-a").nodeStageVolume(staged);
    await restart();
    await stand.node("node-a").nodePublishVolume(staged);
    await writeFile(join(paths.targetPath, "file"), "kept");
    await restart();
    await stand.node("node-a").nodeStageVolume(staged);
    await stand.node("node-a").nodePublishVolume(staged);
    expect(await mountsBelow(pods)).toHaveLength(2);
    expect(await readFile(join(paths.targetPath, "file"), "utf8")).toBe("kept");
    expect(
      (await stand.node("node-a").nodeGetVolumeStats({ volumeId, volumePath: paths.targetPath })).usage,
    ).toHaveLength(2);
    await stand.node("node-a").nodeUnpublishVolume(staged);
    await restart();
    await stand.node("node-a").nodeUnstageVolume(staged);
    expect([await mountsBelow(pods), await loopsBelow(stand.directory)]).toEqual([[], []]);
    await client.controllerUnpublishVolume({ volumeId });
    await client.deleteVolume({ volumeId });
  });

  test("in the middle of staging, at any moment: the repeat ends with one healthy mount, formatted once", async () => {
    const client = stand.connect(Controller, stand.controllerSocket);
    const created = await client.createVolume({ ...request("mid"), volumeCapabilities: [mount()] });
    const volumeId = created.volume?.volumeId ?? "";
    const { publishContext } = await client.controllerPublishVolume({
      volumeId,
      nodeId: "node-b",
      volumeCapability: mount(),
    });
    const stagingTargetPath = join(stand.directory, "mid");
    const staged = { volumeId, publishContext, volumeCapability: mount(), stagingTargetPath };
    let node = stand.nodeProcesses.get("node-b");
    for (const waitMs of [10, 40, 80, 130]) {
      const answer = outcome(stand.node("node-b").nodeStageVolume(staged));
      const begun = performance.now();
      await until("the moment", async () => performance.now() - begun >= waitMs);
      await node?.kill();
      expect(await answer).toMatch(/^(OK$|UNAVAILABLE: )/);
      node = await stand.startNode("node-b");
      await until("the node", async () => (await outcome(stand.node("node-b").nodeGetInfo())) === "OK");
      // A child that the killed process had started may still be at work on the device.
      await until("the repeat", async () => {
        const again = await outcome(stand.node("node-b").nodeStageVolume(staged));
        if (!/^(OK$|UNAVAILABLE|ABORTED|FAILED_PRECONDITION: volume \S+ \(\S+\) is still in use)/.test(again))
          throw new Error(again);
        return again === "OK";
      });
      expect(await mountsBelow(stand.directory)).toEqual([stagingTargetPath]);
      expect(await loopsBelow(stand.directory)).toHaveLength(1);
      const kept = join(stagingTargetPath, "kept");
      if (waitMs === 10) await writeFile(kept, "kept");
      expect(await readFile(kept, "utf8")).toBe("kept");
      await stand.node("node-b").nodeUnstageVolume(staged);
      expect(await loopsBelow(stand.directory)).toEqual([]);
    }
    await client.controllerUnpublishVolume({ volumeId });
    await client.deleteVolume({ volumeId });
  }, 240_000);
});
