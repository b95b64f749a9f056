import { describe, expect, test } from "bun:test";
import { FILE_LAYOUTS, fileOf } from "../../test/support/file-layouts.ts";
import { GIB, LAYOUT, MIB } from "../../test/support/rds-stack.ts";
import { systemClock } from "../domain/clock.ts";
import { encodeRecord } from "../domain/record/record-codec.ts";
import { createVolume } from "./create.ts";
import { growVolume } from "./grow.ts";
import { pollUntil, SETTLE_LIMIT_MS } from "./poll.ts";
import { poolWith } from "./pool.ts";
import { ATTACHED, DISK, ID, PATH, RECORD } from "./rds.fixture.ts";
import { NONCE, scripted } from "./scripted.fixture.ts";
import type { RdsVolume } from "./volume.ts";
import { writeRecord } from "./write-record.ts";

describe("reading back after a write", () => {
  const volume: RdsVolume = { id: ID, record: RECORD, disk: DISK };
  const row = (over: object) => ({
    slot: ID,
    type: "file",
    "file-path": `/${PATH}`,
    size: 1_073_741_824,
    ...over,
  });
  const nqn = `nqn.2000-02.com.mikrotik:${ID}.1-${NONCE}`;
  const up = row({
    comment: encodeRecord({ ...ATTACHED, exportName: { nqn, port: 4420, hosts: false } }),
    "nvme-tcp-export": true,
    "nvme-tcp-server-nqn": nqn,
    "nvme-tcp-server-port": 4420,
  });
  const down = { ...up, "nvme-tcp-export": false };
  const { signal } = new AbortController();

  test("an export that comes up late is waited for", async () => {
    const context = scripted([[down], [down], [up]]);
    expect((await writeRecord(context, volume, ATTACHED, "fresh", signal)).kind).toBe("written");
    expect(context.asked()).toBe(3);
  });

  test("an export that never comes up, or under another NQN, is an error", async () => {
    for (const never of [
      down,
      { ...up, "nvme-tcp-server-nqn": "nqn.2020-01.org.example:x" },
      { ...up, "nvme-tcp-server-port": 4421 },
    ]) {
      await expect(writeRecord(scripted([[never]]), volume, ATTACHED, "fresh", signal)).rejects.toMatchObject(
        { id: "notVerified" },
      );
    }
  });

  test("a record that did not change is an error; another one a conflict; none, absent", async () => {
    await expect(
      writeRecord(scripted([[row({ comment: DISK.comment })]]), volume, ATTACHED, "fresh", signal),
    ).rejects.toMatchObject({ id: "notVerified" });
    expect(
      await writeRecord(
        scripted([[row({ comment: "rds1;n=pvc-1;c=test;t=9" })]]),
        volume,
        ATTACHED,
        "fresh",
        signal,
      ),
    ).toEqual({ kind: "conflict" });
    expect(await writeRecord(scripted([[]]), volume, ATTACHED, "fresh", signal)).toEqual({ kind: "absent" });
  });

  test("rows of another slot are an error, and never the absence of this one", async () => {
    const { slot, ...nameless } = up;
    for (const other of [row({ slot: "csi-other" }), nameless]) {
      expect(slot).toBe(ID);
      for (const answers of [[[other]], [[down], [other]], [[up, other]]])
        await expect(writeRecord(scripted(answers), volume, ATTACHED, "fresh", signal)).rejects.toMatchObject(
          { id: "replyUnreadable" },
        );
    }
  });

  test("two disks in one slot are an error, not the first of them", async () => {
    await expect(writeRecord(scripted([[up, up]]), volume, ATTACHED, "fresh", signal)).rejects.toMatchObject({
      id: "replyUnreadable",
    });
  });
});

/** The pool of the volumes. */
const POOL = poolWith(
  {
    ...DISK,
    slot: "storage-pool",
    type: "raid",
    size: GIB,
    free: GIB,
    mounted: true,
    mountPoint: "storage-pool",
    fs: "btrfs",
    fsLabel: "pool-label",
  },
  { allocated: 0n, counted: new Map(), asked: undefined },
  0n,
);

