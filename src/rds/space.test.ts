import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createVolume, outcome, useStack } from "../../test/support/own-stack.ts";
import { GIB, LAYOUT, MIB, type Stack, type StackOptions } from "../../test/support/rds-stack.ts";
import { FILE_DISK, NEW_RECORD } from "../../test/support/records.ts";
import { until } from "../../test/support/until.ts";
import { systemClock } from "../domain/clock.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import { type Command, type CommandOutcome, RouterOsClient } from "../routeros/client.ts";
import { readReply } from "../routeros/envelope.ts";
import { detailForm } from "../routeros/reply/detail-form.ts";
import { jsonForm } from "../routeros/reply/json-form.ts";
import { linesForm } from "../routeros/reply/lines-form.ts";
import { nothing } from "../routeros/script.ts";
import type { RdsContext } from "./context.ts";
import { PendingVolumes, type Pool, poolWith } from "./pool.ts";
import { PoolSpace } from "./space.ts";

const start = useStack();
const POOL_SIZE = 1n << 61n;
const POOL = { ...FILE_DISK, slot: LAYOUT.pool, type: "raid", mounted: true, mountPoint: LAYOUT.pool };

interface FileDisk {
  readonly path: string;
  /** Bytes; undefined: not ready. */
  readonly size: bigint | undefined;
}

/** Replaces all file disks of the device. */
function put(on: Stack, disks: readonly FileDisk[]): void {
  const { device } = on.simulator;
  for (const item of [...device.diskStore.items]) device.diskStore.remove(item);
  disks.forEach(({ path, size }, at) => {
    const id = 0x1000 + at;
    if (size !== undefined)
      device.fileStore.restore({ id, path, directory: false, size, charged: 0n, modified: 0 });
    const config = new Map<string, string | bigint | boolean>([
      ["type", "file"],
      ["slot", `disk-${at}`],
      ["file-path", path],
      ["file-size", size ?? MIB],
    ]);
    const readyAt = size === undefined ? Date.now() + 3_600_000 : 0;
    device.diskStore.restore({ id, config, readyAt, exportedSize: size });
  });
}

const folders = [
  "storage-pool",
  "storage-pool/csi",
  "storage-pool2",
  "xstorage-pool",
  "other/storage-pool",
  "other",
];
const disk = fc.record({
  folder: fc.constantFrom(...folders),
  size: fc.option(
    fc.oneof(
      fc.bigInt(0n, 64n).map((count) => count * MIB),
      fc.bigInt(1n, 1n << 55n),
      fc.constant(1n),
    ),
    { nil: undefined, freq: 8 },
  ),
});

/** The rule of `poolWith`, by hand. */
function expected(disks: readonly FileDisk[], free: bigint): bigint {
  const below = disks.filter(({ path }) => path.startsWith("storage-pool/"));
  const used = below.reduce((sum, { size = 0n }) => sum + size, 0n);
  const left = free < POOL_SIZE - used ? free : POOL_SIZE - used;
  return left > 0n ? (left / MIB) * MIB : 0n;
}

const SUMS = /:foreach one in/;

