import { expect, test } from "bun:test";
import { fastClock } from "../../test/support/clock.ts";
import { noneDead } from "../../test/support/file-layouts.ts";
import { outcome } from "../../test/support/own-stack.ts";
import type { Stack } from "../../test/support/rds-stack.ts";
import { until } from "../../test/support/until.ts";
import { publish } from "../controller/calls.fixture.ts";
import { convert, NEW, OLD } from "../controller/convert.fixture.ts";
import {
  COPY,
  calls,
  fileNow,
  fill,
  lettersOf,
  SOURCE,
  SOURCE_NAME,
  stateOf,
  useCopies,
} from "../controller/copies.fixture.ts";
import { DriverError } from "../domain/errors/driver-error.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { AttachmentView, PersistentVolumeView } from "../kubernetes/port.ts";
import type { Disk } from "../rds/disk.ts";
import { planRebuild, planRestore, requireReplaceable } from "./plan.ts";
import type { PlanFacts } from "./rebuild.ts";

const start = useCopies();
const clock = fastClock(400);

const pv: PersistentVolumeView = {
  ...{ name: SOURCE_NAME, handle: SOURCE, claim: { namespace: "vms", name: "disk", uid: "u" } },
  ...{ storageClass: "rds", accessModes: ["ReadWriteOnce"], volumeMode: "Block", phase: "Bound" },
  ...{ deleting: false, capacityBytes: undefined, reclaimPolicy: "Delete", createdAt: 1_700_000_000_000 },
};
const attached: AttachmentView = {
  ...{ name: "csi-a", node: "node-a", pvName: SOURCE_NAME, attached: true, deleting: false },
  ...{ metadata: {}, attachError: undefined, detachError: undefined },
};

/** The volume's own item. */
async function itemOf(on: Stack, id: VolumeId = SOURCE): Promise<Disk> {
  const found = await on.controller().rds.find(id, on.signal);
  const disk = found?.kind === "volume" ? found.volume.disk : found?.foreign.disk;
  if (disk === undefined) throw new Error("the volume has no item");
  return disk;
}

/** What `volumes record` knows of the volume. @param kept its comment before it moved */
async function factsOf(
  on: Stack,
  kept: string | undefined,
  over: Partial<PlanFacts> = {},
): Promise<PlanFacts> {
  return {
    ...{ handle: SOURCE, disk: await itemOf(on), clusterId: "test", now: 1_795_300_000 },
    copy: kept === undefined ? undefined : { comment: kept, seen: "2026-11-27T00:00:00Z", epoch: 0 },
    ...{ pvs: [pv], attachments: [], storageClass: undefined },
    exportIsRight: (volume) => on.rds.exportIsRight(volume),
    ...over,
  };
}

function reasonOf(facts: PlanFacts, plan: (facts: PlanFacts) => unknown = planRestore): string {
  try {
    requireReplaceable(facts, true);
    plan(facts);
    return "planned";
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    expect(error.id).toBe("recordKept");
    return error.summary.replace(/^.*is left as it is: /, "");
  }
}

/** A conversion whose process died while the RDS held a line. @returns the comment before it began */
async function killedAt(on: Stack, line: RegExp): Promise<string> {
  const { faults, device } = on.simulator;
  const before = device.disk(SOURCE)?.comment ?? "";
  const [stop, by] = [new AbortController(), on.controller()];
  const rule = faults.hang({ line });
  const given = outcome(convert(by, clock, stop.signal));
  await until("the line is held", () => faults.hanging > 0);
  rule.remove();
  stop.abort();
  await by.transport.close();
  await given;
  return before;
}

const damage = (on: Stack, lost: RegExp, id: VolumeId = SOURCE) => {
  const { device } = on.simulator;
  return device.setDisk(id, { comment: device.disk(id)?.comment.replace(lost, "") ?? "" });
};

for (const [where, line, lost] of [
  ["while its copy is made", /\/disk\/copy/, /;t=\d+/],
  ["before the switch", /:local tidy/, /;t=\d+/],
  ["before the old file goes", /\/file\/remove \$rest/, /;t=\d+/],
  ["and its stage, before the old file goes", /\/file\/remove \$rest/, /;t=\d+|;y=\w+/g],
] as const)
  for (const [action, plan] of [
    ["--restore", planRestore],
    ["--rebuild", planRebuild],
  ] as const)
    test(`the record loses a field ${where}: ${action} puts it back with its stage, and the conversion goes on`, async () => {
      const on = await start({ first: "btrfs", clock });
      const kept = await killedAt(on, line);
      await damage(on, lost);
      expect(await outcome(convert(on.controller(), clock))).toStartWith("FAILED_PRECONDITION: ");
      const before = await stateOf(on);
      const facts = await factsOf(on, kept);
      requireReplaceable(facts, false);
      const { record, comment } = plan(facts);
      expect(await stateOf(on)).toEqual(before);
      const { id, disk } = { id: SOURCE, disk: facts.disk };
      const written = await on.rds.write({ id, disk, record }, record, "leave", on.signal);
      expect(written.kind).toBe("written");
      expect(on.simulator.device.disk(SOURCE)?.comment).toBe(comment);
      const converting = `FAILED_PRECONDITION: volume ${SOURCE} is being moved into a subvolume`;
      expect(await outcome(publish(on.controller(), SOURCE, "node-a"))).toBe(converting);
      await noneDead(on);
      await convert(on.controller(), clock);
      const { device } = on.simulator;
      expect([await lettersOf(on, NEW), device.file(OLD), device.disks.length]).toEqual([
        "ABC",
        undefined,
        1,
      ]);
      await publish(on, SOURCE, "node-a");
      on.simulator.faults.release();
    });