describe("growing", () => {
  const volume: RdsVolume = { id: ID, record: RECORD, disk: DISK };
  const row = (over: object) => ({
    ...{ slot: ID, type: "file", "file-path": `/${PATH}`, size: 1_073_741_824, comment: DISK.comment },
    ...over,
  });
  const { signal } = new AbortController();
  const grow = (answers: readonly (readonly object[])[]) =>
    growVolume(scripted(answers), {
      volume,
      pool: POOL,
      sizeBytes: 2n * GIB,
      reExportSince: undefined,
      signal,
    });

  test("is done when the item shows the size, which may come late", async () => {
    const grown = row({ size: 2_147_483_648 });
    expect((await grow([[row({})], [row({})], [grown]])).kind).toBe("written");
  });

  test("to a size that never shows is an error; another record is a conflict, no item is none", async () => {
    await expect(grow([[row({})]])).rejects.toMatchObject({ id: "notVerified" });
    expect(await grow([[row({ comment: "rds1;n=pvc-1;c=test;t=9" })]])).toEqual({ kind: "conflict" });
    expect(await grow([[]])).toEqual({ kind: "absent" });
  });
});

describe.each(FILE_LAYOUTS)("a create that fails on the device, layout %s", (form) => {
  const row = {
    slot: ID,
    type: "file",
    "file-path": `/${fileOf(ID, form)}`,
    size: 1_048_576,
    comment: encodeRecord(RECORD),
  };
  const create = (answers: readonly (readonly object[] | string)[]) =>
    createVolume(scripted(answers), {
      id: ID,
      layout: LAYOUT,
      form,
      pool: POOL,
      sizeBytes: MIB,
      record: RECORD,
      signal: new AbortController().signal,
    });

  test("because the slot has just been taken: what took it is the answer", async () => {
    expect(await create(["failure: already have such entry", [row]])).toMatchObject({
      kind: "volume",
      volume: { id: ID },
    });
    expect(await create(["failure: already have such entry", [{ ...row, comment: "" }]])).toMatchObject({
      kind: "foreign",
    });
  });

  test("for another reason: final when nothing is there, to be repeated when something is", async () => {
    await expect(create(["failure: something new", []])).rejects.toMatchObject({
      id: "commandRejected",
      code: 13,
    });
    await expect(create(["failure: something new", [row]])).rejects.toMatchObject({
      id: "rdsBusy",
      code: 14,
    });
    await expect(create(["action timed out - try again", []])).rejects.toMatchObject({ id: "rdsBusy" });
  });

  test("in another language: never taken for success, for absence or for a slot that is taken", async () => {
    for (const text of ["Element nicht vorhanden (4)", "Fehler: Eintrag ist schon da", "kein Platz"]) {
      await expect(create([text, []])).rejects.toMatchObject({ id: "commandRejected" });
      // Something is there: looked at again by the repeated call, not handed out unread.
      await expect(create([text, [row]])).rejects.toMatchObject({ id: "rdsBusy" });
      await expect(create([text, text])).rejects.toMatchObject({ id: "commandRejected" });
    }
  });

  test("or comes out with another size, file or mount setting: not handed out", async () => {
    await expect(create([[{ ...row, size: 2_097_152 }]])).rejects.toMatchObject({ id: "sizeNotConfirmed" });
    await expect(create([[{ ...row, size: 0 }]])).rejects.toMatchObject({ id: "sizeNotConfirmed" });
    await expect(create([[{ ...row, "file-path": "/other-pool/csi/x.img" }]])).rejects.toMatchObject({
      id: "notVerified",
    });
    const other = FILE_LAYOUTS.find((each) => each !== form) ?? form;
    await expect(create([[{ ...row, "file-path": `/${fileOf(ID, other)}` }]])).rejects.toMatchObject({
      id: "notVerified",
    });
    await expect(create([[{ ...row, "mount-filesystem": true }]])).rejects.toMatchObject({
      id: "notVerified",
    });
    await expect(create([[]])).rejects.toMatchObject({ id: "notVerified" });
  });
});

test("polling stops at its limit and with the caller's signal", async () => {
  const { clock } = scripted([[]]);
  let reads = 0;
  const never = () =>
    pollUntil(
      clock,
      new AbortController().signal,
      0,
      async () => ++reads,
      () => false,
    );
  expect(await never()).toBe(reads);
  expect(clock.monotonic()).toBeGreaterThanOrEqual(SETTLE_LIMIT_MS);
  const stop = new AbortController();
  stop.abort(new Error("gone"));
  await expect(
    pollUntil(
      systemClock,
      stop.signal,
      0,
      async () => 1,
      () => false,
    ),
  ).rejects.toThrow("gone");
});
