import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createVolume } from "../../../test/support/own-stack.ts";
import { MIB } from "../../../test/support/rds-stack.ts";
import { testIo } from "../cli.fixture.ts";
import { type SnapshotStand, startSnapshotStand } from "../snapshots/snapshots.fixture.ts";
import { runVolumesList } from "./list.ts";
import { runVolumesShow } from "./show.ts";

let on: SnapshotStand;
beforeEach(async () => {
  on = await startSnapshotStand();
});
afterEach(() => on.close());

const asked = (): string[] => on.stack.commandsSince().filter((line) => !line.includes("get version"));

async function list(output: "table" | "wide" | "json") {
  const io = testIo();
  on.stack.commandsSince();
  const options = { output, failOnProblems: true, timeoutSeconds: 20 };
  const code = await runVolumesList({ flags: on.flags, env: {} }, options, io);
  return { code, out: io.written.out, commands: asked().length };
}

async function show(name: string, output: "table" | "json") {
  const io = testIo();
  on.stack.commandsSince();
  const options = { name: { namespace: undefined, name }, output, failOnProblems: false, timeoutSeconds: 20 };
  await runVolumesShow({ flags: on.flags, env: {} }, options, io);
  return { out: io.written.out, commands: asked().length };
}

describe("volumes with snapshots and clones", () => {
  test("the list counts them with one more command, however many there are", async () => {
    const first = await on.cut("s1");
    for (const name of ["s2", "s3"]) await on.cut(name);
    const clone = await createVolume(on.stack, { name: "c", source: { kind: "snapshot", id: first } });
    const plain = await createVolume(on.stack, { name: "p", parameters: { layout: "plain" } });
    const { out, commands } = await list("json");
    const items = new Map<string, object>(
      JSON.parse(out).items.map((item: { handle: string }) => [item.handle, item]),
    );
    const [most, none] = [
      { count: 3, bytesAtMost: Number(3n * MIB) },
      { count: 0, bytesAtMost: 0 },
    ];
    expect(items.get(on.volume)).toMatchObject({ layout: "subvolume", source: null, snapshots: most });
    expect(items.get(clone.id)).toMatchObject({ layout: "subvolume", source: first, snapshots: none });
    expect(items.get(plain.id)).toMatchObject({ layout: "plain", source: null, snapshots: none });
    expect(commands).toBe(2);
    const wide = await list("wide");
    expect(wide.commands).toBe(2);
    expect(wide.out).toMatch(/ NAME +SNAPSHOTS +LAYOUT +SOURCE +EXPORTED /);
    expect(wide.out).toMatch(new RegExp(` ${on.volume} +pvc-1 +3 \\(≤3Mi\\) +subvolume +- +no `));
    expect(wide.out).toMatch(new RegExp(` ${clone.id} +c +0 +subvolume +${first} +no `));
    const table = await list("table");
    expect([table.commands, table.out.includes("SNAPSHOTS")]).toEqual([1, false]);
  });

  test("show counts those of its volume alone, and says the source of a clone", async () => {
    const first = await on.cut("s1");
    const clone = await createVolume(on.stack, { name: "c", source: { kind: "snapshot", id: first } });
    const { out, commands } = await show(on.volume, "table");
    expect(commands).toBe(3);
    expect(out).toMatch(/\n {3}snapshots {2}1, at most 1Mi +-\n/);
    expect(out).toMatch(/ layout subvolume\n/);
    expect(out).not.toContain("\n   source");
    const shown = (await show(clone.id, "table")).out;
    expect(shown).toMatch(/\n {3}snapshots {2}none +-\n/);
    expect(shown).toMatch(new RegExp(`\\n {3}source {5}${first} +-\\n`));
    const { rds } = JSON.parse((await show(on.volume, "json")).out);
    expect(rds.snapshots).toEqual({ state: "known", value: { count: 1, bytesAtMost: Number(MIB) } });
    expect(rds.disk.value.layout).toBe("subvolume");
  });

  test("a list of snapshots that fails hides no volume, and is said", async () => {
    await on.cut("s1");
    const when = { line: /btrfs.subvolume/, count: Number.POSITIVE_INFINITY };
    on.stack.simulator.faults.add({ kind: "permissionMissing", policy: "read" }, when);
    const { code, out } = await list("wide");
    expect(code).toBe(1);
    expect(out).toContain(` ${on.volume} `);
    expect(out).toMatch(/\nNot known:\nsnapshots: .*permission/);
  });
});
