import { expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { isPrintable } from "../../src/domain/printable.ts";
import {
  decodeRecord,
  encodeChecked,
  encodeRecord,
  RECORD_LIMIT,
} from "../../src/domain/record/record-codec.ts";
import type { Attachment, VolumeRecord } from "../../src/domain/record/volume-record.ts";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import { classify } from "../../src/rds/volume.ts";
import { FILE_DISK, NEW_RECORD } from "../support/records.ts";
import { FUZZ_SEED, Random, SHORT_SECONDS } from "./random.ts";

const seconds = SHORT_SECONDS / 2;

function forAWhile(work: (random: Random) => void): void {
  const random = new Random(FUZZ_SEED);
  const end = performance.now() + seconds * 1_000;
  while (performance.now() < end) work(random);
}

const attachment = (node: string, more: Partial<Attachment> = {}): Attachment => ({
  ...{ node, hostNqn: `nqn.2014-08.org.nvmexpress:uuid:${node}`, accessMode: "MULTI_NODE_MULTI_WRITER" },
  ...{ accessType: "block", readonly: false, since: 1_700_000_001 },
  ...more,
});

/** Records as they stand on devices: new, attached once, read only, in a migration, after one, with settings and unknown fields. */
const RECORDS: readonly VolumeRecord[] = [
  NEW_RECORD,
  { ...NEW_RECORD, claim: { namespace: "shop", name: "data" }, epoch: 3, filesystem: "ext4" },
  { ...NEW_RECORD, epoch: 3, attachments: [attachment("node-a", { readonly: true })] },
  {
    ...NEW_RECORD,
    epoch: 7,
    attachments: [attachment("node-a"), attachment("node-b")],
    exportName: { nqn: "nqn.2000-02.com.mikrotik:csi-1.7-0a1b2c3d", port: 4_420, hosts: true },
    migration: { since: 1_700_000_002, timeoutSeconds: 300, by: "rds-csi-0", overdueBy: undefined },
  },
  {
    ...NEW_RECORD,
    epoch: 9,
    ended: [{ since: 1, at: 2, moved: true, overdue: false, stayed: "node-b", by: "p" }],
    settings: { ...NEW_RECORD.settings, ctrlLossTmo: 600, migrationGuard: "warn" },
    unknown: [["zz", "1"]],
  },
];

const nodesOf = ({ attachments }: VolumeRecord) => attachments.map(({ node }) => node);

test("a record with any bytes changed: foreign, unreadable with a short reason, or a record that is written again as itself", () => {
  const kinds = new Map<string, number>();
  forAWhile((random) => {
    const text = encodeRecord(random.pick(RECORDS));
    const changed = random.mutated(Buffer.from(text)).toString();
    const decoded = decodeRecord(changed);
    kinds.set(decoded.kind, (kinds.get(decoded.kind) ?? 0) + 1);
    if (decoded.kind === "unreadable") {
      expect(decoded.reason.length).toBeLessThanOrEqual(200);
      expect(isPrintable(decoded.reason)).toBe(true);
    }
    if (decoded.kind !== "record") return;
    const { record } = decoded;
    const again = encodeRecord(record);
    expect(decodeRecord(again)).toEqual({ kind: "record", record });
    expect(again).toMatch(/^rds1;[!#-~]*$/);
    expect(record.attachments.length).toBeLessThanOrEqual(2);
    expect(new Set(nodesOf(record)).size).toBe(record.attachments.length);
    expect(record.migration === undefined).toBe(record.attachments.length < 2);
    try {
      expect(encodeChecked(volumeIdFromName("pvc-1"), record).length).toBeLessThanOrEqual(RECORD_LIMIT);
    } catch (error) {
      expect(error).toMatchObject({ id: "recordTooLarge" });
    }
  });
  for (const kind of ["record", "unreadable"]) expect(kinds.get(kind)).toBeGreaterThan(10);
});

test("a record with fields that are gone, twice, moved or of another volume: never a node that it did not have, or more rights", () => {
  const other: VolumeRecord = {
    ...NEW_RECORD,
    name: "pvc-2",
    epoch: 5,
    attachments: [attachment("node-x")],
    exportName: { nqn: "nqn.2000-02.com.mikrotik:csi-2.5", port: 4_420, hosts: false },
  };
  let read = 0;
  forAWhile((random) => {
    const record = random.pick(RECORDS);
    const [schema = "", ...fields] = encodeRecord(record).split(";");
    const foreign = encodeRecord(other).split(";").slice(1);
    const changed = [...fields];
    for (let count = 1 + random.int(3); count > 0; count -= 1) {
      const at = random.int(changed.length + 1);
      switch (random.int(4)) {
        case 0:
          changed.splice(at, 1);
          break;
        case 1:
          changed.splice(at, 0, random.pick(fields));
          break;
        case 2:
          changed.splice(random.int(changed.length + 1), 0, ...changed.splice(at, 1));
          break;
        default:
          // Behind it, as where two comments ran together.
          changed.push(...foreign);
      }
    }
    const comment = [schema, ...changed].join(";");
    const disk = { ...FILE_DISK, slot: volumeIdFromName("pvc-1"), comment };
    const found = classify({ ...disk, filePath: `storage-pool/csi/${disk.slot}.img` }, "test");
    if (found?.kind !== "volume") return;
    read += 1;
    expect(found.volume.record.name).toBe("pvc-1");
    for (const each of found.volume.record.attachments) expect(record.attachments).toContainEqual(each);
  });
  expect(read).toBeGreaterThan(10);
});
