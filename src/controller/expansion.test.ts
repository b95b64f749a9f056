import { afterEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { outcome } from "../../test/support/own-stack.ts";
import { GIB, MIB, MOUNT, type Stack, type StackOptions } from "../../test/support/rds-stack.ts";
import { type Clock, systemClock } from "../domain/clock.ts";
import { Premises } from "../domain/premises.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import {
  create,
  expand,
  ID,
  LARGER,
  publish,
  reconcile,
  SHARED,
  SIZE,
  shown,
  withVolume,
} from "./expansion.fixture.ts";
import { grownSize } from "./sizes.ts";

const PROFILES = ["current", "hostile", "strict", "old"] as const;

let stack: Stack | undefined;
afterEach(async () => {
  await stack?.close();
  stack = undefined;
});
async function start(...given: Parameters<typeof withVolume>): Promise<Stack> {
  stack = await withVolume(...given);
  return stack;
}

describe("the size that a volume is to have", () => {
  const bytes = fc.bigInt({ min: 0n, max: 2n ** 62n });
  test("is never smaller than it is, satisfies the range, and is its own answer", () => {
    fc.assert(
      fc.property(bytes, bytes, (blocks, requiredBytes) => {
        const size = (blocks / MIB + 1n) * MIB;
        const range = { requiredBytes: requiredBytes + 1n, limitBytes: 0n };
        const grown = grownSize(size, range);
        expect(grown >= size && grown >= requiredBytes && grown % MIB === 0n).toBe(true);
        expect(grown === size || grown - requiredBytes <= MIB).toBe(true);
        expect(grownSize(grown, range)).toBe(grown);
      }),
    );
  });
  const cases: [bigint, bigint, string | bigint][] = [
    [-1n, 0n, "INVALID_ARGUMENT"],
    [0n, -1n, "INVALID_ARGUMENT"],
    [0n, 0n, "INVALID_ARGUMENT"],
    [9n * MIB, 8n * MIB, "OUT_OF_RANGE"],
    [8n * MIB + 1n, 8n * MIB + 2n, "OUT_OF_RANGE"],
    [0n, 7n * MIB, "OUT_OF_RANGE"],
    [1n, 7n * MIB, "OUT_OF_RANGE"],
    [2n ** 63n - 1n, 0n, "OUT_OF_RANGE"],
    [0n, 9n * MIB, 8n * MIB],
    [1n, 0n, 8n * MIB],
    [8n * MIB, 8n * MIB, 8n * MIB],
    [8n * MIB + 1n, 9n * MIB, 9n * MIB],
  ];
  test.each(cases)("8 MiB, required %p, limit %p: %p", async (requiredBytes, limitBytes, wanted) => {
    const call = async () => grownSize(SIZE, { requiredBytes, limitBytes });
    if (typeof wanted === "bigint") expect(await call()).toBe(wanted);
    else expect(await outcome(call())).toStartWith(`${wanted}:`);
  });
});

