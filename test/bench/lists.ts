import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import { median, peakMb, timed } from "../support/figures.ts";
import { block } from "../support/rpc.ts";
import type { Stand } from "../support/stand.ts";
import { atATime, type Bench, bare, fill, filledName, link, onStand } from "./measure.ts";

const CALLERS = 50;
/** The simulator looks through all disks for each part of a list, and is slow with 5,000. */
const PATIENT = { deadlineMs: 600_000 };

/** Calls that see many volumes: time, and memory with many callers. */
export async function lists(bench: Bench): Promise<void> {
  for (const count of [10, 1_000, 5_000]) {
    await onStand({ simulate: link(0) }, async (stand) => {
      bench.say(`${count} volumes`);
      const { pid } = (await fill(stand, count)).controller;
      await reads(bench, stand, count);
      if (count < 1_000) return;
      const before = await peakMb(pid);
      const failed = await fiftyCallers(stand, bench.quick ? 1 : 3);
      bench.add({
        name: `peak memory of the controller with ${CALLERS} callers at once, ${count} disks`,
        value: await peakMb(pid),
        unit: "MB",
        beside: { name: "with one caller", value: before },
        ...(count === 5_000 ? { goal: { most: 256 } } : {}),
      });
      bench.add({
        name: `failed calls of these callers, ${count} disks`,
        value: failed,
        unit: "calls",
        goal: { most: 0 },
      });
    });
  }
}

async function reads(bench: Bench, stand: Stand, count: number): Promise<void> {
  const client = await bare(stand);
  for (const [rpc, call] of [
    ["ListVolumes", () => stand.controller.listVolumes({}, PATIENT)],
    ["GetCapacity", () => stand.controller.getCapacity({}, PATIENT)],
  ] as const) {
    // The fewest of some calls: the controller also sends lines of its own now and then.
    let lines = await linesOf(stand, call);
    for (let repeat = 0; repeat < 2; repeat++) {
      const again = await linesOf(stand, call);
      if (again.length < lines.length) lines = again;
    }
    const [ours, theirs]: [number[], number[]] = [[], []];
    for (let round = 0; round < (bench.quick ? 3 : 9); round++) {
      ours.push(await timed(call));
      theirs.push(
        await timed(async () => {
          for (const line of lines) await client.exec(line);
        }),
      );
    }
    const beside = { name: `its ${lines.length} bare lines`, value: median(theirs) };
    bench.add({ name: `${rpc}, ${count} volumes`, value: median(ours), unit: "ms", beside });
  }
  client.close();
}

const linesOf = async ({ control }: Stand, call: () => Promise<unknown>): Promise<string[]> =>
  (await control.commandsDuring(call)).map(({ line }) => line);

/** Each caller lists, asks for the capacity, attaches and checks a volume of its own. @returns how many calls failed */
async function fiftyCallers({ controller }: Stand, rounds: number): Promise<number> {
  let failed = 0;
  const tried = (call: Promise<unknown>) =>
    call.catch(() => {
      failed += 1;
    });
  await atATime(CALLERS, CALLERS * rounds, async (index) => {
    const volumeId = volumeIdFromName(filledName(index));
    await tried(controller.listVolumes({}, PATIENT));
    await tried(controller.getCapacity({}, PATIENT));
    await tried(
      controller.controllerPublishVolume({ volumeId, nodeId: "node-a", volumeCapability: block() }),
    );
    await tried(controller.validateVolumeCapabilities({ volumeId, volumeCapabilities: [block()] }));
  });
  return failed;
}
