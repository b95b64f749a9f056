import { expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { tarOf } from "./tar.ts";
import { Tree } from "./tree.ts";

const LONG = `usr/share/${"d".repeat(90)}/${"f".repeat(80)}`;
const SECONDS = 1_700_000_000;

function sample(reversed = false): Tree {
  const tree = new Tree();
  const parts = [
    () => tree.write("etc/passwd", "root\n"),
    () => tree.add("usr/bin/x", { kind: "file", mode: 0o755, bytes: Buffer.alloc(513, 7) }),
    () => tree.add("bin", { kind: "link", target: "usr/bin" }),
    () => tree.add("tmp", { kind: "directory", mode: 0o1777 }),
    () => tree.write(LONG, ""),
    () => tree.write("usr-b", "after usr, before usr/bin only by bytes"),
  ];
  for (const part of reversed ? parts.toReversed() : parts) part();
  return tree;
}

async function listed(tar: Buffer, ...args: string[]): Promise<string[]> {
  const child = Bun.spawn(["tar", ...args], {
    stdin: tar,
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, LC_ALL: "C", TZ: "UTC" },
  });
  const text = await new Response(child.stdout).text();
  expect([await child.exited, await new Response(child.stderr).text()]).toEqual([0, ""]);
  return text.trimEnd().split("\n");
}

test("tar(1) reads it: names, kinds, modes, owners, times", async () => {
  const lines = await listed(tarOf(sample(), SECONDS), "-tv", "--numeric-owner");
  expect(lines.map((line) => line.replace(/ +/g, " "))).toEqual([
    "lrwxrwxrwx 0/0 0 2023-11-14 22:13 bin -> usr/bin",
    "drwxr-xr-x 0/0 0 2023-11-14 22:13 etc/",
    "-rw-r--r-- 0/0 5 2023-11-14 22:13 etc/passwd",
    "drwxrwxrwt 0/0 0 2023-11-14 22:13 tmp/",
    "drwxr-xr-x 0/0 0 2023-11-14 22:13 usr/",
    "-rw-r--r-- 0/0 39 2023-11-14 22:13 usr-b",
    "drwxr-xr-x 0/0 0 2023-11-14 22:13 usr/bin/",
    "-rwxr-xr-x 0/0 513 2023-11-14 22:13 usr/bin/x",
    "drwxr-xr-x 0/0 0 2023-11-14 22:13 usr/share/",
    `drwxr-xr-x 0/0 0 2023-11-14 22:13 usr/share/${"d".repeat(90)}/`,
    `-rw-r--r-- 0/0 0 2023-11-14 22:13 ${LONG}`,
  ]);
  expect(await listed(tarOf(sample(), SECONDS), "-xO", "etc/passwd")).toEqual(["root"]);
});

test("the order in which things were added does not matter, the time does", () => {
  expect(tarOf(sample(true), SECONDS).equals(tarOf(sample(), SECONDS))).toBe(true);
  expect(tarOf(sample(), SECONDS + 1).equals(tarOf(sample(), SECONDS))).toBe(false);
});

test("what does not fit is refused, not cut", () => {
  const tree = new Tree();
  tree.write("f".repeat(101), "");
  expect(() => tarOf(tree, 0)).toThrow("too long");
  const links = new Tree();
  links.add("a", { kind: "link", target: "t".repeat(101) });
  expect(() => tarOf(links, 0)).toThrow("too long");
});

test("a directory that is added after its files keeps them, and its mode", () => {
  const tree = new Tree();
  tree.add("tmp", { kind: "directory", mode: 0o1777 });
  tree.write("tmp/x", "");
  expect(tree.get("tmp")).toEqual({ kind: "directory", mode: 0o1777 });
});
