import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { deviceNumber } from "../host/files.ts";
import { answerOf } from "../node/helper-main.ts";
import { scanDevices } from "./device-scan.ts";
import { createScanWork } from "./scan-work.ts";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "rds-scan-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

test("a process that has a file of the filesystem open is found by the device's number, once per device", () => {
  writeFileSync(join(directory, "f"), "");
  const device = deviceNumber(statSync(directory).dev);
  const open = openSync(join(directory, "f"), "r");
  try {
    const { users } = scanDevices(new Set([device, "7:77"]), new Set());
    const own = users.filter(({ pid }) => pid === process.pid);
    expect(own).toHaveLength(1);
    expect(own[0]).toMatchObject({ device });
    expect(own[0]?.how).toMatch(/^(fd \d+|cwd|root)$/);
    expect(users.some((user) => user.device === "7:77")).toBe(false);
  } finally {
    closeSync(open);
  }
});

test("processes that are to be ignored are", () => {
  const device = deviceNumber(statSync(directory).dev);
  const { users } = scanDevices(new Set([device]), new Set([process.pid]));
  expect(users.some(({ pid }) => pid === process.pid)).toBe(false);
});

test("a process that may not be looked into is counted; one that has just ended is not", () => {
  const procRoot = join(directory, "proc");
  for (const pid of ["10", "11"]) mkdirSync(join(procRoot, pid), { recursive: true });
  const refused = (path: string) => {
    // It ends between the look and the answer, which is then EACCES as well.
    if (path.includes("/10/")) rmSync(join(procRoot, "10"), { recursive: true });
    return undefined;
  };
  expect(scanDevices(new Set(["259:1"]), new Set(), procRoot, refused)).toMatchObject({
    users: [],
    hidden: 1,
  });
});

test("the helper takes device numbers only", () => {
  for (const text of ["", "1", "1:2,", "1:2,x", "/dev/sda"])
    expect(answerOf(["users", text])).toBeUndefined();
});

test("a process with too many descriptors is named instead of being looked at; the others are looked at", () => {
  const procRoot = join(directory, "crowd");
  const device = deviceNumber(statSync(directory).dev);
  for (const [pid, size] of [
    [20, 1_048_576],
    [21, 64],
  ]) {
    const base = join(procRoot, String(pid));
    for (const name of ["fd", "ns", "map_files"]) mkdirSync(join(base, name), { recursive: true });
    symlinkSync("mnt:[1]", join(base, "ns/mnt"));
    for (const name of ["maps", "mountinfo"]) writeFileSync(join(base, name), "");
    writeFileSync(join(base, "status"), `Name:\tx\nFDSize:\t${size}\n`);
    writeFileSync(join(base, "stat"), `${pid} (dup) S 1 1 1 0 -1 0\n`);
    symlinkSync(directory, join(base, "fd/3"));
  }
  const listed: string[] = [];
  const list = (path: string) => {
    listed.push(path);
    return ["3"];
  };
  const sizeOf = (base: string) => (base.endsWith("/20") ? 1_048_576 : 64);
  expect(scanDevices(new Set([device]), new Set(), procRoot, list, undefined, 50_000, sizeOf)).toEqual({
    users: [{ device, pid: 21, command: "dup", how: "fd 3" }],
    hidden: 1,
    crowded: ["process 20 (dup) has too many descriptors"],
  });
  expect(listed).toEqual([join(procRoot, "21/fd")]);
});

test("a scan that takes too long tells what it found, and names the process that made it long", () => {
  const procRoot = join(directory, "crowd");
  const device = deviceNumber(statSync(directory).dev);
  let time = 0;
  const now = () => {
    time += 1;
    return time;
  };
  const work = createScanWork({ procRoot, limitMs: 1, now, stride: 1 });
  const { hidden, crowded } = scanDevices(
    new Set([device]),
    new Set(),
    procRoot,
    () => ["3", "4", "5"],
    work,
  );
  expect(hidden).toBe(1);
  expect(crowded?.at(-1)).toContain("has 2 of 2 descriptors");
});