for (const profile of PROFILES) {
  describe(`ControllerExpandVolume, profile ${profile}`, () => {
    test("detached: grown, rounded up, measured; again: nothing is done; never exported", async () => {
      const on = await start({ profile });
      on.commandsSince();
      expect(await expand(on, LARGER - 1n)).toEqual({ sizeBytes: LARGER, nodeExpansionRequired: false });
      expect(on.commandsSince()).toHaveLength(2);
      expect(await expand(on, LARGER)).toEqual({ sizeBytes: LARGER, nodeExpansionRequired: false });
      expect(on.commandsSince()).toHaveLength(1);
      expect(shown(on)).toMatchObject({ size: LARGER, exported: false, marked: false });
      // A request for less is answered with what is there.
      expect(await expand(on, SIZE)).toEqual({ sizeBytes: LARGER, nodeExpansionRequired: false });
      expect(shown(on).size).toBe(LARGER);
    });

    test("attached, announce: grown, and the export is not touched", async () => {
      const on = await start({ profile, switches: { onlineResize: "at-once" } }, ["node-a"]);
      const { nqn } = shown(on);
      on.simulator.device.connectHost(nqn, "nqn.host-a");
      expect(await expand(on)).toEqual({ sizeBytes: LARGER, nodeExpansionRequired: true });
      expect(shown(on)).toEqual({
        size: LARGER,
        exported: true,
        exportedSize: LARGER,
        nqn,
        marked: false,
        hosts: 1,
      });
      expect(on.posted).toEqual([]);
    });

    test("attached to two nodes, re-export: hosts see the size once they are back, under the same NQN", async () => {
      const on = await start({ profile, online: "re-export", switches: { connectedHosts: "dropped" } }, [
        "node-a",
        "node-b",
      ]);
      const { nqn } = shown(on);
      for (const host of ["nqn.host-a", "nqn.host-b"]) on.simulator.device.connectHost(nqn, host);
      on.commandsSince();
      expect(await expand(on)).toEqual({ sizeBytes: LARGER, nodeExpansionRequired: true });
      expect(on.commandsSince()).toHaveLength(2);
      expect(shown(on)).toEqual({
        size: LARGER,
        exported: true,
        exportedSize: LARGER,
        nqn,
        marked: false,
        hosts: 0,
      });
      expect(on.posted.filter(({ reason }) => reason === "VolumeReExported").map((e) => e.message)).toEqual([
        `The volume has ${LARGER} bytes now; its export was off for a moment, which shows that to node-a and node-b on reconnecting`,
      ]);
      // Again: hosts are left in peace.
      on.simulator.device.connectHost(nqn, "nqn.host-a");
      expect(await expand(on)).toEqual({ sizeBytes: LARGER, nodeExpansionRequired: true });
      expect(shown(on).hosts).toBe(1);
    });

    test.each(["effective", "coalesced"] as const)(
      "re-export reaches the hosts on a device where off and on in one line is %s",
      async (reExport) => {
        for (const reconnectDelay of ["1", "5", "300"]) {
          const switches = { connectedHosts: "dropped", reExport } as const;
          const on = await start({ profile, online: "re-export", switches }, ["node-a"], { reconnectDelay });
          const { nqn } = shown(on);
          on.simulator.device.connectHost(nqn, "nqn.host-a");
          on.commandsSince();
          expect(await expand(on)).toEqual({ sizeBytes: LARGER, nodeExpansionRequired: true });
          expect(on.commandsSince()).toHaveLength(2);
          expect(shown(on)).toMatchObject({
            exported: true,
            exportedSize: LARGER,
            nqn,
            marked: false,
            hosts: 0,
          });
          await on.close();
        }
      },
    );

    test("re-export of a detached volume exports nothing", async () => {
      const on = await start({ profile, online: "re-export" });
      await expand(on);
      expect(shown(on)).toMatchObject({ size: LARGER, exported: false, marked: false });
    });

    test("a full pool: nothing changes, hosts notice nothing", async () => {
      const on = await start({ profile, online: "re-export" }, ["node-a"]);
      const before = shown(on);
      // The device refuses, although its listing showed room.
      on.simulator.faults.diskFull({ line: /file-size=/ });
      expect(await outcome(expand(on))).toStartWith("RESOURCE_EXHAUSTED: RouterOS refused ");
      expect(shown(on)).toEqual(before);
      await on.close();
      const small = await start({ profile, pools: [{ slot: "storage-pool", fs: "ext4", size: 2n * GIB }] });
      expect(await outcome(expand(small, GIB + 500n * MIB))).toMatch(
        /^RESOURCE_EXHAUSTED: pool storage-pool has \S+[MG]i left for volumes by the driver's own count, \S+[MG]i are needed/,
      );
      expect(await outcome(expand(small, 4n * GIB))).toStartWith("OUT_OF_RANGE: ");
      expect(shown(small).size).toBe(SIZE);
    });
  });
}

