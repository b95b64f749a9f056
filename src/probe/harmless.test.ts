import { describe, expect, test } from "bun:test";
import { wholeState } from "../../test/support/simulator-state.ts";
import type { ProfileName } from "../simulator/profiles.ts";
import { EXPERIMENTS } from "./catalogue.ts";
import type { Experiment } from "./experiment.ts";
import { type ProbedDevice, probed } from "./probe.fixture.ts";
import { Scratch } from "./scratch/scratch.ts";

/** Without those that need a host or a reboot. */
const HERE = EXPERIMENTS.filter(({ stage }) => stage !== "node" && stage !== "reboot");
const CHANGING = HERE.filter(({ stage }) => stage !== "read-only");

/** Volumes of the driver with hosts, disks and files of others, and names that are nearly the probe's. */
async function furnish({ simulator: { device }, bench }: ProbedDevice): Promise<void> {
  const disk = (slot: string, path: string, more: string) =>
    `/disk/add type=file slot=${slot} file-path=${path} file-size=32M mount-filesystem=no ${more}`;
  const own = "csi-0123456789abcdef0123456789ab";
  const nqn = `nqn.2000-02.com.mikrotik:${own}.1-0a0b0c0d`;
  for (const line of [
    "/file/add name=storage-pool/csi type=directory",
    "/file/add name=storage-pool/csi-probes type=directory",
    "/disk/btrfs/subvolume/add fs=storage-pool-fs name=csi-probed",
    "/disk/btrfs/subvolume/add fs=storage-pool-fs name=theirs",
    disk(
      own,
      `storage-pool/csi/${own}.img`,
      `comment="a record" nvme-tcp-export=yes nvme-tcp-server-nqn="${nqn}"`,
    ),
    disk("csi-probe-theirs", "storage-pool/csi-probes/a.img", `comment="rds-csi probe"`),
    disk("theirs", "storage-pool/theirs/a.img", `comment="rds-csi probe"`),
    "/disk/btrfs/subvolume/add fs=storage-pool-fs name=snap parent=theirs read-only=yes",
  ]) {
    const told = await bench.raw(line);
    expect([line, told.stdout]).toEqual([line, ""]);
  }
  while (device.disks.some(({ ready }) => !ready)) await Bun.sleep(5);
  device.hosts.connect(nqn, "nqn.host");
}

const stateOf = ({ simulator: { device } }: ProbedDevice) => wholeState(device);

describe.concurrent("a probe leaves a busy device as it was", () => {
  for (const profile of ["current", "hostile", "strict", "old"] as ProfileName[]) {
    test(profile, async () => {
      const device = await probed({ profile, switches: { snapshotParent: "any" } });
      try {
        await furnish(device);
        const before = await stateOf(device);
        const results = await device.run(HERE);
        expect(
          results.filter(({ answer }) => answer.answer === "unanswered").map(({ answer }) => answer.came),
        ).toEqual([]);
        expect(await stateOf(device)).toEqual(before);
        expect(device.simulator.device.hosts.dropped).toBe(0);
      } finally {
        await device.end();
      }
    });
  }
});

describe.concurrent("a probe that is killed at a command, and the next one", () => {
  for (const experiment of CHANGING) {
    test(`${experiment.id}: leave the device as it was, whichever command it was`, async () => {
      const device = await probed();
      try {
        await furnish(device);
        const before = await stateOf(device);
        const { commands, faults } = device.simulator;
        const begun = commands.length;
        await device.run([experiment]);
        const lines = commands.length - begun;
        expect(lines).toBeGreaterThan(4);
        for (let nth = 1; nth <= lines; nth++) {
          for (const kind of ["cutBefore", "cutAfter"] as const) await killed(device, experiment, kind, nth);
          faults.clear();
        }
        expect(await stateOf(device)).toEqual(before);
      } finally {
        await device.end();
      }
    });
  }
});

/** Runs an experiment whose process ends at its n-th command, and what the next probe does first. */
async function killed(
  device: ProbedDevice,
  experiment: Experiment,
  kind: "cutBefore" | "cutAfter",
  nth: number,
): Promise<void> {
  const dead = device.another();
  const { faults } = device.simulator;
  const fault = faults.add({ kind }, { nth });
  const end = new AbortController();
  const running = dead.run([experiment], end.signal).catch(() => {});
  while (fault.hits === 0 && !dead.isDone()) await Bun.sleep(1);
  // Nothing that it would do afterwards reaches the device.
  const wall = faults.add({ kind: "refuseSessions", mode: "close" });
  end.abort(new Error("killed"));
  device.simulator.dropConnections();
  await running;
  wall.remove();
  fault.remove();
  const scratch = await Scratch.on(device.another().bench);
  await scratch.clean();
  await scratch.bench.close();
}
