import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { EXT4, Lab, type LabNode, noDevices } from "../../../test/support/loop-node.ts";

describe.skipIf(noDevices !== "")(`NodeGetVolumeStats ${noDevices}`, () => {
  let lab: Lab;
  let node: LabNode;
  beforeAll(() => {
    lab = new Lab();
    node = lab.node("node-a");
  });
  afterAll(() => lab.cleanUp());

  const staged = async () => {
    const volume = lab.volume(32).export();
    const path = lab.path(`staging-${volume.volumeId}`);
    mkdirSync(path);
    await node.service.stage({
      volumeId: volume.volumeId,
      publishContext: volume.context(node),
      stagingTargetPath: path,
      capability: EXT4,
      volumeContext: {},
    });
    return { volume, path };
  };
  type Staged = Awaited<ReturnType<typeof staged>>;
  const unstage = (it: Staged) =>
    node.service.unstage({ volumeId: it.volume.volumeId, stagingTargetPath: it.path });

  test("relative, unknown, foreign and absent paths are NOT_FOUND", async () => {
    const [it, other] = [await staged(), await staged()];
    const stats = (volumeId: string, volumePath: string) => node.service.stats({ volumeId, volumePath });
    for (const path of [
      "some/path",
      "/",
      "/../x",
      "/nonexistent/a",
      lab.path(),
      lab.path("none"),
      other.path,
      "/dev/null",
    ]) {
      await expect(stats(it.volume.volumeId, path)).rejects.toMatchObject({
        id: "volumePathNotFound",
        code: 5,
      });
    }
    await expect(stats("unknown", it.path)).rejects.toMatchObject({ code: 5 });
    await expect(stats("unknown", "some/path")).rejects.toMatchObject({ code: 5 });
    expect((await stats(it.volume.volumeId, it.path)).usage).toHaveLength(2);
    const dead = lab.node("node-a", { sysRoot: "/nonexistent-sys" });
    expect(await dead.service.stats({ volumeId: it.volume.volumeId, volumePath: it.path })).toEqual({
      usage: [],
      condition: { abnormal: true, message: expect.stringContaining("vanished") },
    });
    await unstage(it);
    await unstage(other);
  });

  test("stats on a filesystem that does not answer ends at its deadline, with an answer", async () => {
    const it = await staged();
    const hung = lab.node("node-a", {
      exec: (command) =>
        command.args.includes("-f")
          ? node.system.exec({ ...command, program: "/bin/sleep", args: ["60"], deadlineMs: 200 })
          : node.system.exec(command),
    });
    expect(await hung.service.stats({ volumeId: it.volume.volumeId, volumePath: it.path })).toEqual({
      usage: [],
      condition: { abnormal: true, message: expect.stringContaining("does not answer") },
    });
    await unstage(it);
  });
});
