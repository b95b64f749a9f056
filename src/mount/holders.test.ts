import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { holdersOf, partitionsOf } from "./holders.ts";

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "rds-csi-holders-"));
  mkdirSync(join(directory, "holders"));
});
afterEach(() => rmSync(directory, { recursive: true }));

function attribute(path: string, value: string): void {
  mkdirSync(join(directory, path, ".."), { recursive: true });
  writeFileSync(join(directory, path), `${value}\n`);
}

test("partitions are told by their names and their attribute", async () => {
  attribute("nvme0n1p1/partition", "1");
  attribute("nvme0n1p12/partition", "12");
  attribute("queue/partition", "1");
  attribute("p1x/partition", "1");
  mkdirSync(join(directory, "nvme0n1p3"));
  expect((await partitionsOf(directory)).toSorted()).toEqual(["nvme0n1p1", "nvme0n1p12"]);
});

for (const [attributes, kind, description] of [
  [{ "dm/uuid": "part12-mpath-36", "dm/name": "m" }, "multipath", "x (multipath map m of multipathd)"],
  [{ "dm/uuid": "CRYPT-mpath-36", "dm/name": "c" }, "other", "x (device-mapper c)"],
  [{ "dm/name": "c", "md/level": "raid1" }, "other", "x (device-mapper c)"],
  [{ "dm/uuid": "LVM-1", "dm/name": "a--b-c-d" }, "lvm", "x (LVM volume group a-b, volume c-d)"],
  [{ "md/level": "raid1" }, "other", "x (md array, raid1)"],
  [{}, "other", "x"],
] as const) {
  test(`a holder with ${JSON.stringify(attributes)} is ${description}`, async () => {
    mkdirSync(join(directory, "holders/x"));
    for (const [path, value] of Object.entries(attributes)) attribute(`holders/x/${path}`, value);
    expect(await holdersOf(directory)).toEqual([{ name: "x", kind, description }]);
  });
}

test("a holder of a partition is one of the device", async () => {
  attribute("nvme0n1p1/partition", "1");
  attribute("nvme0n1p1/holders/y/dm/name", "c");
  expect(await holdersOf(directory)).toEqual([
    { name: "y", kind: "other", description: "y (device-mapper c)" },
  ]);
});

test("holders that cannot be listed are unknown, and the error names where they are", async () => {
  rmSync(join(directory, "holders"), { recursive: true });
  writeFileSync(join(directory, "holders"), "");
  await expect(holdersOf(directory)).rejects.toThrow(`${join(directory, "holders")} could not`);
});
