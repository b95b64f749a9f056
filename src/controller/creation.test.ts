import { describe, expect, test } from "bun:test";
import { createVolume, outcome, useStack } from "../../test/support/own-stack.ts";
import { MIB, type Stack } from "../../test/support/rds-stack.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";

const PROFILES = ["current", "hostile", "strict", "old"] as const;
const ID = volumeIdFromName("pvc-1");
const PATH = `storage-pool/csi/${ID}.img`;
const SIZE = 4n * MIB;

const start = useStack();

const create = (on: Pick<Stack, "volumes" | "signal">, parameters: Record<string, string> = {}) =>
  createVolume(on, { required: SIZE, parameters });
const claim = (namespace: string, name: string) => ({
  "csi.storage.k8s.io/pvc/namespace": namespace,
  "csi.storage.k8s.io/pvc/name": name,
  "csi.storage.k8s.io/pv/name": "pvc-1",
});

const filesOf = (on: Stack): [string, bigint][] =>
  on.simulator.device.files.filter(({ directory }) => !directory).map(({ path, size }) => [path, size]);

/** Looks at `/file` in the lines since the last call. */
const looks = (on: Stack): string[] =>
  on.commandsSince().flatMap((line) => line.match(/\/file\/(?:find|print|get)[^\]]*/g) ?? []);

for (const profile of PROFILES) {
  for (const parentMissing of ["error", "create"] as const) {
    describe(`one look at /file for each create, profile ${profile}, a missing folder: ${parentMissing}`, () => {
      for (const directory of ["csi", "tenants/blue/csi"]) {
        test(`folder ${directory}: made when it is missing, and looked for neither then nor later`, async () => {
          const on = await start({ profile, directory, switches: { parentMissing } });
          const path = `storage-pool/${directory}/${ID}.img`;
          for (let round = 0; round < 2; round++) {
            on.commandsSince();
            await create(on);
            expect(looks(on)).toEqual([`/file/find where name="${path}"`]);
            expect(filesOf(on)).toEqual([[path, SIZE]]);
            await on.volumes.delete(ID, on.signal);
          }
        });
      }

      test("the upper folders are there, the last one is not", async () => {
        const on = await start({ profile, directory: "tenants/blue", switches: { parentMissing } });
        await on.simulator.device.makeDirectories("storage-pool/tenants");
        await create(on);
        expect(filesOf(on)).toEqual([[`storage-pool/tenants/blue/${ID}.img`, SIZE]]);
      });

      for (const existingFile of ["keep", "grow", "error"] as const) {
        for (const noSpace of ["clean", "item-left", "file-left"] as const) {
          test(`a full device (${noSpace}) with a file of an earlier call (${existingFile}): never reused, nothing is left`, async () => {
            const on = await start({ profile, switches: { parentMissing, existingFile, noSpace } });
            const { device, faults } = on.simulator;
            faults.add({ kind: "diskFull" }, { line: /\/disk\/add/ });
            expect(await outcome(create(on))).toStartWith("RESOURCE_EXHAUSTED: ");
            expect([device.disks, filesOf(on)]).toEqual([[], []]);
            await device.addFile(PATH, MIB);
            await device.writeFile(PATH, 0n, Buffer.from("old tenant's secret"));
            await create(on);
            expect(filesOf(on)).toEqual([[PATH, SIZE]]);
            expect(Buffer.from(await device.readFile(PATH, 0n, 19)).toString("latin1")).toBe("\0".repeat(19));
          });
        }
      }

      for (const sharedFile of ["error", "shared"] as const) {
        test(`a file that another disk item uses (${sharedFile}): refused, the item and its file stay`, async () => {
          const on = await start({ profile, switches: { parentMissing, sharedFile } });
          await on.simulator.device.addForeignDisk({ slot: "other", path: PATH, size: MIB });
          expect(await outcome(create(on))).toStartWith("FAILED_PRECONDITION: ");
          expect(filesOf(on)).toEqual([[PATH, MIB]]);
        });
      }
    });
  }
}

test("a folder that cannot be made: the first reason is the answer", async () => {
  const on = await start();
  await on.simulator.device.addFile("storage-pool/csi", MIB);
  expect(await outcome(create(on))).toBe(
    `INTERNAL: create volume ${ID}: RouterOS rejected the command (failure: cannot open output file)`,
  );
  expect(on.simulator.device.disks).toEqual([]);
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
