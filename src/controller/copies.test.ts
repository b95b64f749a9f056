import { describe, expect, test } from "bun:test";
import { stored } from "../../test/support/file-layouts.ts";
import { createVolume, outcome, untilDone } from "../../test/support/own-stack.ts";
import { MIB, MOUNT, type Stack } from "../../test/support/rds-stack.ts";
import { until } from "../../test/support/until.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import { publish } from "./calls.fixture.ts";
import { COPY, calls, fileNow, fill, lettersOf, SIZE, SOURCE, stateOf, useCopies } from "./copies.fixture.ts";
import { handleOn } from "./snapshots.fixture.ts";

const start = useCopies();

/** Begins a copy, and holds the line of its n-th part before it runs. */
async function heldAt(on: Stack, nth: number): Promise<{ release(): void }> {
  const { faults } = on.simulator;
  faults.hang({ line: /\/disk\/copy/, nth });
  await until("the part is held", async () => {
    if (faults.hanging === 0) expect(await outcome(calls.copy(on))).toStartWith("ABORTED: ");
    return faults.hanging > 0;
  });
  return { release: () => faults.release() };
}

describe("a full copy", () => {
  test.each([
    ["xfs", {}, `storage-pool/csi/${COPY}.img`],
    ["xfs", { pool: "usb1" }, `usb1/csi/${COPY}/disk.img`],
    ["xfs", { pool: "usb1", layout: "plain" }, `usb1/csi/${COPY}.img`],
    ["xfs", { pool: "usb2" }, `usb2/csi/${COPY}.img`],
    ["btrfs", {}, `storage-pool/csi/${COPY}/disk.img`],
  ] as const)("of a plain volume on %s, %o", async (first, parameters, file) => {
    const on = await start({ first });
    const made = await untilDone(() => calls.copy(on, parameters), 40);
    expect(made).toMatchObject({ id: COPY, sizeBytes: 5n * MIB, source: SOURCE });
    expect([fileNow(on, COPY), await lettersOf(on, file)]).toEqual([file, "ABC"]);
    expect(await lettersOf(on, fileNow(on, SOURCE))).toBe("ABC");
    expect(await untilDone(() => calls.copy(on, parameters))).toEqual(made);
    expect(on.posted[0]?.reason).toBe("CopyRunning");
    // A call that comes in between sees the finished volume first.
    await until("the end is told", () => on.posted.at(-1)?.reason === "CopyCompleted");
  });

  test("of a volume in a subvolume is one with blocks of its own", async () => {
    const on = await start({ first: "btrfs" });
    await on.volumes.delete(SOURCE, on.signal);
    await calls.source(on, { layout: "subvolume" });
    await fill(on, fileNow(on, SOURCE));
    await untilDone(() => calls.copy(on), 40);
    expect(await lettersOf(on, fileNow(on, COPY))).toBe("ABC");
    expect(on.simulator.device.subvolumes.map(({ parent }) => parent)).toEqual(["", ""]);
  });

  test("keeps the filesystem of its source, for good", async () => {
    const on = await start();
    await publish(on, SOURCE, "node-a", { capability: { ...MOUNT, fsType: "xfs" } });
    await on.attachments.unpublish(SOURCE, "node-a", on.signal);
    await untilDone(() => calls.copy(on), 40);
    expect(on.simulator.device.disk(COPY)?.comment).toContain(";f=xfs");
  });
});

describe("the answers while it runs", () => {
  test("progress; the volume is unfinished for every call, and no part of a list", async () => {
    const on = await start();
    const { release } = await heldAt(on, 2);
    expect(await outcome(calls.copy(on))).toBe(
      `ABORTED: volume ${COPY} is being copied from volume ${SOURCE}: 33 % of 3Mi`,
    );
    const other = on.controller();
    const before = await stateOf(on);
    const unfinished = new RegExp(
      `^FAILED_PRECONDITION: volume ${COPY} is unfinished: it is being copied, \\d+ % of 3Mi$`,
    );
    const expand = {
      volumeId: COPY,
      range: { requiredBytes: 9n * MIB, limitBytes: 0n },
      capability: undefined,
    };
    for (const call of [
      () => publish(other, COPY, "node-a"),
      () => other.expansions.expand({ ...expand, signal: on.signal }),
      () =>
        other.modifications.modify({
          ...{ volumeId: COPY, mutableParameters: { reconnectDelay: "9" }, signal: on.signal },
        }),
      () => other.snapshots.create({ name: "s", source: COPY, parameters: {}, signal: on.signal }),
      () => createVolume(other, { ...{ name: "x", required: SIZE }, source: { kind: "volume", id: COPY } }),
      () =>
        createVolume(other, {
          ...{ name: "x", required: 9n * MIB, parameters: { cloneMode: "copy" } },
          source: { kind: "volume", id: COPY },
        }),
    ])
      expect(await outcome(call())).toMatch(unfinished);
    const gone = `NOT_FOUND: volume ${COPY} does not exist on the RDS`;
    expect(await outcome(other.volumes.getVolume(COPY, on.signal))).toBe(gone);
    expect(await outcome(other.volumes.validate(COPY, { capabilities: [] }, on.signal))).toBe(gone);
    expect(await outcome(other.health.health(COPY, on.signal))).toBe(gone);
    expect((await other.volumes.list(on.signal)).entries.map(({ id }) => id)).toEqual([SOURCE]);
    await other.attachments.unpublish(COPY, "", on.signal);
    expect(await stateOf(on)).toEqual(before);
    release();
    await untilDone(() => calls.copy(on), 40);
    expect((await on.volumes.list(on.signal)).entries).toHaveLength(2);
    // What this process remembers of it is over.
    await publish(other, COPY, "node-a");
  });

  test("a request of other properties: ALREADY_EXISTS", async () => {
    const on = await start();
    const { release } = await heldAt(on, 2);
    expect(await outcome(calls.copy(on, { reconnectDelay: "9" }))).toStartWith("ALREADY_EXISTS: ");
    release();
  });

  test("other volumes are created, attached and deleted meanwhile, where each connection runs one command at a time", async () => {
    const on = await start({ profile: "hostile" });
    const { release } = await heldAt(on, 2);
    const other = volumeIdFromName("other");
    await createVolume(on, { name: "other" });
    await publish(on, other, "node-a");
    await on.attachments.unpublish(other, "node-a", on.signal);
    await on.volumes.delete(other, on.signal);
    expect(on.simulator.faults.hanging).toBe(1);
    release();
  });
});