describe("the space of a pool", () => {
  const pools = ["storage-pool", "storage-pool2", "other"].map((slot) => ({
    ...{ slot, fs: "btrfs" as const, size: POOL_SIZE },
  }));
  const devices: readonly [string, StackOptions, boolean][] = [
    ["json", { forms: [jsonForm] }, true],
    [
      "paths without slash, false flags",
      { switches: { filePathSlash: "without", falseFlags: "false" } },
      true,
    ],
    ["lines, on 80 columns", { forms: [linesForm], switches: { wrapWidth: 80, wrapPut: "yes" } }, true],
    ["detail, on 80 columns", { forms: [detailForm], switches: { wrapWidth: 80, wrapPut: "yes" } }, true],
    ["a device that prints no chosen properties", { switches: { proplist: "missing" } }, false],
    ["a device that prints no values", { switches: { asValueInDetail: "missing" } }, false],
    ["a device without :serialize", { switches: { serialize: "missing" } }, true],
  ];
  for (const [name, options, isSummed] of devices) {
    test(`${name}: is exact, whatever the file disks are`, async () => {
      const on = await start({ profile: "current", pools, ...options });
      await on.rds.version(on.signal);
      const read = async (disks: readonly FileDisk[]) => {
        put(on, disks);
        on.commandsSince();
        const { pool, available } = await on.rds.readPool("storage-pool", 0n, on.signal);
        expect(available).toBe(expected(disks, pool.free));
        return on.commandsSince();
      };
      await read([]);
      await fc.assert(
        fc.asyncProperty(fc.array(disk, { maxLength: 12 }), async (list) => {
          await read(list.map(({ folder, size }, at) => ({ path: `${folder}/f${at}.img`, size })));
        }),
        { numRuns: 25 },
      );
      const lines = await read([{ path: "storage-pool/a.img", size: (1n << 53n) + 1n }]);
      expect(lines.some((line) => SUMS.test(line))).toBe(isSummed);
      expect(lines.length).toBe(1);
    });
  }

  test("a sum that is too large for the device is refused by it, and added up here", async () => {
    const on = await start({ profile: "current", pools });
    // For two disks, a third of the largest sum each.
    const most = (1n << 60n) / 3n;
    for (const [more, commands] of [
      [0n, 1],
      [1n, 2],
      [1n << 60n, 2],
    ] as const) {
      await on.rds.version(on.signal);
      put(on, [
        { path: "storage-pool/a.img", size: most },
        { path: "storage-pool/b.img", size: most + more },
      ]);
      on.commandsSince();
      const { pool } = await on.rds.readPool("storage-pool", 0n, on.signal);
      expect(pool.files.allocated).toBe(2n * most + more);
      expect(on.commandsSince()).toHaveLength(commands);
    }
  });

  test("disks that all hide their sizes count as unknown, and are read one by one", async () => {
    const on = await start({ profile: "current", pools });
    await on.rds.version(on.signal);
    put(on, [{ path: "storage-pool/a.img", size: undefined }]);
    on.commandsSince();
    expect((await on.rds.readPool("storage-pool", 0n, on.signal)).pool.files.allocated).toBe(0n);
    expect(on.commandsSince()).toHaveLength(2);
    await on.rds.readPool("storage-pool", 0n, on.signal);
    expect(on.commandsSince()).toHaveLength(1);
  });

  test.each(["is too slow", "fails for an unknown reason"])(
    "a sum that %s: the device is asked for a list, and for a sum again after a while",
    async (why) => {
      let later = 0;
      const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + later };
      const on = await start({ profile: "current", pools, clock });
      put(on, [{ path: "storage-pool/a.img", size: 5n * MIB }]);
      await on.rds.version(on.signal);
      // The transport has its own clock; this is its error at the end of that time.
      const exec = on.transport.exec.bind(on.transport);
      let isSlow = true;
      on.transport.exec = async (line, options) => {
        if (!isSlow || !SUMS.test(line)) return exec(line, options);
        if (why === "is too slow") throw failure("rdsSilent", { address: "rds", what: "read", seconds: 15 });
        return exec(line.replace(":local all", ':error "strange"; :local all'), options);
      };
      const sums = async () => {
        on.commandsSince();
        const { pool } = await on.rds.readPool("storage-pool", 0n, on.signal);
        expect(pool.files.allocated).toBe(5n * MIB);
        return on.commandsSince().map((line) => SUMS.test(line));
      };
      expect((await sums()).at(-1)).toBe(false);
      isSlow = false;
      later = 9 * 60_000;
      expect(await sums()).toEqual([false]);
      later = 11 * 60_000;
      expect(await sums()).toEqual([true]);
    },
  );

  test("the pool that holds a volume is asked for again when another one was guessed", async () => {
    const on = await start({
      profile: "current",
      pools: pools.map((pool) => ({ ...pool, size: 64n * GIB })),
    });
    const { id } = await createVolume(on, { parameters: { pool: "other" }, required: 4n * MIB });
    await on.rds.readPool("storage-pool", 0n, on.signal);
    const fresh = on.controller();
    await fresh.rds.readPool("storage-pool", 0n, on.signal);
    on.commandsSince();
    const { pool } = await fresh.rds.findWithPool(id, 0n, on.signal);
    expect(pool).toMatchObject({ slot: "other", files: { allocated: 4n * MIB } });
    expect(on.commandsSince()).toHaveLength(2);
    await fresh.rds.findWithPool(id, 0n, on.signal);
    expect(on.commandsSince()).toHaveLength(1);
  });
});