describe("refusals", () => {
  test("refuse: an attached volume is refused, with its nodes; what is large enough already is not", async () => {
    const on = await start({ online: "refuse" }, ["node-a", "node-b"]);
    expect(await outcome(expand(on))).toBe(
      `FAILED_PRECONDITION: volume ${ID} is attached to node-a and node-b and cannot be expanded there: --online-expansion is refuse`,
    );
    expect((await expand(on, SIZE)).sizeBytes).toBe(SIZE);
    await on.attachments.unpublish(ID, "", on.signal);
    expect(await expand(on)).toEqual({ sizeBytes: LARGER, nodeExpansionRequired: false });
  });

  test("on a device whose hosts never see a new size, an attached volume is refused, and nothing else", async () => {
    const on = await start({}, ["node-a"]);
    const experiment = { experiment: "growth-seen", answer: "never", came: "so" };
    const premises = new Premises([{ feature: "online-expansion", ...experiment }]);
    const asked = on.controller({ premises });
    expect(await outcome(expand(asked))).toStartWith(
      "FAILED_PRECONDITION: this RDS cannot do online-expansion",
    );
    expect(shown(on).size).toBe(SIZE);
    expect((await expand(asked, SIZE)).sizeBytes).toBe(SIZE);
    await on.attachments.unpublish(ID, "", on.signal);
    expect((await expand(asked)).sizeBytes).toBe(LARGER);
  });

  test.each([
    ["0", true],
    ["29", true],
    ["30", false],
    ["-1", false],
  ])("re-export with ctrlLossTmo %s: refused is %p", async (ctrlLossTmo, isRefused) => {
    const on = await start({ online: "re-export" }, ["node-a"], { ctrlLossTmo });
    const answer = await outcome(expand(on));
    if (!isRefused) return expect(answer).toBe("OK");
    expect(answer).toStartWith("FAILED_PRECONDITION: ");
    expect(answer).toContain(`ctrlLossTmo of ${ctrlLossTmo} s is below 30 s`);
    expect(shown(on)).toMatchObject({ size: SIZE, exported: true, marked: false });
  });

  test("a device that does not end an export in use: told, and put right by the detach", async () => {
    const on = await start({ online: "re-export", switches: { connectedHosts: "busy" } }, ["node-a"]);
    const { nqn } = shown(on);
    on.simulator.device.connectHost(nqn, "nqn.host-a");
    for (let repeat = 0; repeat < 2; repeat += 1) {
      expect(await outcome(expand(on))).toMatch(/^FAILED_PRECONDITION: .* does not switch its export off/);
      expect(shown(on)).toMatchObject({ exported: true, exportedSize: SIZE, marked: true, hosts: 1 });
    }
    on.simulator.device.disconnectHost(nqn, "nqn.host-a");
    await on.attachments.unpublish(ID, "node-a", on.signal);
    expect(shown(on)).toMatchObject({ size: LARGER, exported: false, marked: false });
    await publish(on, "node-a");
    expect(shown(on)).toMatchObject({ exported: true, exportedSize: LARGER, marked: false });
    expect((await expand(on)).sizeBytes).toBe(LARGER);
  });

  test("unknown, foreign, without range, with a capability that cannot be had", async () => {
    const on = await start();
    expect(await outcome(expand(on, 0n))).toBe("INVALID_ARGUMENT: capacity_range is required and was empty");
    const unknown = volumeIdFromName("unknown");
    expect(await outcome(expand(on, LARGER, { volumeId: unknown }))).toStartWith("NOT_FOUND: ");
    expect(await outcome(expand(on, LARGER, { capability: { ...SHARED, accessType: "mount" } }))).toStartWith(
      "INVALID_ARGUMENT: ",
    );
    const slot = volumeIdFromName("foreign");
    await on.simulator.device.makeDirectories("storage-pool/x");
    await on.simulator.device.addForeignDisk({ slot, path: `storage-pool/x/${slot}.img`, size: MIB });
    expect(await outcome(expand(on, LARGER, { volumeId: slot }))).toStartWith("FAILED_PRECONDITION: ");
    expect(on.simulator.device.disks.find((disk) => disk.slot === slot)?.size).toBe(MIB);
    expect(shown(on).size).toBe(SIZE);
  });
});

describe("node_expansion_required", () => {
  const nodeExpansion = async (on: Stack, capability: typeof SHARED | undefined): Promise<boolean> =>
    (await expand(on, LARGER, { capability })).nodeExpansionRequired;
  test("filesystem: always; block: while it is attached; on the idempotent path as well", async () => {
    const on = await start();
    for (let repeat = 0; repeat < 2; repeat += 1) {
      expect([await nodeExpansion(on, MOUNT), await nodeExpansion(on, SHARED)]).toEqual([true, false]);
      expect(await nodeExpansion(on, undefined)).toBe(false);
    }
    await publish(on, "node-a");
    expect([await nodeExpansion(on, SHARED), await nodeExpansion(on, undefined)]).toEqual([true, true]);
  });
  test("without a capability the record tells of a filesystem", async () => {
    const on = await start();
    await publish(on, "node-a", MOUNT);
    await on.attachments.unpublish(ID, "node-a", on.signal);
    expect(await nodeExpansion(on, undefined)).toBe(true);
  });
});

