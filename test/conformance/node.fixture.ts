import { afterAll, beforeAll, expect } from "bun:test";
import { mkdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import { executable, shortDirectory } from "../support/executable.ts";
import { loopsBelow, mountsBelow } from "../support/leftovers.ts";
import { type Capability, MIB, outcome } from "../support/rpc.ts";
import { type Stand, startStand } from "../support/stand.ts";

export const SIZE = 32n * MIB;

export const UNKNOWN = volumeIdFromName("never made");

export let base = "";

export let work = "";

export let stand: Stand;

export let count = 0;

/** An attached volume with the paths that kubelet would use. */
export async function volume(capability: Capability, on = "node-a") {
  count += 1;
  const number = count;
  const created = await stand.controller.createVolume({
    name: `n-${number}`,
    capacityRange: { requiredBytes: SIZE },
    volumeCapabilities: [capability],
  });
  const volumeId = created.volume?.volumeId ?? "";
  const { publishContext } = await stand.controller.controllerPublishVolume({
    volumeId,
    nodeId: on,
    volumeCapability: capability,
  });
  const directory = join(work, `v${number}`);
  await mkdir(directory);
  const target = (name = "target") => join(directory, name);
  const stagingTargetPath = target("staging");
  const node = stand.node(on);
  const request = { volumeId, publishContext, stagingTargetPath, volumeCapability: capability };
  return {
    volumeId,
    request,
    target,
    staging: stagingTargetPath,
    stage: (over: object = {}) => outcome(node.nodeStageVolume({ ...request, ...over })),
    publish: (over: object = {}) =>
      outcome(node.nodePublishVolume({ ...request, targetPath: target(), ...over })),
    unpublish: (name?: string) => outcome(node.nodeUnpublishVolume({ volumeId, targetPath: target(name) })),
    unstage: () => outcome(node.nodeUnstageVolume({ volumeId, stagingTargetPath })),
    stats: (volumePath: string) => node.nodeGetVolumeStats({ volumeId, volumePath }),
    remove: async () => {
      await stand.controller.controllerUnpublishVolume({ volumeId });
      await stand.controller.deleteVolume({ volumeId });
    },
  };
}

/** Gives the tests of a file a stand with two nodes; nothing of theirs may be left at its end. */
export function useNodes(): void {
  beforeAll(async () => {
    base = await shortDirectory();
    work = join(base, "s");
    stand = await startStand({
      executable,
      directory: work,
      controller: ["--online-expansion", "re-export"],
    });
  });
  afterAll(async () => {
    const left = stand === undefined ? [] : [...(await mountsBelow(work)), ...(await loopsBelow(work))];
    await stand?.close();
    await rmdir(base);
    expect(left).toEqual([]);
  });
}