test("calls at once on a slow device: few sums, and each caller finds its own volume", async () => {
  const on = await start({ profile: "current", latencyMs: 40 });
  const ids = await Promise.all(
    Array.from({ length: 3 }, async (_, at) => (await createVolume(on, { name: `pvc-${at}` })).id),
  );
  on.commandsSince();
  const views = await Promise.all(
    Array.from({ length: 60 }, (_, at) =>
      on.rds.readPool("storage-pool", 0n, on.signal, ids[at % 4] ?? volumeIdFromName(`new-${at}`)),
    ),
  );
  for (const [at, { existing }] of views.entries()) {
    expect(existing?.kind === "volume" ? existing.volume.id : undefined).toBe(ids[at % 4]);
  }
  // Eight at a time, and the volumes of the others in one; a line names at most 32.
  expect(on.commandsSince().length).toBeLessThanOrEqual(10);
  const grown = await Promise.all(ids.map((id) => on.rds.findWithPool(id, 0n, on.signal)));
  expect(grown.map(({ found, pool }) => [found?.kind, pool?.files.allocated])).toEqual(
    ids.map(() => ["volume", 3n * MIB]),
  );
  expect(Math.max(...on.simulator.commands.map(({ line }) => line.length))).toBeLessThan(4_096);
});

describe("a pool whose mount point is not its slot", () => {
  /** Answers each sum with that of the mount point in its condition. */
  function scripted(mountPoint: string, sums: Readonly<Record<string, bigint>>) {
    const asked: string[] = [];
    const run = async (command: Command): Promise<CommandOutcome> => {
      const line = command.body(command.listing?.where ?? nothing).render("n");
      const below = /file-path~"\^\/\\\?([^"]*)\/"/.exec(line)?.[1]?.replaceAll("\\\\", "\\") ?? "";
      asked.push(below);
      const text = `~p:n:space~3:3:${sums[below] ?? 0n}~e:n~~p:n:sizes~~e:n~~ok:n~`;
      const row = new Map(
        Object.entries({
          ...{ slot: "pool", type: "raid", size: "1099511627776", free: "1099511627776" },
          ...{ mounted: "true", "mount-point": mountPoint },
        }),
      );
      return { ok: true, reply: readReply("n", text, ""), rows: [row] };
    };
    const client = { run, readsBrief: true } as unknown as RouterOsClient;
    return { space: new PoolSpace({ client, clock: systemClock } as RdsContext), asked };
  }

  test("is asked for again with the mount point that it shows, and with that one from then on", async () => {
    const { space, asked } = scripted("disks/a.b", { "disks/a\\.b": 5n * GIB });
    const read = {
      asked: () => ({ ids: [], endings: 0 }),
      reserve: 0n,
      signal: new AbortController().signal,
    };
    for (let reads = 0; reads < 2; reads++) {
      const { pool } = await space.ofPool("pool", read);
      expect(pool.files.allocated).toBe(5n * GIB);
    }
    expect(asked).toEqual(["pool", "disks/a\\.b", "disks/a\\.b"]);
  });
});

