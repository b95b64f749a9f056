import { describe, expect, test } from "bun:test";
import { fastClock } from "../../test/support/clock.ts";
import { FILE_LAYOUTS, type FileLayout, stored, volumeLines } from "../../test/support/file-layouts.ts";
import { createVolume, untilDone, useStack } from "../../test/support/own-stack.ts";
import { MIB, MOUNT, type Stack } from "../../test/support/rds-stack.ts";
import { decodeRecord } from "../domain/record/record-codec.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import type { FaultAction } from "../simulator/faults.ts";
import type { ProfileName } from "../simulator/profiles.ts";

const PROFILES = ["current", "hostile", "strict", "old"] as const;
const NAME = "pvc-1";
const ID = volumeIdFromName(NAME);
const SIZE = 16n * MIB;

const start = useStack();

type Verb = "create" | "publish" | "unpublish" | "delete";

const call: Record<Verb, (on: Stack, layout: FileLayout) => Promise<unknown>> = {
  create: (on, layout) =>
    createVolume(on, { name: NAME, required: SIZE, capabilities: [MOUNT], parameters: { layout } }),
  publish: (on) =>
    on.attachments.publish({
      volumeId: ID,
      nodeId: "node-a",
      capability: MOUNT,
      readonly: false,
      signal: on.signal,
    }),
  unpublish: (on) => on.attachments.unpublish(ID, "node-a", on.signal),
  delete: (on) => on.volumes.delete(ID, on.signal),
};

/** What must be true of the RDS after a verb has succeeded, however often it was interrupted: all that it keeps, and the nodes of the record. */
function stateOf(on: Stack): { all: string[]; nodes: string[] } {
  const decoded = decodeRecord(on.simulator.device.disk(ID)?.comment ?? "");
  const nodes = decoded.kind === "record" ? decoded.record.attachments.map(({ node }) => node) : [];
  return { all: stored(on.simulator), nodes };
}
function stateAfter(verb: Verb, layout: FileLayout): ReturnType<typeof stateOf> {
  const lines = verb === "delete" ? [] : volumeLines(ID, layout, SIZE, { exported: verb === "publish" });
  const all = ["directory storage-pool", "directory storage-pool/csi", ...lines].toSorted();
  return { all, nodes: verb === "publish" ? ["node-a"] : [] };
}
const BEFORE: Record<Verb, Verb[]> = {
  create: [],
  publish: ["create"],
  unpublish: ["create", "publish"],
  delete: ["create"],
};

interface Case {
  readonly profile: ProfileName;
  readonly layout: FileLayout;
  readonly verb: Verb;
}

/** Interrupts the n-th command of a call, then lets it be repeated; says whether there was an n-th command. */
async function interrupted(
  { profile, layout, verb }: Case,
  nth: number,
  action: FaultAction,
): Promise<boolean> {
  const clock = fastClock(20);
  const on = await start({ profile, clock, simulatorClock: clock });
  for (const step of BEFORE[verb]) await untilDone(() => call[step](on, layout));
  // A fresh controller, as after a crash: it remembers nothing.
  const fresh: Stack = { ...on, ...on.controller() };
  await fresh.rds.version(fresh.signal);
  on.simulator.faults.add(action, { nth });
  await untilDone(() => call[verb](fresh, layout));
  const after = stateAfter(verb, layout);
  expect({ action, nth, state: stateOf(on) }).toEqual({ action, nth, state: after });
  // The repeat of a finished call changes nothing.
  await untilDone(() => call[verb](fresh, layout));
  expect({ action, nth, again: stateOf(on) }).toEqual({ action, nth, again: after });
  const struck = on.simulator.commands.some((entry) => entry.outcome === "cut");
  await on.close();
  return struck;
}

for (const profile of PROFILES) {
  describe(`every RouterOS command cut, profile ${profile}`, () => {
    for (const verb of ["create", "publish", "unpublish", "delete"] as const) {
      // An attachment is the same whatever its volume's layout.
      const layouts = verb === "create" || verb === "delete" ? FILE_LAYOUTS : (["subvolume"] as const);
      for (const layout of layouts) {
        const each = { profile, layout, verb };
        for (const kind of ["cutBefore", "cutAfter"] as const) {
          test(`${verb}, layout ${layout}, ${kind}`, async () => {
            let nth = 1;
            while (await interrupted(each, nth, { kind })) nth += 1;
            expect(nth).toBeGreaterThan(2);
          });
        }
        test(`${verb}, layout ${layout}, RouterOS stops after each statement of the change`, async () => {
          // The first command of each call reads; the second changes.
          let statement = 1;
          while (await interrupted(each, 2, { kind: "cutMidway", statement })) statement += 1;
          expect(statement).toBeGreaterThan(1);
        });
      }
    }
  });
}
