import { expect } from "bun:test";
import process from "node:process";
import fc from "fast-check";
import { block, type Capability, MIB, Mode, mount } from "../support/rpc.ts";
import { CrashingTools } from "./crashing-tools.ts";
import { countRecords, FileWriter } from "./file-writer.ts";
import { killAfter, killEverywhere, retry } from "./killing.ts";
import { lab } from "./scenario.ts";
import { noSharing, sharing } from "./sharing.ts";
import { LabVolume, type Source } from "./volume.ts";
import { RDS_DIRECTORY, RECORDS, type World } from "./world.ts";
import { verifyRecords, Writer } from "./writer.ts";

type Kind = "ext4" | "xfs" | "block";
const KINDS = ["ext4", "xfs", "block"] as const;
const FILESYSTEMS = ["ext4", "xfs"] as const;
const SIZE = 320n * MIB;
/** More than a filesystem takes of its device. */
const MORE = 64n * MIB;
const RECORDS_BETWEEN_CUTS = 100;
const FOLDER = "storage-pool/csi";

const capabilityOf = (kind: Kind): Capability => (kind === "block" ? block() : mount(undefined, kind));
const ofSnapshot = (snapshotId: string): Source => ({ case: "snapshot", value: { snapshotId } });
const ofVolume = ({ id }: LabVolume): Source => ({ case: "volume", value: { volumeId: id } });
const make = (world: World, name: string, kind: Kind, source?: Source, size = SIZE) =>
  LabVolume.create(world, name, capabilityOf(kind), {}, size, source);

type Deleted = "source" | "snapshot" | "clone";
const ORDERS: readonly (readonly Deleted[])[] = [
  ["source", "snapshot", "clone"],
  ["source", "clone", "snapshot"],
  ["snapshot", "source", "clone"],
  ["snapshot", "clone", "source"],
  ["clone", "source", "snapshot"],
  ["clone", "snapshot", "source"],
];

/** All that the RDS holds: disk items, files, subvolumes, exports and loop devices. The folder of the volumes stays, empty. */
async function holdings(world: World): Promise<unknown> {
  const { disks, files, subvolumes, exports } = JSON.parse(await world.control("GET", "/state"));
  const target = await world.rds.sh("ls /sys/kernel/config/nvmet/subsystems; losetup --list --noheadings");
  const tree = await world.rds.sh(`cd ${RDS_DIRECTORY}/files && find . | sort | grep -vx ./${FOLDER}`);
  const paths = files.map(({ path }: { path: string }) => path).filter((path: string) => path !== FOLDER);
  return { disks, paths, subvolumes, exports, target, tree };
}

/** Nothing of any volume is left on the nodes. */
async function expectBareNodes(world: World): Promise<void> {
  for (const name of world.nodeNames)
    expect(
      await world
        .machine(name)
        .sh("ls /sys/class/nvme; grep kubelet /proc/mounts || true; losetup --list --noheadings"),
    ).toBe("");
}

/** A writer of numbered records on a volume that is up on a node. */
async function startWriter(world: World, volume: LabVolume, kind: Kind, node: string) {
  const machine = world.machine(node);
  if (kind === "block") return await Writer.start(machine, volume.target(), 1, 1);
  return await FileWriter.start(machine, `${volume.target()}/log`);
}

/** Number of the newest record of a volume that is up on a node, after a check that all before it are there. */
async function count(world: World, volume: LabVolume, kind: Kind, node: string): Promise<number> {
  const machine = world.machine(node);
  if (kind !== "block") return await countRecords(machine, `${volume.target()}/log`);
  const newest = Number(await machine.sh(`${RECORDS} newest ${volume.target()}`));
  await verifyRecords(machine, volume.target(), newest, 1);
  return newest;
}

async function progress(world: World, writer: { acknowledged(): Promise<number> }): Promise<number> {
  const wanted = (await writer.acknowledged()) + RECORDS_BETWEEN_CUTS;
  await world.until("the writer goes on", async () => (await writer.acknowledged()) >= wanted, 60_000);
  return await writer.acknowledged();
}

/** How often a node's kernel has brought a filesystem back to what its log says. */
async function replays(world: World, node: string): Promise<number> {
  const script = "dmesg | grep -cE 'EXT4-fs .*recovery complete|XFS .*Starting recovery' || true";
  return Number(await world.machine(node).look(script));
}

