import { afterEach, describe, expect, test } from "bun:test";
import { DEFAULT_SETTINGS } from "../domain/record/volume-record.ts";
import { type VolumeId, volumeIdFromName } from "../domain/volume-id.ts";
import { detailForm } from "../routeros/reply/detail-form.ts";
import { jsonForm } from "../routeros/reply/json-form.ts";
import { linesForm } from "../routeros/reply/lines-form.ts";
import { LAYOUT, MIB, type Stack, type StackOptions, startStack } from "./stack.fixture.ts";

let stack: Stack | undefined;
afterEach(async () => {
  await stack?.close();
  stack = undefined;
});
async function start(options: StackOptions = {}): Promise<Stack> {
  stack = await startStack(options);
  return stack;
}

async function create(on: Stack, name: string): Promise<VolumeId> {
  const { pool } = await on.rds.pool("storage-pool", 0n, on.signal);
  const id = volumeIdFromName(name);
  const record = {
    name,
    cluster: "test",
    claim: undefined,
    createdAt: 1,
    source: undefined,
    filesystem: undefined,
    epoch: 0,
    attachments: [],
    migration: undefined,
    ended: [],
    settings: DEFAULT_SETTINGS,
    unknown: [],
  };
  await on.rds.create({ id, pool, layout: LAYOUT, sizeBytes: MIB, record, signal: on.signal });
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

describe("volumes that stand among the disks of others", () => {
  for (const form of [jsonForm, linesForm, detailForm]) {
    for (const wrapWidth of [0, 61, 80]) {
      test(`${form.name}, ${wrapWidth} columns: each is listed once, as it is`, async () => {
        const on = await start({ forms: [form], switches: { wrapWidth } });
        const ids: VolumeId[] = [];
        for (let at = 0; at < 8; at++) {
          ids.push(await create(on, `pvc-${at}`));
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