test("the record loses its stage before the switch: it is one that does not move, and the copy beside it is not used", async () => {
  const on = await start({ first: "btrfs", clock });
  const kept = await killedAt(on, /:local tidy/);
  await damage(on, /;t=\d+|;y=\w+/g);
  const facts = await factsOf(on, kept);
  const { record, notes } = planRestore(facts);
  expect(notes.join()).toContain(`it stays in ${OLD}; disk item new-`);
  await on.rds.write({ id: SOURCE, disk: facts.disk, record }, record, "leave", on.signal);
  await fill(on, OLD, ["x", "y", "z"]);
  expect(await outcome(convert(on.controller(), clock))).toMatch(/^FAILED_PRECONDITION: .* left of another/);
  await publish(on, SOURCE, "node-a");
  expect([fileNow(on, SOURCE), await lettersOf(on, OLD)]).toEqual([OLD, "xyz"]);
  on.simulator.faults.release();
});

test("a record on the way that can be read is never replaced: an earlier one would not know of the copy", async () => {
  const on = await start({ first: "btrfs", clock });
  const kept = await killedAt(on, /:local tidy/);
  for (const plan of [planRestore, planRebuild])
    expect(reasonOf(await factsOf(on, kept), plan)).toBe(
      `it can be read, and says how far the volume is on its way into a subvolume; \`rds-csi volumes convert ${SOURCE} --yes\` goes on`,
    );
  on.simulator.faults.release();
});

test("what is in doubt is left as it is, and said", async () => {
  const on = await start({ first: "btrfs", clock });
  const kept = await killedAt(on, /\/file\/remove \$rest/);
  await damage(on, /;t=\d+/);
  const facts = await factsOf(on, kept);
  const withComment = (from: string | RegExp, to: string): Partial<PlanFacts> => ({
    disk: { ...facts.disk, comment: facts.disk.comment.replace(from, to) },
  });
  const say = (over: Partial<PlanFacts>) => reasonOf({ ...facts, ...over });
  expect(reasonOf({ ...facts, attachments: [attached] }, planRebuild)).toStartWith(
    "it is on its way into a subvolume, and the VolumeAttachments attach node-a; end what uses the volume",
  );
  expect(say(withComment("y=tidy", "y=copy"))).toStartWith(
    'it says that the volume is on its way into a subvolume, at stage "copy", and disk item',
  );
  expect(say({ ...withComment(";y=tidy", ""), pvs: [] })).toStartWith(
    "it is of an unfinished volume, and nothing says any more whether a full copy fills it",
  );
  expect(say(withComment("rds2", "rds3"))).toStartWith("it is of version 3, which a newer driver wrote");
  // Nodes use no volume on its way, so that the version is part of the damage.
  expect(say({ ...withComment(";y=tidy", ""), attachments: [attached] })).toStartWith(
    "the copy of 2026-11-27T00:00:00Z attaches no node, the VolumeAttachments node-a",
  );
  on.simulator.faults.release();
});

test("the record of an unfinished copy is not replaced: what to do is said", async () => {
  const on = await start({ clock });
  on.simulator.faults.hang({ line: /\/disk\/copy/ });
  const given = outcome(calls.copy(on));
  await until("the line is held", () => on.simulator.faults.hanging > 0);
  const target = async () => factsOf(on, undefined, { handle: COPY, disk: await itemOf(on, COPY), pvs: [] });
  const readable = await target();
  expect(reasonOf(readable)).toStartWith(
    "it can be read, and says how far a full copy has filled the volume;",
  );
  const disk = { ...readable.disk, comment: readable.disk.comment.replace(/;t=\d+/, "") };
  const copy = { comment: readable.disk.comment.replace(/^rds2/, "rds1"), seen: "2026", epoch: 0 };
  expect(reasonOf({ ...readable, disk, copy })).toBe(
    `a full copy into the volume was not finished, so that it holds nothing that its source does not hold; if no PersistentVolume names it, \`/disk remove [find where slot=${COPY}]\` on the RDS, and its CreateVolume begins anew`,
  );
  on.simulator.faults.release();
  await given;
});