describe("several at once", () => {
  const racing: StackOptions = { switches: { shrink: "shrinks" } };
  for (const online of ["announce", "re-export"] as const) {
    test(`two controllers, two sizes, a device that would shrink, ${online}: the larger stays`, async () => {
      const on = await start({ ...racing, online }, ["node-a"]);
      const other = on.controller();
      for (let round = 1n; round <= 8n; round += 1n) {
        const small = SIZE + round * 10n * MIB;
        const [one, two] = await Promise.all([expand(on, small + 5n * MIB), expand(other, small)]);
        expect(one.sizeBytes).toBe(small + 5n * MIB);
        expect(two.sizeBytes >= small).toBe(true);
        expect(shown(on)).toMatchObject({ size: small + 5n * MIB, exported: true, marked: false });
        if (online === "re-export") expect(shown(on).exportedSize).toBe(small + 5n * MIB);
      }
    });
  }

  test("growing volumes do not promise the same space twice", async () => {
    const on = await start({
      switches: { allocation: "sparse" },
      pools: [{ slot: "storage-pool", fs: "btrfs", size: 3n * GIB }],
    });
    const second = await create(on, "pvc-2");
    const both = [ID, second].map((volumeId) => outcome(expand(on, GIB + 500n * MIB, { volumeId })));
    const answers = (await Promise.all(both)).map((answer) => answer.split(":")[0]);
    expect(answers.sort()).toEqual(["OK", "RESOURCE_EXHAUSTED"]);
  });

  test("a re-export that was decided on an older record does not touch the export", async () => {
    const on = await start({ online: "re-export" }, ["node-a"]);
    const { found, pool } = await on.rds.findWithPool(ID, 0n, on.signal);
    if (found?.kind !== "volume" || pool === undefined) throw new Error("the volume is not there");
    const other = on.controller();
    await publish(other, "node-b");
    await expand(other);
    const { nqn } = shown(on);
    on.simulator.device.connectHost(nqn, "nqn.host-a");
    const stale = { volume: found.volume, pool, sizeBytes: LARGER, reExportSince: 1, signal: on.signal };
    expect(await on.rds.grow(stale)).toEqual({ kind: "conflict" });
    expect(shown(on)).toMatchObject({ exported: true, exportedSize: LARGER, marked: false, hosts: 1 });
  });

  test("a detach while the export is off for a re-export is not undone by it", async () => {
    const waits = Promise.withResolvers<void>();
    const goesOn = Promise.withResolvers<void>();
    const simulatorClock: Clock = {
      ...systemClock,
      sleep: async (ms) => {
        if (ms !== 3_000) return;
        waits.resolve();
        await goesOn.promise;
      },
    };
    const on = await start({ online: "re-export", simulatorClock }, ["node-a"]);
    const other = on.controller();
    const growing = outcome(expand(on));
    await waits.promise;
    expect(shown(on)).toMatchObject({ size: LARGER, exported: false, marked: true });
    // Reconcile neither switches it on too soon for the hosts to miss it, nor reports it.
    await reconcile(other);
    expect(shown(on)).toMatchObject({ exported: false, marked: true });
    expect(other.posted).toEqual([]);
    await other.attachments.unpublish(ID, "node-a", on.signal);
    goesOn.resolve();
    expect(await growing).toBe("OK");
    expect(shown(on)).toMatchObject({ size: LARGER, exported: false, marked: false });
  });

  test("a detach during a re-export is not undone by it", async () => {
    const on = await start({ online: "re-export", switches: { parallelChannels: "ok" } }, ["node-a"]);
    const other = on.controller();
    await other.rds.find(ID, on.signal);
    const growing = outcome(expand(on));
    const leaving = outcome(other.attachments.unpublish(ID, "node-a", on.signal));
    expect([await growing, await leaving]).toEqual(["OK", "OK"]);
    expect(shown(on)).toMatchObject({ size: LARGER, exported: false, marked: false });
  });
});
