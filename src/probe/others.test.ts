import { afterEach, describe, expect, test } from "bun:test";
import { wholeState } from "../../test/support/simulator-state.ts";
import type { SimulatorOptions } from "../simulator/simulator.ts";
import { EXPERIMENTS } from "./catalogue.ts";
import { type ProbedDevice, probed } from "./probe.fixture.ts";

// Somebody else has something under the probe's names, although people are told not to.

const devices: ProbedDevice[] = [];
afterEach(async () => {
  for (const device of devices.splice(0)) await device.end();
});

async function start(options: SimulatorOptions, lines: readonly string[]): Promise<ProbedDevice> {
  const device = await probed(options);
  devices.push(device);
  for (const line of lines) expect([line, (await device.bench.raw(line)).stdout]).toEqual([line, ""]);
  while (device.simulator.device.disks.some(({ ready }) => !ready)) await Bun.sleep(5);
  return device;
}

/** @returns the evidence of each experiment that changes something, which are to be the same */
async function cameOf(device: ProbedDevice): Promise<readonly string[]> {
  const changing = EXPERIMENTS.filter(({ stage }) => stage === "scratch" || stage === "exported");
  const results = await device.run(changing);
  expect(results.every(({ answer }) => answer.answer === "unanswered")).toBe(true);
  return [...new Set(results.map(({ answer }) => answer.came))];
}

const SLOT = "csi-0123456789abcdef0123456789ab";
const SNAPSHOT = "snap-0123456789abcdef0123456789ab.1.x.1.ext4.test.1";

describe("a probe changes nothing beside", () => {
  test.each<[string, readonly string[], string]>([
    [
      "a volume, with --directory csi-probe",
      [
        "/file/add name=storage-pool/csi-probe type=directory",
        `/disk/add type=file slot=${SLOT} file-path=storage-pool/csi-probe/${SLOT}.img file-size=32M mount-filesystem=no`,
      ],
      `storage-pool/csi-probe/${SLOT}.img`,
    ],
    [
      "the file of a volume without disk item",
      [
        "/file/add name=storage-pool/csi-probe type=directory",
        `/disk/add type=file slot=${SLOT} file-path=storage-pool/csi-probe/${SLOT}.img file-size=32M mount-filesystem=no`,
        `/disk/remove [find where slot=${SLOT}]`,
      ],
      `storage-pool/csi-probe/${SLOT}.img`,
    ],
    [
      "a snapshot, with --directory csi-probe-a",
      [
        "/disk/btrfs/subvolume/add fs=storage-pool-fs name=csi-probe-a",
        `/disk/btrfs/subvolume/add fs=storage-pool-fs name=csi-probe-a/${SNAPSHOT}`,
      ],
      `csi-probe-a/${SNAPSHOT}`,
    ],
    [
      "a disk of a person",
      [
        "/file/add name=storage-pool/csi-probe type=directory",
        "/disk/add type=file slot=mine file-path=storage-pool/csi-probe/a.img file-size=32M mount-filesystem=no",
      ],
      "storage-pool/csi-probe/a.img",
    ],
  ])("%s", async (_, lines, path) => {
    const device = await start({}, lines);
    const before = await wholeState(device.simulator.device);
    expect(await cameOf(device)).toEqual([expect.stringContaining(`${path} is not the probe's`)]);
    expect(await wholeState(device.simulator.device)).toEqual(before);
  });

  test("the last space of a pool", async () => {
    const pools = [{ slot: "storage-pool", fs: "btrfs", size: 200n << 20n }] as const;
    const device = await start({ pools }, []);
    const before = await wholeState(device.simulator.device);
    expect(await cameOf(device)).toEqual([expect.stringMatching(/^pool storage-pool has \d+ MiB left/)]);
    expect(await wholeState(device.simulator.device)).toEqual(before);
  });
});

test("slots that are cut shorter than the probe's name are still told from those of others", async () => {
  const device = await start({ switches: { slotTooLong: "truncate", slotMaximum: 8 } }, [
    "/file/add name=storage-pool/mine type=directory",
    "/disk/add type=file slot=mine file-path=storage-pool/mine/a.img file-size=32M mount-filesystem=no",
  ]);
  const before = await wholeState(device.simulator.device);
  const wanted = EXPERIMENTS.filter(({ id }) => id === "slot-length");
  const [result] = await device.run(wanted);
  expect(result?.answer.answer).toBe("too-short");
  expect(await wholeState(device.simulator.device)).toEqual(before);
});
