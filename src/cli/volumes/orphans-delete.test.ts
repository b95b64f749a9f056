import { afterEach, describe, expect, test } from "bun:test";
import { leaveFile, noneDead, placeOf, stored } from "../../../test/support/file-layouts.ts";
import { CLUSTER_UID } from "../../../test/support/kubernetes/fake-api-server.ts";
import { persistentVolume, volumeSnapshot } from "../../../test/support/kubernetes/world.ts";
import { BLOCK, MIB, type StackOptions } from "../../../test/support/rds-stack.ts";
import { until } from "../../../test/support/until.ts";
import { type VolumeId, volumeIdFromName } from "../../domain/volume-id.ts";
import type { FaultAction } from "../../simulator/faults.ts";
import type { ProfileName } from "../../simulator/profiles.ts";
import { type OrphanStand, startOrphanStand } from "./orphans.fixture.ts";

const open: OrphanStand[] = [];
afterEach(async () => {
  for (const stand of open.splice(0)) await stand.close();
});
async function start(options: StackOptions = {}): Promise<OrphanStand> {
  const stand = await startOrphanStand(options);
  open.push(stand);
  return stand;
}

const FILE = volumeIdFromName("file");
const FOLDER = volumeIdFromName("folder");
const cut = async ({ stack }: OrphanStand, source: VolumeId, name: string) =>
  (await stack.snapshots.create({ name, source, parameters: {}, signal: stack.signal })).id;
const outcomes = (out: string): Record<string, string> =>
  Object.fromEntries(
    JSON.parse(out).items.map((each: { name: string; outcome: string | null }) => [each.name, each.outcome]),
  );

/** One orphan of each kind beside a volume and a snapshot that the cluster names. */
async function site(options: StackOptions = {}) {
  const on = await start(options);
  const known = await on.volume("known");
  const named = await cut(on, known, "named");
  on.world.api.apply(persistentVolume("pv", known));
  for (const each of volumeSnapshot("monday", named, { volume: known })) on.world.api.apply(each);
  const before = stored(on.stack.simulator);
  const plain = await on.volume("plain", { parameters: { layout: "plain" } });
  const disk = await on.volume("disk");
  const snapshot = await cut(on, known, "unnamed");
  await leaveFile(on.stack, FILE, "plain", { size: MIB });
  await leaveFile(on.stack, FOLDER, "subvolume", { size: MIB });
  on.now();
  return { on, before, known, names: [plain, disk, FILE, FOLDER, snapshot], plain, disk, snapshot };
}

describe("volumes orphans --delete", () => {
  test("prints a plan, and sends no change without --yes", async () => {
    const { on, plain, disk, snapshot } = await site();
    const was = stored(on.stack.simulator);
    on.stack.commandsSince();
    const { code, out } = await on.run(["--delete", "--all"]);
    expect(code).toBe(0);
    for (const name of [plain, disk]) expect(out).toMatch(new RegExp(`^delete  disk .*${name}`, "m"));
    expect(out).toMatch(new RegExp(`^delete  snapshot .*${snapshot}`, "m"));
    for (const name of [FILE, FOLDER])
      expect(out).toMatch(new RegExp(`^keep +(file|subvolume) .*${name}`, "m"));
    expect(out).toContain(
      "3 to delete with their data, 2 to keep.\nNothing was changed. The same command with --yes deletes them.\n",
    );
    expect(on.stack.commandsSince().join("\n")).not.toMatch(/\/(add|set|remove|copy)\b/);
    expect(stored(on.stack.simulator)).toEqual(was);
  });

  test("a name that is no orphan ends it before anything is deleted", async () => {
    const { on, disk, known } = await site();
    const was = stored(on.stack.simulator);
    for (const wrong of [known, disk.slice(0, 12), "vms/disk", "*"]) {
      const { code, err } = await on.run(["--delete", disk, wrong, "--yes"]);
      expect([code, err]).toEqual([1, expect.stringContaining(`no orphan is called "${wrong}"`)]);
    }
    expect(stored(on.stack.simulator)).toEqual(was);
  });

  describe.each(["current", "hostile", "strict", "old"] satisfies ProfileName[])("profile %s", (profile) => {
    test("--all takes what a record proves; names take the rest; nothing else changes", async () => {
      const { on, before, names } = await site({ profile });
      const all = await on.run(["--delete", "--all", "--yes", "-o", "json"]);
      expect([all.code, all.err]).toEqual([0, ""]);
      expect(Object.values(outcomes(all.out)).filter((each) => each === "deleted")).toHaveLength(3);
      expect((await on.list()).map(({ name }) => name).toSorted()).toEqual([FILE, FOLDER].toSorted());
      const rest = await on.run(["--delete", FILE, FOLDER, "--yes"]);
      expect([rest.code, rest.err]).toEqual([0, ""]);
      expect(rest.out).toContain(`file ${FILE}: deleted\n`);
      await noneDead(on.stack);
      expect(stored(on.stack.simulator)).toEqual(before);
      expect(names.length).toBe(5);
      expect((await on.run()).out).toStartWith("No orphans");
    });
  });
});

