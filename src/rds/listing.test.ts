import { describe, expect, test } from "bun:test";
import process from "node:process";
import { useStack } from "../../test/support/own-stack.ts";
import { type ControllerStack, LAYOUT, MIB, type Stack } from "../../test/support/rds-stack.ts";
import { systemClock } from "../domain/clock.ts";
import { type VolumeId, volumeIdFromName } from "../domain/volume-id.ts";
import { silentLogger } from "../observability/log.ts";
import { RouterOsClient } from "../routeros/client.ts";
import { detailForm } from "../routeros/reply/detail-form.ts";
import { jsonForm } from "../routeros/reply/json-form.ts";
import { linesForm } from "../routeros/reply/lines-form.ts";
import type { RdsContext } from "./context.ts";
import type { Disk } from "./disk.ts";
import { listEverything } from "./lookup.ts";
import { fill, record } from "./many-disks.fixture.ts";

const start = useStack();

async function create(by: ControllerStack, { signal }: Stack, name: string): Promise<VolumeId> {
  const { pool } = await by.rds.readPool("storage-pool", 0n, signal);
  const id = volumeIdFromName(name);
  const own = { ...record(name), attachments: [], epoch: 0 };
  await by.rds.create({ id, pool, layout: LAYOUT, form: "plain", sizeBytes: MIB, record: own, signal });
  return id;
}

/** A disk of somebody else, between ours. */
async function foreign(on: Stack, slot: string): Promise<void> {
  const path = `storage-pool/${slot}.img`;
  await on.simulator.device.diskStore.add(
    new Map<string, string | bigint | boolean>([
      ["type", "file"],
      ["slot", slot],
      ["file-path", path],
      ["file-size", MIB],
      ["mount-filesystem", false],
    ]),
  );
}

/** Every part of a list is asked for in the same way: under other profiles fewer tell as much. */
const MANY = (process.env.RDS_CSI_TEST_PROFILE ?? "current") === "current" ? 5_000 : 1_500;