/** Checks the filesystem in the image of a volume that is attached to no node, without a change of it. */
async function fsck(world: World, volume: LabVolume, kind: Kind): Promise<void> {
  const image = `${RDS_DIRECTORY}/files/${FOLDER}/${volume.id}/disk.img`;
  if (kind === "ext4") await world.rds.sh(`e2fsck -fn ${image}`, 60_000);
  if (kind === "xfs") await world.rds.sh(`xfs_repair -n -f ${image}`, 60_000);
  // A connection takes memory in one piece, which is hard to find among what was read.
  await world.rds.sh("sync; echo 1 >/proc/sys/vm/drop_caches");
}

const OPTIONS = { rdsFilesystem: sharing, lacks: noSharing };

lab(`snapshots and clones over NVMe/TCP, the images on ${sharing}`, OPTIONS, (scenario) => {
  for (const kind of KINDS) {
    scenario(
      `${kind}: what is cut under a direct-I/O writer holds each record up to one between the beginning and the end of the cut`,
      async (world) => {
        const before = await holdings(world);
        const volume = await make(world, `cut-${kind}`, kind);
        await volume.up("node-a");
        const writer = await startWriter(world, volume, kind, "node-a");
        const cuts: { snapshotId: string; least: number; most: number }[] = [];
        const clones: { clone: LabVolume; least: number; most: number }[] = [];
        for (const n of [1, 2, 3]) {
          let least = await progress(world, writer);
          const snapshotId = await volume.snapshot(`cut-${kind}-${n}`);
          cuts.push({ snapshotId, least, most: (await writer.acknowledged()) + 1 });
          least = await progress(world, writer);
          const clone = await make(world, `cut-${kind}-clone-${n}`, kind, ofVolume(volume));
          clones.push({ clone, least, most: (await writer.acknowledged()) + 1 });
        }
        await progress(world, writer);
        const last = await writer.stop();
        expect(await count(world, volume, kind, "node-a")).toBe(last);

        const replayed = await replays(world, "node-b");
        let mounts = 0;
        const check = async (clone: LabVolume, least: number, most: number): Promise<number> => {
          await clone.up("node-b");
          mounts += 1;
          const found = await count(world, clone, kind, "node-b");
          expect(found).toBeGreaterThanOrEqual(least);
          expect(found).toBeLessThanOrEqual(most);
          return found;
        };
        const bytes = async (clone: LabVolume) => {
          const at = clone.target();
          const script =
            kind === "block"
              ? `blockdev --getsize64 ${at}`
              : `findmnt -n -b -o SIZE ${at} || df -B1 --output=size ${at} | tail -1`;
          return BigInt(await world.machine("node-b").sh(script));
        };
        for (const [n, { clone, least, most }] of clones.entries()) {
          const found = await check(clone, least, most);
          await clone.down("node-b");
          await fsck(world, clone, kind);
          console.log(`${kind}, clone ${n + 1}: ${found} of ${least} to ${most}`);
        }
        for (const [n, { snapshotId, least, most }] of cuts.entries()) {
          const source = ofSnapshot(snapshotId);
          const same = await make(world, `restored-${kind}-${n}`, kind, source);
          const larger = await make(world, `larger-${kind}-${n}`, kind, source, SIZE + MORE);
          expect([same.sizeBytes, larger.sizeBytes]).toEqual([SIZE, SIZE + MORE]);
          const found = await check(same, least, most);
          expect(await check(larger, found, found)).toBe(found);
          expect((await bytes(larger)) - (await bytes(same))).toBeGreaterThan(MORE / 2n);
          for (const each of [same, larger]) {
            await each.down("node-b");
            await fsck(world, each, kind);
            await each.delete();
          }
          console.log(`${kind}, snapshot ${n + 1}: ${found} of ${least} to ${most}`);
        }
        // Each copy of a mounted filesystem had something in its log.
        if (kind !== "block")
          expect((await replays(world, "node-b")) - replayed).toBeGreaterThanOrEqual(mounts);

        await volume.down("node-a");
        await fsck(world, volume, kind);
        await volume.up("node-b");
        expect(await count(world, volume, kind, "node-b")).toBe(last);
        await volume.down("node-b");
        for (const { clone } of clones) await clone.delete();
        for (const { snapshotId } of cuts) await world.controller.deleteSnapshot({ snapshotId });
        await volume.delete();
        await expectBareNodes(world);
        expect(await holdings(world)).toEqual(before);
      },
    );
  }

  scenario(
    "a snapshot and a clone in the middle of a live migration: both sides and both copies are right",
    async (world) => {
      const before = await holdings(world);
      const rwx = block(Mode.MULTI_NODE_MULTI_WRITER);
      const volume = await LabVolume.create(world, "moving-source", rwx, {}, 64n * MIB);
      const [a, b] = [world.machine("node-a"), world.machine("node-b")];
      await volume.up("node-a");
      const writer = await Writer.start(a, volume.target(), 1, 1);
      await volume.up("node-b");
      const cut = async (
        running: Writer,
        name: string,
      ): Promise<{ clones: LabVolume[]; least: number; most: number; snapshotId: string }> => {
        const least = await progress(world, running);
        const snapshotId = await volume.snapshot(name);
        const clone = await LabVolume.create(world, `${name}-clone`, rwx, {}, 64n * MIB, ofVolume(volume));
        const most = (await running.acknowledged()) + 1;
        const source = ofSnapshot(snapshotId);
        const restored = await LabVolume.create(world, `${name}-restored`, rwx, {}, 96n * MIB, source);
        return { clones: [clone, restored], least, most, snapshotId };
      };
      const cuts = [await cut(writer, "of-source-side")];
      await progress(world, writer);
      const moved = await writer.stop();
      for (const side of [a, b]) await verifyRecords(side, volume.target(), moved, 1);
      const target = await Writer.start(b, volume.target(), moved + 1, 2);
      cuts.push(await cut(target, "of-target-side"));
      await volume.down("node-a");
      await progress(world, target);
      const last = await target.stop();
      await verifyRecords(b, volume.target(), last);
      await volume.down("node-b");
      await volume.up("node-a");
      await verifyRecords(a, volume.target(), last);
      for (const { clones, least, most } of cuts) {
        for (const clone of clones) {
          await clone.up("node-b");
          const newest = Number(await b.sh(`${RECORDS} newest ${clone.target()}`));
          await verifyRecords(b, clone.target(), newest);
          expect(newest).toBeGreaterThanOrEqual(least);
          expect(newest).toBeLessThanOrEqual(most);
          await clone.down("node-b");
          await clone.delete();
        }
      }
      await verifyRecords(a, volume.target(), last);
      await volume.down("node-a");
      await volume.delete();
      for (const { snapshotId } of cuts) await world.controller.deleteSnapshot({ snapshotId });
      await expectBareNodes(world);
      expect(await holdings(world)).toEqual(before);
    },
  );

  for (const filesystem of FILESYSTEMS) {
    scenario(
      `${filesystem}: a source and two clones mounted on one node at once diverge, each with a UUID of its own`,
      async (world) => {
        const before = await holdings(world);
        const a = world.machine("node-a");
        const source = await make(world, `many-${filesystem}`, filesystem);
        await source.up("node-a");
        const common =
          await a.sh(`cd ${source.target()} && head -c 8M /dev/urandom >common && sync common . &&
          sha256sum <common`);
        const snapshotId = await source.snapshot(`many-${filesystem}`);
        const clones = [
          await make(world, `many-${filesystem}-1`, filesystem, ofVolume(source)),
          await make(world, `many-${filesystem}-2`, filesystem, ofSnapshot(snapshotId)),
        ];
        const all = [source, ...clones];
        for (const clone of clones) await clone.up("node-a");
        const uuids = async () =>
          await Promise.all(
            all.map(async (each) => await a.sh(`blkid -p -o value -s UUID ${await each.device("node-a")}`)),
          );
        const first = await uuids();
        expect(new Set(first).size).toBe(all.length);
        // The common file is changed in its middle, and a file is added.
        const sums: string[] = [];
        const look = "cat common own | sha256sum; sha256sum <common";
        for (const each of all)
          sums.push(
            await a.sh(`cd ${each.target()} && head -c 4M /dev/urandom >own &&
              dd if=own of=common bs=1M seek=2 conv=notrunc status=none && sync . && ${look}`),
          );
        expect(new Set(sums).size).toBe(all.length);
        for (const each of all) await each.down("node-a");
        for (const each of all) await fsck(world, each, filesystem);
        for (const each of all.toReversed()) await each.up("node-a");
        for (const [n, each] of all.entries())
          expect(await a.sh(`cd ${each.target()} && ${look}`)).toBe(sums[n] ?? "");
        expect(await uuids()).toEqual(first);
        // What the snapshot holds did not change with any of them.
        const late = await make(world, `many-${filesystem}-late`, filesystem, ofSnapshot(snapshotId));
        await late.up("node-a");
        expect(await a.sh(`cd ${late.target()} && [ ! -e own ] && sha256sum <common`)).toBe(common);
        for (const each of [late, ...all]) {
          await each.down("node-a");
          await each.delete();
        }
        await world.controller.deleteSnapshot({ snapshotId });
        await expectBareNodes(world);
        expect(await holdings(world)).toEqual(before);
      },
    );

    scenario(
      `${filesystem}: source, snapshot and clone deleted in every order; what remains keeps its data, nothing is left`,
      async (world) => {
        const before = await holdings(world);
        const a = world.machine("node-a");
        for (const [n, order] of ORDERS.entries()) {
          const name = `order-${filesystem}-${n}`;
          const source = await make(world, name, filesystem);
          await source.up("node-a");
          const sum = async (volume: LabVolume) => await a.sh(`sha256sum <${volume.target()}/data`);
          const data = await a.sh(`cd ${source.target()} && head -c 4M /dev/urandom >data && sync data . &&
            sha256sum <data`);
          const snapshotId = await source.snapshot(name);
          await source.down("node-a");
          const clone = await make(world, `${name}-clone`, filesystem, ofSnapshot(snapshotId));
          const seen = async (volume: LabVolume) => {
            await volume.up("node-a");
            const found = await sum(volume);
            await volume.down("node-a");
            return found;
          };
          const left = new Set(order);
          for (const each of order) {
            if (each === "source") await source.delete();
            else if (each === "clone") await clone.delete();
            else await world.controller.deleteSnapshot({ snapshotId });
            left.delete(each);
            if (left.has("source")) expect([order, each, await seen(source)]).toEqual([order, each, data]);
            if (left.has("clone")) expect([order, each, await seen(clone)]).toEqual([order, each, data]);
            if (!left.has("snapshot")) continue;
            const restored = await make(world, `${name}-${each}`, filesystem, ofSnapshot(snapshotId));
            expect([order, each, await seen(restored)]).toEqual([order, each, data]);
            await restored.delete();
          }
          expect(await holdings(world)).toEqual(before);
        }
        await expectBareNodes(world);
      },
    );
  }
});