describe("between plan and deletion", () => {
  /** Runs the deletion of everything; `change` happens when the plan is printed. */
  async function race(given: Awaited<ReturnType<typeof site>>, change: () => unknown) {
    let work: unknown;
    const { on, names } = given;
    const onOut = (text: string) => {
      if (text.includes("to delete with their data")) work ??= change();
    };
    const done = await on.run(["--delete", ...names, "--yes"], { onOut });
    await work;
    return done;
  }

  test("a PersistentVolume, or a VolumeSnapshotContent, appears: that item stays, the others go", async () => {
    const given = await site();
    const { on, disk, snapshot, plain } = given;
    const { code, out, err } = await race(given, () => {
      for (const handle of [disk, FILE]) on.world.api.apply(persistentVolume(`late-${handle}`, handle));
      for (const each of volumeSnapshot("late", snapshot)) on.world.api.apply(each);
    });
    expect(code).toBe(1);
    for (const name of [disk, FILE, snapshot])
      expect(out).toMatch(new RegExp(`${name}: kept: it is no orphan any more`));
    for (const name of [plain, FOLDER]) expect(out).toContain(`${name}: deleted`);
    expect(err).toContain("3 of the plan were not deleted");
    const { device } = on.stack.simulator;
    expect(
      [device.disk(disk), device.file(placeOf(FILE, "plain"))].map((each) => each !== undefined),
    ).toEqual([true, true]);
  });

  test("a volume is attached, exported, given another record, or made anew in its place", async () => {
    const given = await site();
    const { on, disk, plain } = given;
    const { stack } = on;
    const other = await race(given, async () => {
      await stack.simulator.device.setDisk(plain, { "nvme-tcp-export": true });
      await stack.simulator.device.setDisk(disk, {
        comment: `${stack.simulator.device.disk(disk)?.comment};zz=1`,
      });
    });
    expect(other.code).toBe(1);
    expect(other.out).toContain(`${plain}: kept: it is exported`);
    expect(other.out).toContain(`${disk}: kept: its record is another one`);
    expect(stack.simulator.device.disk(disk)).toBeDefined();
    expect(stack.simulator.device.disk(plain)).toBeDefined();
  });

  test("Kubernetes falls silent: nothing more is deleted", async () => {
    const given = await site();
    const was = stored(given.on.stack.simulator);
    let down: Promise<void> | undefined;
    const { code, out } = await given.on.run(["--delete", ...given.names, "--yes", "--timeout", "4"], {
      clusterId: CLUSTER_UID,
      onOut: () => {
        down ??= given.on.world.api.down();
      },
    });
    await down;
    expect(code).toBe(1);
    expect(out.match(/: kept: /g)).toHaveLength(5);
    expect(stored(given.on.stack.simulator)).toEqual(was);
    await given.on.world.api.up();
  }, 60_000);

  test("in the last moment: a PersistentVolume after the last look, an attachment after the last question", async () => {
    const { on, disk, plain } = await site();
    const { faults, device } = on.stack.simulator;
    // The look for the disk item is the last command before the last question to the cluster.
    const looking = faults.hang({ line: new RegExp(`slot~\\\\?"${disk}`) });
    const named = on.run(["--delete", disk, "--yes"]);
    await until("the look is held", () => faults.hanging > 0);
    on.world.api.apply(persistentVolume("late", disk));
    looking.remove();
    faults.release();
    expect((await named).out).toContain(`${disk}: kept: PersistentVolume late names it now`);
    const removing = faults.hang({ line: /\/disk\/remove/ });
    const attached = on.run(["--delete", plain, "--yes"]);
    await until("the removal is held", () => faults.hanging > 0);
    removing.remove();
    const capability = BLOCK;
    await on.stack.attachments.publish({
      ...{ volumeId: plain, nodeId: "node-a", capability, readonly: false, signal: on.stack.signal },
    });
    faults.release();
    expect((await attached).out).toContain(`${plain}: kept: it was changed meanwhile`);
    expect(device.disk(plain)).toMatchObject({ exported: true });
    expect(device.disk(disk)).toBeDefined();
  });
});

const LOSSES: readonly FaultAction[] = [
  { kind: "cutBefore" },
  { kind: "cutAfter" },
  { kind: "cutMidway", statement: 1 },
  { kind: "cutMidway", statement: 2 },
  { kind: "truncateOutput", bytes: 3 },
];

describe("a lost reply at each deletion", () => {
  const cases = (["current", "hostile"] as const).flatMap((profile) =>
    LOSSES.map((loss) => [profile, JSON.stringify(loss), loss] as const),
  );
  test.each(cases)(
    "profile %s, %s: another look ends it; nothing but the orphans goes",
    async (profile, _, loss) => {
      const { on, before, names } = await site({ profile });
      const { faults } = on.stack.simulator;
      for (const line of [/\/disk\/remove/, /\/file\/remove(?!.*\/disk\/remove)/, /subvolume\/remove/])
        faults.add(loss, { line, count: 1 });
      const { code, out, err } = await on.run(["--delete", ...names, "--yes"]);
      expect([code, err, out.match(/: deleted$/gm)?.length]).toEqual([0, "", names.length]);
      expect(faults.hits.every((hits) => hits === 1)).toBe(true);
      await noneDead(on.stack);
      expect(stored(on.stack.simulator)).toEqual(before);
    },
    60_000,
  );

  test("with a reply that never comes the item is kept for the next time, and the others go", async () => {
    const { on, before, disk, names } = await site();
    const { faults } = on.stack.simulator;
    const rule = faults.cutBefore({ line: new RegExp(`/disk/remove.*${disk}`), count: Infinity });
    const { code, out } = await on.run(["--delete", ...names, "--yes"]);
    expect(code).toBe(1);
    expect(out.match(/: deleted$/gm)).toHaveLength(4);
    expect(out).toContain(`${disk}: kept: `);
    rule.remove();
    expect((await on.run(["--delete", disk, "--yes"])).code).toBe(0);
    await noneDead(on.stack);
    expect(stored(on.stack.simulator)).toEqual(before);
  }, 60_000);
});
