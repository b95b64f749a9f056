import { describe, expect, test } from "bun:test";
import { createVolume, useStack } from "../../test/support/own-stack.ts";
import { MIB, MOUNT, type Stack } from "../../test/support/rds-stack.ts";
import { DriverError } from "../domain/errors/driver-error.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import type { FaultAction } from "../simulator/faults.ts";
import type { ProfileName } from "../simulator/profiles.ts";

const PROFILES = ["current", "hostile", "strict", "old"] as const;
const NAME = "pvc-1";
const ID = volumeIdFromName(NAME);
const SIZE = 4n * MIB;

const start = useStack();

type Verb = "create" | "publish" | "unpublish" | "delete";

const call: Record<Verb, (on: Stack) => Promise<unknown>> = {
  create: (on) => createVolume(on, { name: NAME, required: SIZE, capabilities: [MOUNT] }),
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

/** What must be true of the RDS after a verb has succeeded, however often it was interrupted. */
function stateOf(on: Stack): { disks: number; files: number; exported: boolean; nodes: number } {
  const { device } = on.simulator;
  const disk = device.disks.find((each) => each.slot === ID);
  const files = device.files.filter((file) => file.path.endsWith(`${ID}.img`));
  return {
    disks: device.disks.filter((each) => each.slot === ID).length,
    files: files.length,
    exported: disk?.exported ?? false,
    nodes: /;a=/.test(disk?.comment ?? "") ? 1 : 0,
  };
}
const AFTER: Record<Verb, ReturnType<typeof stateOf>> = {
  create: { disks: 1, files: 1, exported: false, nodes: 0 },
  publish: { disks: 1, files: 1, exported: true, nodes: 1 },
  unpublish: { disks: 1, files: 1, exported: false, nodes: 0 },
  delete: { disks: 0, files: 0, exported: false, nodes: 0 },
};
const BEFORE: Record<Verb, Verb[]> = {
  create: [],
  publish: ["create"],
  unpublish: ["create", "publish"],
  delete: ["create"],
};

/** Repeats a call as the sidecars do: after errors that leave the outcome open. */
async function untilDone(on: Stack, verb: Verb): Promise<number> {
  for (let attempt = 1; attempt <= 8; attempt++) {
    try {
      await call[verb](on);
      return attempt;
    } catch (error) {
      // UNAVAILABLE and ABORTED: the caller tries again. Anything else would leak or lose a volume.
      if (!(error instanceof DriverError) || (error.code !== 14 && error.code !== 10)) throw error;
    }
  }
  throw new Error(`${verb} did not converge`);
}

/** Interrupts the n-th command of a call, then lets it be repeated; says whether there was an n-th command. */
async function interrupted(
  profile: ProfileName,
  verb: Verb,
  nth: number,
  action: FaultAction,
): Promise<boolean> {
  const on = await start({ profile });
  for (const step of BEFORE[verb]) await untilDone(on, step);
  // A fresh controller, as after a crash: it remembers nothing.
  const fresh: Stack = { ...on, ...on.controller() };
  await fresh.rds.version(fresh.signal);
  on.simulator.faults.add(action, { nth });
  await untilDone(fresh, verb);
  expect({ action, nth, state: stateOf(on) }).toEqual({ action, nth, state: AFTER[verb] });
  // The repeat of a finished call changes nothing.
  await untilDone(fresh, verb);
  expect({ action, nth, again: stateOf(on) }).toEqual({ action, nth, again: AFTER[verb] });
  const struck = on.simulator.commands.some((entry) => entry.outcome === "cut");
  await on.close();
  return struck;
}

for (const profile of PROFILES) {
  describe(`every RouterOS command cut, profile ${profile}`, () => {
    for (const verb of ["create", "publish", "unpublish", "delete"] as const) {
      for (const kind of ["cutBefore", "cutAfter"] as const) {
        test(`${verb}, ${kind}`, async () => {
          let nth = 1;
          while (await interrupted(profile, verb, nth, { kind })) nth += 1;
          expect(nth).toBeGreaterThan(2);
        });
      }
    }
    for (const verb of ["create", "publish", "unpublish", "delete"] as const) {
      test(`${verb}, RouterOS stops after each statement of the change`, async () => {
        // The first command of each call reads; the second changes.
        let statement = 1;
        while (await interrupted(profile, verb, 2, { kind: "cutMidway", statement })) statement += 1;
        expect(statement).toBeGreaterThan(1);
      });
    }
  });
}
