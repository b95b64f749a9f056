import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { executable, noDevices, shortDirectory } from "../support/executable.ts";
import { residentMb } from "../support/figures.ts";
import { block, MIB } from "../support/rpc.ts";
import { type Stand, startStand } from "../support/stand.ts";

const CYCLES = 400;
const SAMPLE_EVERY = 10;
/**
 * The runtime collects garbage when it likes, and keeps what it may need again: memory varies by some 50 MB. What a leak
 * raises is the lowest it comes back to; 150 to 350 cycles lie between the two looks at that.
 */
const EARLY = [50, 150] as const;
const LATE = [300, 400] as const;
const SLACK_MB = 40;

describe.skipIf(noDevices !== "")(`a node that lives long ${noDevices}`.trim(), () => {
  let directory = "";
  let stand: Stand;
  beforeAll(async () => {
    directory = await shortDirectory();
    stand = await startStand({ executable, directory: join(directory, "s"), nodes: ["node-a"] });
  });
  afterAll(async () => {
    await stand?.close();
    await rm(directory, { recursive: true, force: true });
  });

  test(`${CYCLES} times staged, published and taken down: memory comes back to its level, no descriptor is left`, async () => {
    const pid = stand.nodeProcesses.get("node-a")?.pid ?? 0;
    const descriptors = async () => (await readdir(`/proc/${pid}/fd`)).length;
    const volumeCapability = block();
    const { volume } = await stand.controller.createVolume({
      name: "soak",
      capacityRange: { requiredBytes: 64n * MIB },
      volumeCapabilities: [volumeCapability],
    });
    const volumeId = volume?.volumeId ?? "";
    const stagingTargetPath = join(directory, "kubelet", "staging");
    const targetPath = join(directory, "kubelet", "target");
    await mkdir(join(directory, "kubelet"));
    const node = stand.node("node-a");
    const cycle = async () => {
      const attach = { volumeId, nodeId: "node-a", volumeCapability };
      const { publishContext } = await stand.controller.controllerPublishVolume(attach);
      const staged = { volumeId, publishContext, stagingTargetPath, volumeCapability };
      await node.nodeStageVolume(staged);
      await node.nodePublishVolume({ ...staged, targetPath });
      await node.nodeUnpublishVolume({ volumeId, targetPath });
      await node.nodeUnstageVolume({ volumeId, stagingTargetPath });
      await stand.controller.controllerUnpublishVolume({ volumeId, nodeId: "node-a" });
    };
    await cycle();
    const before = await descriptors();
    const samples: number[] = [];
    for (let n = 1; n <= CYCLES; n++) {
      await cycle();
      if (n % SAMPLE_EVERY === 0) samples.push(await residentMb(pid));
    }
    const lowest = ([from, to]: readonly [number, number]) =>
      Math.round(Math.min(...samples.slice(from / SAMPLE_EVERY, to / SAMPLE_EVERY)));
    console.log(`lowest memory of the node: ${lowest(EARLY)} MB early, ${lowest(LATE)} MB late`);
    expect(lowest(LATE)).toBeLessThan(lowest(EARLY) + SLACK_MB);
    expect(await descriptors()).toBe(before);
  }, 240_000);
});
