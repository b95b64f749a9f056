import { describe, expect, test } from "bun:test";
import { fastClock } from "../../test/support/clock.ts";
import {
  addSubvolume,
  FILE_LAYOUTS,
  fileOf,
  filesOf,
  leaveFile,
  noneDead,
  placeOf,
  stored,
  subvolumesOf,
  volumeLines,
} from "../../test/support/file-layouts.ts";
import { createVolume, outcome, untilDone, useStack } from "../../test/support/own-stack.ts";
import { MIB, type Stack, type StackOptions } from "../../test/support/rds-stack.ts";
import { until } from "../../test/support/until.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";

const PROFILES = ["current", "hostile", "strict", "old"] as const;
const ID = volumeIdFromName("pvc-1");
const SIZE = 4n * MIB;

const open = useStack();
const start = (options: StackOptions = {}) => {
  const clock = fastClock(20);
  return open({ clock, simulatorClock: clock, ...options });
};

const create = (on: Pick<Stack, "volumes" | "signal">, parameters: Record<string, string> = {}) =>
  createVolume(on, { required: SIZE, parameters });
const claim = (namespace: string, name: string) => ({
  "csi.storage.k8s.io/pvc/namespace": namespace,
  "csi.storage.k8s.io/pvc/name": name,
  "csi.storage.k8s.io/pv/name": "pvc-1",
});
const POOL = ["directory storage-pool", "directory storage-pool/csi"];

/** Looks at `/file` in the lines since the last call. */
const looks = (on: Stack): string[] =>
  on.commandsSince().flatMap((line) => line.match(/\/file\/(?:find|print|get)[^\]]*/g) ?? []);

for (const layout of FILE_LAYOUTS) {
  for (const profile of PROFILES) {
    const PATH = fileOf(ID, layout);
    for (const parentMissing of ["error", "create"] as const) {
      describe(`one look at /file for each create, layout ${layout}, profile ${profile}, a missing folder: ${parentMissing}`, () => {
        for (const directory of ["csi", "tenants/blue/csi"]) {
          test(`folder ${directory}: made when it is missing, and looked for neither then nor later`, async () => {
            const on = await start({ profile, directory, switches: { parentMissing } });
            for (let round = 0; round < 2; round++) {
              on.commandsSince();
              await create(on, { layout });
              expect(looks(on)).toEqual([`/file/find where name="${placeOf(ID, layout, { directory })}"`]);
              expect(filesOf(on)).toEqual([fileOf(ID, layout, { directory })]);
              expect(subvolumesOf(on)).toEqual(
                layout === "plain" ? [] : [placeOf(ID, layout, { directory })],
              );
              await on.volumes.delete(ID, on.signal);
              await noneDead(on);
            }
          });
        }

        test("the upper folders are there, the last one is not", async () => {
          const directory = "tenants/blue";
          const on = await start({ profile, directory, switches: { parentMissing } });
          await on.simulator.device.makeDirectories("storage-pool/tenants");
          await create(on, { layout });
          expect(filesOf(on)).toEqual([fileOf(ID, layout, { directory })]);
        });

        for (const existingFile of ["keep", "grow", "error"] as const) {
          for (const noSpace of ["clean", "item-left", "file-left"] as const) {
            test(`a full device (${noSpace}) with a file of an earlier call (${existingFile}): never reused, nothing is left`, async () => {
              const on = await start({ profile, switches: { parentMissing, existingFile, noSpace } });
              const { device, faults } = on.simulator;
              faults.add({ kind: "diskFull" }, { line: /\/disk\/add/ });
              expect(await outcome(create(on, { layout }))).toStartWith("RESOURCE_EXHAUSTED: ");
              expect([device.disks, filesOf(on), subvolumesOf(on)]).toEqual([[], [], []]);
              await leaveFile(on, ID, layout, { size: MIB, content: "old tenant's secret" });
              // The name of the subvolume that it removes may not be free at once.
              await untilDone(() => create(on, { layout }));
              expect(stored(on.simulator)).toEqual([...POOL, ...volumeLines(ID, layout, SIZE)].toSorted());
              expect(Buffer.from(await device.readFile(PATH, 0n, 19)).toString("latin1")).toBe(
                "\0".repeat(19),
              );
            });
          }
        }

        for (const sharedFile of ["error", "shared"] as const) {
          test(`a file that another disk item uses (${sharedFile}): refused, the item and its file stay`, async () => {
            const on = await start({ profile, switches: { parentMissing, sharedFile } });
            if (layout === "subvolume") await addSubvolume(on, placeOf(ID, layout));
            await on.simulator.device.addForeignDisk({ slot: "other", path: PATH, size: MIB });
            const before = stored(on.simulator);
            expect(await outcome(create(on, { layout }))).toStartWith("FAILED_PRECONDITION: ");
            expect(stored(on.simulator)).toEqual(before);
          });
        }
      });
    }
  }

  describe(`layout ${layout}`, () => {
    for (const noSpace of ["clean", "item-left", "file-left"] as const) {
      for (const [text, answer] of [
        ["failure: no space left on device", "RESOURCE_EXHAUSTED: RouterOS refused 4Mi in pool storage-pool"],
        ["failure: something is wrong", `INTERNAL: create volume ${ID}: RouterOS rejected the command`],
      ] as const) {
        test(`the pool runs full before the file is made (${noSpace}, ${text}): nothing is left, not even a subvolume`, async () => {
          const on = await start({ switches: { noSpace, noSpaceText: text } });
          const { device, faults } = on.simulator;
          faults.hang({ line: /\/disk\/add/ });
          const refused = outcome(create(on, { layout }));
          await until("the line is held", () => faults.hanging > 0);
          await device.addFile("storage-pool/another", device.freeBytes("storage-pool"));
          faults.release();
          const isDoubtful = noSpace === "item-left" && text === "failure: something is wrong";
          expect(await refused).toStartWith(isDoubtful ? "UNAVAILABLE: " : answer);
          // An item whose state is not known stays, so that another call may find it.
          if (isDoubtful) await on.volumes.delete(ID, on.signal);
          expect([device.disks, filesOf(on), subvolumesOf(on)]).toEqual([[], ["storage-pool/another"], []]);
          expect(device.file(placeOf(ID, layout))).toBeUndefined();
        });
      }
    }

    test("a folder that cannot be made: the first reason is the answer", async () => {
      const on = await start();
      await on.simulator.device.addFile("storage-pool/csi", MIB);
      const reason = layout === "plain" ? "cannot open output file" : "No such file or directory";
      expect(await outcome(create(on, { layout }))).toBe(
        `INTERNAL: create volume ${ID}: RouterOS rejected the command (failure: ${reason})`,
      );
      expect([on.simulator.device.disks, subvolumesOf(on)]).toEqual([[], []]);
    });
  });
}