describe(`${MANY} volumes, on a RouterOS that loses what the channel's window does not take`, () => {
  const names = Array.from({ length: MANY }, (_, at) => `pvc-${at}`);
  const ids = names.map(volumeIdFromName).toSorted();

  test("all are listed, as they are; no reply comes near the window", async () => {
    const on = await start();
    expect(on.simulator.switches.execOutputLimit).toBe("window");
    await fill(on, names, ["csi-zebra", "csi-", "disk-1"]);
    Bun.gc(true);
    const before = process.memoryUsage().heapUsed;
    const { volumes } = await on.rds.list(on.signal);
    expect(volumes.map(({ id }) => id)).toEqual(ids as VolumeId[]);
    for (const at of [0, 1, MANY / 2, MANY - 1]) {
      const volume = volumes.find(({ record: { name } }) => name === `pvc-${at}`);
      expect(volume?.record).toEqual(record(`pvc-${at}`));
      const found = await on.rds.find(volume?.id as VolumeId, on.signal);
      const exact = found?.kind === "volume" ? found.volume.disk : undefined;
      // A listed file disk is not asked for what only filesystems have.
      expect(volume?.disk).toEqual({ ...(exact as Disk), fs: "" });
    }
    const survey = await on.rds.survey(on.signal);
    expect(survey.volumes.map(({ id }) => id)).toEqual(ids as VolumeId[]);
    expect(survey.mounted.map(({ slot }) => slot)).toEqual(["storage-pool"]);
    const sizes = on.simulator.commands.map(({ output }) => output.length);
    expect(Math.max(...sizes)).toBeLessThan(400_000);
    expect(sizes.length).toBeLessThan(150);
    // What stays: two lists of all volumes, and the simulator's log of its replies.
    Bun.gc(true);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(100_000_000);
  });

  test("capacity and growth count every file disk, whosever it is, in few commands", async () => {
    const on = await start({ pools: [{ slot: "storage-pool", fs: "xfs", size: 1n << 40n }] });
    const others = Array.from({ length: 1_500 }, (_, at) => `vm-storage-${at}`);
    await fill(on, names.slice(0, 1_500), [...others, "scratch"]);
    const id = volumeIdFromName("pvc-17");
    await on.rds.version(on.signal);
    on.commandsSince();
    const { pool, existing } = await on.rds.readPool("storage-pool", 0n, on.signal, id);
    expect(pool.files.allocated).toBe(3_001n * MIB);
    expect(existing).toMatchObject({ volume: { record: record("pvc-17") } });
    expect(pool.available).toBe((pool.free / MIB) * MIB);
    expect(on.commandsSince()).toHaveLength(1);
    const { found, pool: holder } = await on.rds.findWithPool(id, 0n, on.signal);
    expect(found).toMatchObject({ volume: { record: { name: "pvc-17" } } });
    expect(holder?.files.allocated).toBe(3_001n * MIB);
    const context: RdsContext = {
      client: new RouterOsClient(on.transport),
      clock: systemClock,
      logger: silentLogger,
      clusterId: "test",
      nqnPrefix: "nqn.2000-02.com.mikrotik",
      nvmePort: 4420,
      fencing: "epoch",
    };
    expect((await listEverything(context, on.signal)).length).toBe(3_002);
  });

  test("a device without proplist: the parts are smaller, and all are listed", async () => {
    const on = await start({ switches: { proplist: "missing" } });
    const some = names.slice(0, 1_200);
    await fill(on, some);
    const { volumes } = await on.rds.list(on.signal);
    expect(volumes.map(({ id }) => id)).toEqual(some.map(volumeIdFromName).toSorted());
    const sizes = on.simulator.commands.map(({ output }) => output.length);
    expect(Math.max(...sizes)).toBeLessThan(500_000);
  });

  test("one part that does not arrive fails the list: never a shorter one", async () => {
    const on = await start();
    await fill(on, names.slice(0, 400));
    on.simulator.faults.add({ kind: "truncateOutput", bytes: 5_000 }, { line: /proplist/, nth: 2 });
    await expect(on.rds.list(on.signal)).rejects.toMatchObject({ id: "replyUnreadable" });
    expect((await on.rds.list(on.signal)).volumes).toHaveLength(400);
  });

  test("what is made and removed meanwhile: the others are listed once", async () => {
    const on = await start();
    await fill(on, names.slice(0, 400));
    const other = on.controller();
    const stays = new Set<string>(names.slice(0, 400).map(volumeIdFromName));
    const gone = names.slice(0, 40).map(volumeIdFromName);
    for (const id of gone) stays.delete(id);
    const [listed] = await Promise.all([
      on.rds.list(on.signal),
      (async () => {
        for (const [at, id] of gone.entries()) {
          await create(other, on, `new-${at}`);
          await other.volumes.delete(id, on.signal).catch(() => {});
        }
      })(),
    ]);
    const slots = listed.volumes.map(({ id }) => id as string);
    expect(new Set(slots).size).toBe(slots.length);
    for (const id of stays) expect(slots).toContain(id);
  });
});

describe("volumes that stand among the disks of others", () => {
  for (const form of [jsonForm, linesForm, detailForm]) {
    for (const wrapWidth of [0, 61, 80]) {
      test(`${form.name}, ${wrapWidth} columns: each is listed once, as it is`, async () => {
        const on = await start({ forms: [form], switches: { wrapWidth } });
        const ids: VolumeId[] = [];
        for (let at = 0; at < 8; at++) {
          ids.push(await create(on, on, `pvc-${at}`));
          if (at % 3 !== 2) await foreign(on, `disk-${at}`);
        }
        const { volumes } = await on.rds.list(on.signal);
        expect(volumes.map(({ id, record }) => [id, record.name])).toEqual(
          ids.map((id, at) => [id, `pvc-${at}`] as const).toSorted(([a], [b]) => (a < b ? -1 : 1)) as never,
        );
        for (const [at, id] of ids.entries()) {
          expect(await on.rds.find(id, on.signal)).toMatchObject({
            volume: { record: { name: `pvc-${at}` } },
          });
        }
      });
    }
  }
});
