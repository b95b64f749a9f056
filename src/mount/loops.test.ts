import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { attachedLoops } from "./loops.ts";

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "rds-csi-loops-"));
});
afterEach(() => rmSync(root, { recursive: true }));

const device = (name: string, backing?: string) => {
  const directory = join(root, "block", name, "loop");
  mkdirSync(backing === undefined ? join(directory, "..") : directory, { recursive: true });
  if (backing !== undefined) writeFileSync(join(directory, "backing_file"), `${backing}\n`);
};

test("loop devices with a file are found, also with one that was deleted; no other device is", async () => {
  device("loop0");
  device("loop1", "/a b");
  device("loop12", "/c (deleted)");
  device("sda");
  device("loopback", "/d");
  expect(await attachedLoops(root)).toEqual([
    { name: "loop1", path: "/a b" },
    { name: "loop12", path: "/c" },
  ]);
});

test("a loop device that cannot be looked at is unknown, not without a file", async () => {
  device("loop0");
  symlinkSync("loop", join(root, "block/loop0/loop"));
  await expect(attachedLoops(root)).rejects.toMatchObject({ id: "nodeStateUnknown" });
  rmSync(join(root, "block"), { recursive: true });
  await expect(attachedLoops(root)).rejects.toMatchObject({ id: "nodeStateUnknown" });
});
