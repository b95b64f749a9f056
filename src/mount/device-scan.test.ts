import { afterAll, beforeAll, expect, test } from "bun:test";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { runNodeHelper } from "../node/helper-main.ts";
import { deviceNumber } from "./device-number.ts";
import { scanDevices } from "./device-scan.ts";

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
  expect(scanDevices(new Set(["259:1"]), new Set(), procRoot, refused)).toEqual({ users: [], hidden: 1 });
});

test("the helper takes device numbers only", () => {
  for (const text of ["", "1", "1:2,", "1:2,x", "/dev/sda"]) expect(runNodeHelper(["users", text])).toBe(2);
});
