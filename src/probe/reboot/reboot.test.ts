import { expect, test } from "bun:test";
import { type ProbedDevice, probed } from "../probe.fixture.ts";
import { prepareReboot, REBOOT } from "./reboot.ts";

async function answer(device: ProbedDevice): Promise<string[]> {
  const results = await device.another().run(REBOOT);
  return results.map((result) => result.answer.answer);
}

test.each(["kept", "lost"] as const)("a reboot after which exports are %s", async (rebootExports) => {
  const device = await probed({ switches: { rebootExports, mountDelayMs: 300 } });
  try {
    await prepareReboot(device.bench);
    expect(device.simulator.device.disks.map(({ exported }) => exported)).toEqual([true]);
    await device.simulator.reboot();
    expect(await answer(device)).toEqual([rebootExports === "kept" ? "kept" : "exports-lost"]);
    expect(device.simulator.device.disks).toEqual([]);
    // Once more: there is nothing to compare.
    expect(await answer(device)).toEqual(["unanswered"]);
  } finally {
    await device.end();
  }
});

test("a comment that a reboot has cut makes the device unsafe", async () => {
  const device = await probed();
  try {
    await prepareReboot(device.bench);
    await device.bench.raw(`/disk/set [find where slot=csi-probe-reboot] comment="rds-csi probe {"`);
    expect(await answer(device)).toEqual(["changed"]);
  } finally {
    await device.end();
  }
});
