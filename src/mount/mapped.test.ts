import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mappedDevices } from "./mapped.ts";

const REMOTE = { namespace: "mnt:[1]", devices: new Set<string>() };
let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "rds-csi-mapped-"));
  mkdirSync(join(directory, "map_files"));
  writeFileSync(join(directory, "f"), "");
});
afterAll(() => rmSync(directory, { recursive: true }));

const line = (address: number, inode: number) =>
  `${address.toString(16)}-${(address + 0x1000).toString(16)} r--p 00000000 00:06 ${inode} /memfd:x (deleted)\n`;

test("a process that maps another file at each look hides none of the devices that it maps, and stands in nobody's way", () => {
  let look = 0;
  const read = () => {
    look += 1;
    return line(0x1000 * look, 100 + look);
  };
  expect(mappedDevices(directory, REMOTE, new Map(), () => {}, read)).toEqual([
    { device: "0:6", what: "file" },
  ]);
  expect(look).toBe(2);
});

test("a mapping that moves is looked for until it stands still", () => {
  symlinkSync(join(directory, "f"), join(directory, "map_files/6000-7000"));
  let look = 0;
  const read = () => {
    look += 1;
    return line(0x1000 * look, 100);
  };
  expect(mappedDevices(directory, REMOTE, new Map(), () => {}, read)).toEqual([
    { device: "0:6", what: "file" },
  ]);
  expect(look).toBe(6);
});

test("a mapping that is there at each look and has moved each time may be one of a device", () => {
  let look = 0;
  const read = () => {
    look += 1;
    return line(0x10_0000 * look, 100);
  };
  expect(() => mappedDevices(directory, REMOTE, new Map(), () => {}, read)).toThrow(
    "changed while it was read",
  );
});

test("a mapped file counts, whatever its name holds", () => {
  for (const name of ["a\rb", "a\u0085b", "a b", "\u00a0", "a\\012b"]) {
    const text = `1000-2000 rw-s 00000000 103:0a 7    /mnt/${name}\n`;
    symlinkSync(join(directory, "f"), join(directory, "map_files/1000-2000"));
    expect(
      mappedDevices(
        directory,
        REMOTE,
        new Map(),
        () => {},
        () => text,
      ),
    ).toEqual([{ device: "259:10", what: "file" }]);
    rmSync(join(directory, "map_files/1000-2000"));
  }
});

test("mappings without a file count for nothing; text that is no mapping may hide one", () => {
  const right =
    "1000-2000 rw-p 00000000 00:00 0 \n2000-3000 rw-p 00000000 00:00 0                          [heap]\n" +
    "3000-4000 rw-s 00000000 00:01 9 anon_inode:[x]\n";
  const look = (text: string) =>
    mappedDevices(
      directory,
      REMOTE,
      new Map(),
      () => {},
      () => text,
    );
  expect(look(right)).toEqual([]);
  expect(look("")).toEqual([]);
  for (const text of ["\0\0\0", "x", "1000-2000 rw-s 00000000 103:0a", `${right}1000-2000 rw-s`])
    expect(() => look(text)).toThrow("unknown form");
});