test("a folder with the name of a volume that is no subvolume, and what is in it, stay: the volume is not made", async () => {
  const on = await start();
  await on.simulator.device.makeDirectories(placeOf(ID, "subvolume"));
  await on.simulator.device.addFile(`${placeOf(ID, "subvolume")}/notes`, MIB);
  const before = stored(on.simulator);
  expect(await outcome(create(on))).toBe(
    `UNAVAILABLE: deleting the file of volume ${ID} was sent, but the RDS shows another state: 1 left`,
  );
  expect(stored(on.simulator)).toEqual(before);
});

describe("the same name for another claim", () => {
  test("is refused, naming both claims", async () => {
    const on = await start();
    await create(on, claim("shop", "orders db"));
    for (const [asked, text] of [
      [claim("shop", "customers"), '"shop/customers"'],
      [claim("staging", "orders db"), '"staging/orders db"'],
    ] as const) {
      expect(await outcome(create(on, asked))).toBe(
        `ALREADY_EXISTS: a volume with name "pvc-1" exists with other properties: it was made for the claim "shop/orders db", asked for ${text}`,
      );
    }
    expect(await outcome(create(on, claim("shop", "orders db")))).toBe("OK");
    expect(on.simulator.device.disks).toHaveLength(1);
  });

  test("is not seen where either side names no claim: the provisioner ran without --extra-create-metadata then", async () => {
    const on = await start();
    await create(on, claim("shop", "orders"));
    expect(await outcome(create(on))).toBe("OK");
    await on.volumes.delete(ID, on.signal);
    await create(on);
    expect(await outcome(create(on, claim("shop", "orders")))).toBe("OK");
  });

  test("is no matter of CDI, whose volume stays the one of its populator's claim when it is bound to another", async () => {
    const on = await start();
    const prime = claim("vms", "prime-7b0c2d5e-5c0f-4d5e-9f5e-0a4d2c6b1e11");
    const made = await create(on, prime);
    // The provisioner repeats with what it asked first: the name holds the UID of that claim.
    expect(await create(on, prime)).toEqual(made);
  });
});