/** Not in containers: see crash.lab.ts. */
const CRASHING = { ...OPTIONS, nodes: ["node-a"], containers: false };
const KILLS = 6;

lab("the node process is killed while a clone is staged for the first time", CRASHING, (scenario) => {
  for (const filesystem of FILESYSTEMS) {
    scenario(
      `${filesystem}: at each program, and at ${KILLS} seeded moments: the repeated call succeeds, the data is there, the UUID is its own`,
      async (world) => {
        const before = await holdings(world);
        const a = world.machine("node-a");
        const source = await make(world, `crashed-${filesystem}`, filesystem);
        await source.up("node-a");
        const sum = await a.sh(`cd ${source.target()} && head -c 4M /dev/urandom >data && sync data . &&
          sha256sum <data`);
        // While it is mounted: its log is not empty.
        const snapshotId = await source.snapshot(`crashed-${filesystem}`);
        const uuidOf = async (volume: LabVolume) =>
          await a.sh(`blkid -p -o value -s UUID ${await volume.device("node-a")}`);
        const origin = await uuidOf(source);
        let clone = source;
        let clones = 0;
        const prepare = async () => {
          clones += 1;
          clone = await make(world, `crashed-${filesystem}-${clones}`, filesystem, ofSnapshot(snapshotId));
          await clone.attach("node-a");
        };
        const stage = () => clone.stage("node-a");
        const check = async () => {
          await clone.publish("node-a");
          expect(await a.sh(`sha256sum <${clone.target()}/data`)).toBe(sum);
          expect(await uuidOf(clone)).not.toBe(origin);
          await clone.down("node-a");
          await fsck(world, clone, filesystem);
          await clone.delete();
        };
        const tools = await CrashingTools.install(a);
        const killed = await killEverywhere(world, "node-a", tools, "during", stage, check, prepare);
        expect(killed.filter((line) => line.includes("mkfs"))).toEqual([]);
        expect(killed.filter((line) => / mount /.test(line)).length).toBeGreaterThanOrEqual(2);

        await prepare();
        const begun = performance.now();
        await stage();
        const took = performance.now() - begun;
        await check();
        const seed = Number(process.env.RDS_CSI_TEST_SEED ?? 20_261_127);
        const moments = fc.sample(fc.double({ min: 0, max: 1, noNaN: true }), { seed, numRuns: KILLS });
        let hit = 0;
        for (const moment of moments) {
          await prepare();
          if (await killAfter(world, "node-a", moment * took, stage)) hit += 1;
          await retry(world, stage);
          await check();
        }
        console.log(`${filesystem}: killed at ${killed.length} programs, ${hit} of ${KILLS} moments`);
        expect(hit).toBeGreaterThan(0);
        await source.down("node-a");
        await world.controller.deleteSnapshot({ snapshotId });
        await source.delete();
        await expectBareNodes(world);
        expect(await holdings(world)).toEqual(before);
      },
    );
  }
});