describe("DeleteVolume", () => {
  test.each(["same", "other"] as const)("of an unfinished volume, by the %s process", async (process) => {
    const on = await start();
    const empty = stored(on.simulator);
    const { release } = await heldAt(on, 2);
    const by = process === "same" ? on : on.controller();
    const given = untilDone(() => by.volumes.delete(COPY, on.signal));
    if (process === "same") release();
    await given;
    expect(stored(on.simulator)).toEqual(empty);
    release();
    await until("all lines have ended", () =>
      on.simulator.commands.every(({ finishedAt }) => finishedAt !== undefined),
    );
    expect(stored(on.simulator)).toEqual(empty);
    await untilDone(() => calls.copy(on), 40);
    expect(await lettersOf(on)).toBe("ABC");
  });
});

describe("the source", () => {
  const attached = `FAILED_PRECONDITION: volume ${SOURCE} cannot be copied while it is in use: it is attached to node-a`;

  test("is attached: refused, and nothing is made", async () => {
    const on = await start();
    await publish(on, SOURCE, "node-a");
    const before = await stateOf(on);
    expect(await outcome(calls.copy(on))).toBe(attached);
    expect(await stateOf(on)).toEqual(before);
  });

  test.each([1, 2, 3])(
    "is attached during part %d: the copy goes, and begins anew after the detach",
    async (nth) => {
      const on = await start();
      const { release } = await heldAt(on, nth);
      await publish(on, SOURCE, "node-a");
      release();
      await until("the copy is refused", async () => (await outcome(calls.copy(on))) === attached);
      expect(on.simulator.device.disk(COPY)).toBeUndefined();
      await fill(on, fileNow(on, SOURCE), ["x", "y", "z"]);
      await on.attachments.unpublish(SOURCE, "node-a", on.signal);
      await untilDone(() => calls.copy(on), 40);
      expect(await lettersOf(on)).toBe("xyz");
    },
  );

  test("is attached, written and detached while the last part is copied: the copy begins anew", async () => {
    const on = await start();
    const { release } = await heldAt(on, 3);
    on.simulator.setSwitches({ copyMs: 100_000 });
    release();
    await until("the part is copied in part", async () => (await lettersOf(on)).endsWith("C"));
    await publish(on, SOURCE, "node-a");
    await fill(on, fileNow(on, SOURCE), ["x", "y", "z"]);
    await on.attachments.unpublish(SOURCE, "node-a", on.signal);
    on.simulator.setSwitches({ copyMs: 0 });
    await untilDone(() => calls.copy(on), 40);
    expect(await lettersOf(on)).toBe("xyz");
  });

  test("is attached, written and detached between two parts: the copy begins anew", async () => {
    const on = await start();
    const { release } = await heldAt(on, 2);
    await publish(on, SOURCE, "node-a");
    await fill(on, fileNow(on, SOURCE), ["x", "y", "z"]);
    await on.attachments.unpublish(SOURCE, "node-a", on.signal);
    release();
    await untilDone(() => calls.copy(on), 40);
    expect(await lettersOf(on)).toBe("xyz");
  });

  test("is modified or expanded: the copy goes on", async () => {
    const on = await start();
    const { release } = await heldAt(on, 2);
    await on.modifications.modify({
      ...{ volumeId: SOURCE, mutableParameters: { reconnectDelay: "9" }, signal: on.signal },
    });
    const range = { requiredBytes: 4n * MIB, limitBytes: 0n };
    await on.expansions.expand({ volumeId: SOURCE, range, capability: undefined, signal: on.signal });
    release();
    await untilDone(() => calls.copy(on), 40);
    const parts = on.simulator.commands.filter(({ line }) => line.includes("/disk/copy"));
    expect(parts.map(({ line }) => /src-offset=(\d+)/.exec(line)?.[1])).toEqual([
      ..."0 1048576 1048576 2097152".split(" "),
    ]);
    expect(await lettersOf(on)).toBe("ABC");
  });

  test("is deleted: NOT_FOUND, and nothing is left", async () => {
    const on = await start();
    const { release } = await heldAt(on, 2);
    await on.volumes.delete(SOURCE, on.signal);
    release();
    const gone = `NOT_FOUND: volume ${SOURCE} does not exist on the RDS`;
    await until("the copy is refused", async () => (await outcome(calls.copy(on))) === gone);
    expect(stored(on.simulator)).toEqual([
      "directory storage-pool",
      "directory storage-pool/csi",
      "directory usb1",
      "directory usb2",
    ]);
  });

  test("is exported although it is attached to no node: refused", async () => {
    const on = await start();
    await on.simulator.device.setDisk(SOURCE, { "nvme-tcp-export": true });
    expect(await outcome(calls.copy(on))).toBe(
      `FAILED_PRECONDITION: volume ${SOURCE} cannot be copied while it is in use: it is exported, although it is attached to no node`,
    );
  });

  test("without cloneMode: copy a volume that cannot share its blocks is refused, and the remedy names it", async () => {
    const on = await start();
    const call = createVolume(on, { name: "x", required: SIZE, source: { kind: "volume", id: SOURCE } });
    await expect(call).rejects.toMatchObject({
      id: "sourceNotSubvolume",
      remedy: expect.stringContaining("cloneMode: copy"),
    });
  });

  test("limits of a copy: size, filesystem, mode, snapshots", async () => {
    const on = await start();
    const wish = { name: "x", source: { kind: "volume", id: SOURCE } } as const;
    const parameters = { cloneMode: "copy" };
    expect(await outcome(createVolume(on, { ...wish, required: MIB, parameters }))).toStartWith(
      "OUT_OF_RANGE: ",
    );
    expect(await outcome(createVolume(on, { ...wish, parameters: { cloneMode: "full" } }))).toStartWith(
      "INVALID_ARGUMENT: ",
    );
    const id = handleOn("none");
    const btrfs = await start({ first: "btrfs" });
    const restore = createVolume(btrfs, { name: "x", source: { kind: "snapshot", id }, parameters });
    expect(await outcome(restore)).toBe(`NOT_FOUND: snapshot ${id} does not exist on the RDS`);
  });
});

