import { afterEach, beforeEach, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { lstat, mkdtemp, readdir, readFile, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Tree, writeTrees } from "./tree.ts";

let directory = "";
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "rds-csi-tree-"));
});
afterEach(() => rm(directory, { recursive: true }));

test("kinds, modes and times are on disk, of later trees too, and nothing of before is left", async () => {
  const root = join(directory, "out/rootfs");
  const before = new Tree();
  before.write("old", "");
  await writeTrees([{ tree: before, seconds: 1 }], root);
  const base = new Tree();
  base.add("tmp", { kind: "directory", mode: 0o1777 });
  base.add("bin", { kind: "link", target: "usr/bin" });
  base.write("usr/share/x", "base");
  const driver = new Tree();
  driver.add("usr/bin/rds-csi", { kind: "file", mode: 0o755, bytes: Buffer.from("driver") });
  await writeTrees(
    [
      { tree: base, seconds: 1_000 },
      { tree: driver, seconds: 2_000 },
    ],
    root,
  );
  expect(await readdir(join(directory, "out"))).toEqual(["rootfs"]);
  expect((await readdir(root)).sort()).toEqual(["bin", "tmp", "usr"]);
  expect(await readFile(join(root, "bin/rds-csi"), "utf8")).toBe("driver");
  expect(await readlink(join(root, "bin"))).toBe("usr/bin");
  const found = async (path: string) => {
    const { mode, mtimeMs } = await lstat(join(root, path));
    return [(mode & 0o7777).toString(8), mtimeMs / 1000];
  };
  expect(await found(".")).toEqual(["755", expect.any(Number)]);
  expect(await found("tmp")).toEqual(["1777", 1_000]);
  expect((await found("bin"))[1]).toBe(1_000);
  expect(await found("usr/share/x")).toEqual(["644", 1_000]);
  expect(await found("usr/bin/rds-csi")).toEqual(["755", 2_000]);
  expect(await found("usr")).toEqual(["755", 2_000]);
});
