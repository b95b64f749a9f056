import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { BLOCK, EXT4, Lab, type LabNode, noDevices, type Volume } from "../../test/support/loop-node.ts";

describe.skipIf(noDevices !== "")(`node lifecycle on real loop devices ${noDevices}`, () => {
  let lab: Lab;
  let node: LabNode;
  beforeAll(() => {
    lab = new Lab();
    node = lab.node("node-a");
  });
  afterAll(() => lab.cleanUp());

  const stageAt = (volume: Volume, path: string, capability = EXT4, more = {}) =>
    node.service.stage({
      volumeId: volume.volumeId,
      publishContext: volume.context(node, more),
      stagingTargetPath: path,
      capability,
      volumeContext: {},
    });

  test("filesystem: stage, publish, write, stats, unpublish, unstage, stage again: the data is there", async () => {
    const volume = lab.volume(64).export();
    const staging = lab.path("fs-stage");
    const target = lab.path("fs-target");
    mkdirSync(staging);
    await stageAt(volume, staging);
    expect(lab.mountsAt(staging)).toHaveLength(1);
    const publish = {
      volumeId: volume.volumeId,
      publishContext: volume.context(node),
      stagingTargetPath: staging,
      targetPath: target,
      capability: EXT4,
      readonly: false,
    };
    await node.service.publish(publish);
    await node.service.publish(publish);
    expect(lab.mountsAt(target)).toHaveLength(1);
    writeFileSync(`${target}/hello`, "world");

    const { usage } = await node.service.stats({ volumeId: volume.volumeId, volumePath: target });
    expect(usage.map((each) => each.unit)).toEqual(["bytes", "inodes"]);
    for (const { total, used = -1n, available = -1n } of usage) {
      expect(total > 0n && used >= 0n && available > 0n && used + available <= total).toBe(true);
    }

    await node.service.unpublish({ volumeId: volume.volumeId, targetPath: target });
    await node.service.unpublish({ volumeId: volume.volumeId, targetPath: target });
    expect(existsSync(target)).toBe(false);
    await node.service.unstage({ volumeId: volume.volumeId, stagingTargetPath: staging });
    await node.service.unstage({ volumeId: volume.volumeId, stagingTargetPath: staging });
    expect(lab.loops()).toEqual([]);

    await stageAt(volume, staging, EXT4, { filesystemState: "used" });
    expect(readFileSync(`${staging}/hello`, "utf8")).toBe("world");
    await node.service.unstage({ volumeId: volume.volumeId, stagingTargetPath: staging });
    expect(lab.loops()).toEqual([]);
  });

  test("block: stage mounts nothing, publish gives the device, both are idempotent", async () => {
    const volume = lab.volume(8).export();
    const staging = lab.path("blk-stage");
    const target = lab.path("blk-target");
    mkdirSync(staging);
    await stageAt(volume, staging, BLOCK);
    await stageAt(volume, staging, BLOCK);
    expect(lab.loops()).toHaveLength(1);
    expect(lab.mountsAt(staging)).toEqual([]);
    const publish = {
      volumeId: volume.volumeId,
      publishContext: volume.context(node),
      stagingTargetPath: staging,
      targetPath: target,
      capability: BLOCK,
      readonly: false,
    };
    await node.service.publish(publish);
    await node.service.publish(publish);
    expect(statSync(target).isBlockDevice()).toBe(true);
    expect(statSync(target).rdev).toBe(statSync(`/dev/${lab.loops()[0]}`).rdev);
    const { usage } = await node.service.stats({ volumeId: volume.volumeId, volumePath: target });
    expect(usage).toEqual([
      { unit: "bytes", total: 8n * 1024n * 1024n, used: undefined, available: undefined },
    ]);
    await node.service.unpublish({ volumeId: volume.volumeId, targetPath: target });
    expect(existsSync(target)).toBe(false);
    await node.service.unstage({ volumeId: volume.volumeId, stagingTargetPath: staging });
    expect(lab.loops()).toEqual([]);
  });
});