describe("a device that does not prove a copy", () => {
  test.each([{ copy: "async", copyMs: 1 }, { copyStatus: "none" }] as const)(
    "%o: refused, and nothing is left",
    async (switches) => {
      const on = await start({ switches });
      const before = stored(on.simulator);
      expect(await outcome(untilDone(() => calls.copy(on), 40))).toBe(
        `FAILED_PRECONDITION: the copy into volume ${COPY} is not proven, and not used: the RDS was to copy 1048576 bytes, and said nothing`,
      );
      expect(stored(on.simulator)).toEqual(before);
    },
  );
});

describe("a part that takes long", () => {
  test.each(["busy", "ends", "goes-on"] as const)(
    "of a process that died, on a device where a copy in use %s: it never writes into the finished volume",
    async (copyInUse) => {
      const on = await start({ switches: { copyMs: 600_000, copyInUse, clientDisconnect: "completes" } });
      const dead = on.controller();
      const first = outcome(calls.copy(dead));
      await until("a part is being copied", () =>
        on.simulator.commands.some(({ line }) => line.includes("/disk/copy")),
      );
      const closed = dead.copies.close();
      await dead.transport.close();
      await Promise.all([first, closed]);
      on.simulator.setSwitches({ copyMs: 0 });
      await untilDone(() => calls.copy(on), 200);
      expect(await lettersOf(on)).toBe("ABC");
      if (copyInUse === "goes-on") return;
      await publish(on, COPY, "node-a");
      await fill(on, fileNow(on, COPY), ["x", "y", "z"]);
      await until("all lines have ended", () =>
        on.simulator.commands.every(({ finishedAt }) => finishedAt !== undefined),
      );
      expect(await lettersOf(on)).toBe("xyz");
    },
  );
});

test("a reboot of the RDS in the middle of a part: the copy goes on", async () => {
  const on = await start({ switches: { copyMs: 200_000 } });
  const running = outcome(calls.copy(on));
  await until("a part is copied in part", async () => (await lettersOf(on).catch(() => "")).startsWith("A"));
  await on.simulator.reboot();
  on.simulator.setSwitches({ copyMs: 0 });
  await running;
  await untilDone(() => calls.copy(on), 200);
  expect(await lettersOf(on)).toBe("ABC");
});

test("two processes at once: one copy", async () => {
  const on = await start();
  const by = [on, on.controller()];
  const [one, other] = await Promise.all(by.map((each) => untilDone(() => calls.copy(each), 100)));
  expect(one).toEqual(other as typeof one);
  expect(await lettersOf(on)).toBe("ABC");
});