describe("volumes that are being created while a pool is read", () => {
  const size = 8n * GIB;
  const start3 = () =>
    start({
      profile: "current",
      pools: [{ slot: LAYOUT.pool, fs: "btrfs", size: 32n * GIB }],
      reserveBytes: 0n,
    });
  const spec = (on: Stack, name: string) => ({
    ...{
      id: volumeIdFromName(name),
      layout: LAYOUT,
      form: "plain" as const,
      sizeBytes: size,
      signal: on.signal,
    },
    record: { ...NEW_RECORD, name },
  });

  test("never take the same space, and never count twice: as many are created as fit", async () => {
    const on = await start3();
    const names = Array.from({ length: 12 }, (_, at) => `pvc-${at}`);
    const ends = await Promise.all(names.map((name) => outcome(createVolume(on, { name, required: size }))));
    expect(ends.filter((end) => end === "OK")).toHaveLength(3);
    for (const end of ends) expect(end).toMatch(/^(OK|RESOURCE_EXHAUSTED: .*)$/);
    expect(on.simulator.device.disks).toHaveLength(3);
  });

  test("a pool that was read before they began is read again before it counts as full", async () => {
    const on = await start3();
    const early = await on.rds.readPool(LAYOUT.pool, 0n, on.signal);
    const held = on.simulator.faults.add({ kind: "hang" }, { line: /\/disk\/add/, nth: 1 });
    const pending = on.rds.create({ ...spec(on, "pvc-a"), pool: early.pool });
    await until("the create is sent", async () => held.hits > 0);
    on.commandsSince();
    const b = { ...spec(on, "pvc-b"), pool: early.pool };
    await expect(on.rds.create({ ...b, sizeBytes: 32n * GIB })).rejects.toMatchObject({ id: "poolFull" });
    const [again, ...more] = on.commandsSince();
    expect([SUMS.test(again ?? ""), more]).toEqual([true, []]);
    // The reply said that the device does not have the pending volume yet.
    expect(again).toContain(volumeIdFromName("pvc-a"));
    on.simulator.faults.clear();
    await pending;
    expect((await on.rds.readPool(LAYOUT.pool, 0n, on.signal)).available).toBe(early.available - size);
  });

  test("show their sizes beside the sum, and are in it once", async () => {
    const on = await start3();
    const names = ["pvc-a", "pvc-b", "pvc-c"];
    for (const name of names) await createVolume(on, { name, required: 4n * MIB });
    const space = new PoolSpace({
      client: new RouterOsClient(on.transport),
      clock: systemClock,
    } as unknown as RdsContext);
    for (const count of [0, 1, 2, 3]) {
      const asked = names.slice(0, count).map(volumeIdFromName);
      const ids = [...asked, volumeIdFromName("new")];
      const read = { asked: () => ({ ids, endings: 0 }), reserve: 0n, signal: on.signal };
      const { files } = (await space.ofPool(LAYOUT.pool, read)).pool;
      expect(files.allocated).toBe(12n * MIB);
      expect(files.counted).toEqual(new Map(asked.map((id) => [id, 4n * MIB])));
    }
  });

  test("count with what a listing does not show of them, and fully where it was not asked for them", async () => {
    const pending = new PendingVolumes();
    const id = volumeIdFromName("pvc-a");
    const pool = (asked: ReadonlySet<string> | undefined, counted: bigint | undefined) =>
      poolWith(
        { ...POOL, size: 100n * GIB, free: 100n * GIB },
        { allocated: 0n, counted: new Map(counted === undefined ? [] : [[id, counted]]), asked },
        0n,
      );
    const view = (of: Pool) => [pending.availableIn(of) / GIB, pending.isUnsureIn(of)];
    await pending.hold(
      { id, pool: pool(undefined, 4n * GIB), sizeBytes: 10n * GIB, more: 6n * GIB },
      async () => {
        expect(view(pool(new Set([id]), 10n * GIB))).toEqual([100n, false]);
        expect(view(pool(new Set([id]), 4n * GIB))).toEqual([94n, false]);
        expect(view(pool(undefined, undefined))).toEqual([90n, false]);
        expect(view(pool(new Set(), undefined))).toEqual([94n, true]);
      },
    );
    expect(view(pool(new Set(), undefined))).toEqual([100n, false]);
  });

  test("count for a listing that began before they were finished, and may lack them; a newer one shows them", async () => {
    const pending = new PendingVolumes();
    const id = volumeIdFromName("pvc-a");
    const disk = { ...POOL, size: 100n * GIB, free: 100n * GIB };
    const pool = (endings: number, counted: bigint | undefined) =>
      poolWith(
        disk,
        {
          ...{ allocated: counted ?? 0n, asked: new Set([id]), endings },
          counted: new Map(counted === undefined ? [] : [[id, counted]]),
        },
        0n,
      );
    const before = pending.look().endings;
    await pending.hold(
      { id, pool: pool(before, undefined), sizeBytes: 8n * GIB, more: 8n * GIB },
      async () => {},
    );
    const view = (of: Pool) => [pending.availableIn(of) / GIB, pending.isUnsureIn(of)];
    expect(view(pool(before, undefined))).toEqual([92n, true]);
    expect(view(pool(before, 8n * GIB))).toEqual([92n, true]);
    expect(view(pool(pending.look().endings, 8n * GIB))).toEqual([92n, false]);
    // Deleted since: the newer listing says so.
    expect(view(pool(pending.look().endings, undefined))).toEqual([100n, false]);
  });
});
