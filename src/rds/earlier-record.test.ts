import { describe, expect, test } from "bun:test";
import { encodeRecord } from "../domain/record/record-codec.ts";
import type { VolumeRecord } from "../domain/record/volume-record.ts";
import type { Disk } from "./disk.ts";
import { ATTACHED, DISK, type ID, RECORD } from "./rds.fixture.ts";
import { NONCE, type Scripted, scripted } from "./scripted.fixture.ts";
import { writeRecord } from "./write-record.ts";

const { signal } = new AbortController();
const comment = (record: VolumeRecord): string => `comment="${encodeRecord(record)}"`;

/** The statements of each command, without those that read back. */
const statements = (rds: Scripted): readonly string[] =>
  rds.sent().map(({ line }) => /in=\{ (.*?)(?:; )?:put \(/.exec(line)?.[1]?.trim() ?? line);

describe("a volume of the earlier driver", () => {
  const id = "pvc-0b2c6a3e-6f0e-4a5b-9a43-2f1f0c8f7d11" as typeof ID;
  const nqn = `nqn.2000-02.com.mikrotik:${id}`;
  const item = { slot: id, filePath: `storage-pool/k/${id}.img` };
  const made = { ...DISK, ...item, comment: "", exported: true, nqn, port: 4420, mountFilesystem: true };
  const rowOf = (comment: string, over: object = {}) => ({
    ...{ slot: id, type: "file", "file-path": `/${item.filePath}`, size: 1_073_741_824, comment },
    ...{ "nvme-tcp-export": true, "nvme-tcp-server-nqn": nqn, "nvme-tcp-server-port": 4420 },
    ...{ "mount-filesystem": false, ...over },
  });
  const held: VolumeRecord = { ...ATTACHED, exportName: { nqn, port: 4420, hosts: false } };
  const run = async (rds: Scripted, disk: Disk, record: VolumeRecord, state: "adopt" | "fresh" | "off") =>
    writeRecord(rds, { id, record: state === "adopt" ? record : RECORD, disk }, record, state, signal);

  test("that a node has gets its first record and mount-filesystem in one command, which finds it by its NQN too", async () => {
    const rds = scripted([[rowOf(encodeRecord(held))]]);
    expect(await run(rds, made, held, "adopt")).toMatchObject({ kind: "written" });
    expect(statements(rds)).toEqual([
      `/disk/set [/disk/find where slot="${id}" and comment="" and nvme-tcp-server-nqn="${nqn}"] ${comment(held)} mount-filesystem=no`,
    ]);
  });

  test("that no node has loses its export in the same command", async () => {
    const rds = scripted([[rowOf(encodeRecord(RECORD), { "nvme-tcp-export": false })]]);
    expect(await run(rds, made, RECORD, "adopt")).toMatchObject({ kind: "written" });
    expect(statements(rds)).toEqual([
      `/disk/set [/disk/find where slot="${id}" and comment="" and nvme-tcp-server-nqn="${nqn}"] ${comment(RECORD)} mount-filesystem=no nvme-tcp-export=no`,
    ]);
  });

  test("that a node has, with its export off, is left so: the export is none of an adoption's business", async () => {
    const rds = scripted([[rowOf(encodeRecord(held), { "nvme-tcp-export": false })]]);
    expect(await run(rds, { ...made, exported: false }, held, "adopt")).toMatchObject({ kind: "written" });
    expect(rds.asked()).toBe(1);
  });

  test("whose export stays on is switched off by a second command, and is a conflict if its record went meanwhile", async () => {
    for (const [now, kind] of [
      [encodeRecord(RECORD), "written"],
      ["rds1;other", "conflict"],
    ] as const) {
      const rds = scripted([[rowOf(encodeRecord(RECORD))], [rowOf(now, { "nvme-tcp-export": false })]]);
      expect(await run(rds, made, RECORD, "adopt")).toMatchObject({ kind });
      expect(rds.asked()).toBe(2);
    }
  });

  test("is not adopted while the RDS goes on mounting it", async () => {
    const rds = scripted([[{ ...rowOf(encodeRecord(held)), "mount-filesystem": true }]]);
    await expect(run(rds, made, held, "adopt")).rejects.toThrow("mount-filesystem is still on");
  });

  test.each(["fresh", "off"] as const)(
    "`%s`, decided while it was not exported, finds it only so: one that is exported by now is a conflict",
    async (state) => {
      const record = state === "fresh" ? ATTACHED : { ...RECORD, invalidations: 1 };
      const before = encodeRecord(RECORD);
      const rds = scripted([[rowOf(before)]]);
      const disk = { ...made, comment: before, exported: false, mountFilesystem: false };
      expect(await run(rds, disk, record, state)).toEqual({ kind: "conflict" });
      expect(statements(rds)[0]).toContain(`and comment="${before}" and nvme-tcp-export=no]`);
      expect(rds.asked()).toBe(1);
      const same = scripted([[rowOf(before, { "nvme-tcp-export": false })]]);
      await expect(run(same, disk, record, state)).rejects.toThrow("the record did not change");
    },
  );

  test("that is detached goes off in a second command like any other", async () => {
    const [before, after] = [encodeRecord(RECORD), { ...RECORD, invalidations: 1 }];
    const disk = { ...made, comment: before, exported: false };
    const rds = scripted([
      [rowOf(encodeRecord(after))],
      [rowOf(encodeRecord(after), { "nvme-tcp-export": false })],
    ]);
    expect(await run(rds, disk, after, "off")).toMatchObject({ kind: "written" });
    expect(rds.asked()).toBe(2);
  });

  test.each([
    ["a node has", { ...held }, { exported: false }],
    ["is exported under another name", RECORD, { exported: true, nqn: `${nqn}.3-${NONCE}` }],
  ] as const)("one that %s is found whether it is exported or not", async (_, before, over) => {
    const disk = { ...made, comment: encodeRecord(before), ...over };
    const after = encodeRecord({ ...RECORD, invalidations: 1 });
    const rds = scripted([[{ ...rowOf(after, { "nvme-tcp-export": false }), slot: disk.slot }]]);
    const volume = { id: disk.slot as typeof ID, record: before, disk };
    await writeRecord(rds, volume, { ...RECORD, invalidations: 1 }, "off", signal);
    expect(statements(rds)[0]).toContain(`and comment="${encodeRecord(before)}"] comment=`);
  });
});
