import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { failure } from "../domain/errors/driver-error.ts";
import type { Command, Exec, ExecResult } from "../host/exec.ts";
import { createNodeSystem } from "../host/system.ts";
import { createKernelModule, type KernelModule } from "./kernel-module.ts";
import { createNvmeTcpDataPath } from "./nvme-tcp.ts";

const ABSENT = "modprobe: FATAL: Module nvme-tcp not found in directory /lib/modules/6.1.0\n";

let sysRoot = "";
let commands: Command[] = [];
let outcome: () => ExecResult = () => ended(0);
let logged: string[] = [];

const ended = (code: number, stderr = ""): ExecResult => ({ code, stdout: "", stderr, truncated: false });
const appear = () => mkdirSync(join(sysRoot, "module/nvme_tcp"), { recursive: true });
const exec: Exec = async (command) => {
  commands.push(command);
  return outcome();
};
const log = (message: string) => void logged.push(message);
const system = () =>
  createNodeSystem({ exec, sysRoot, logger: { debug: log, info: log, warn: log, error: log } as never });

let module: KernelModule;

beforeEach(() => {
  sysRoot = mkdtempSync(join(tmpdir(), "rds-csi-module-"));
  commands = [];
  logged = [];
  module = createKernelModule(system());
});
afterEach(() => rmSync(sysRoot, { recursive: true }));

test("loaded: nothing runs, nothing is wrong", async () => {
  appear();
  await module.load();
  expect([commands, await module.problem()]).toEqual([[], undefined]);
});

test("missing: modprobe runs once, with a deadline, and it is loaded", async () => {
  outcome = () => {
    appear();
    return ended(0);
  };
  await module.load();
  await module.load();
  expect(commands).toEqual([{ program: "modprobe", args: ["nvme-tcp"], deadlineMs: 20_000 }]);
  expect([await module.problem(), logged]).toEqual([undefined, ["kernel module loaded"]]);
});

test("this kernel has no such module: a problem with the kernel's words and the remedy, logged once", async () => {
  outcome = () => ended(1, ABSENT);
  await module.load();
  await module.load();
  expect(commands).toHaveLength(2);
  expect(logged).toEqual(["kernel module not loaded"]);
  expect(await module.problem()).toMatch(
    /^the kernel module nvme-tcp is not loaded, and modprobe cannot load it: modprobe: FATAL: Module nvme-tcp not found .*linux-modules-extra.*\/lib\/modules.*modules-load\.d$/,
  );
});

test("no modprobe, and one that hangs: problems too, no crash; repaired from outside, they are gone", async () => {
  for (const error of [
    failure("toolMissing", { tool: "modprobe" }),
    failure("deadlineExceeded", { what: "`modprobe nvme-tcp`", seconds: 20 }),
  ]) {
    outcome = () => {
      throw error;
    };
    await module.load();
    expect(await module.problem()).toContain(error.message);
  }
  appear();
  expect(await module.problem()).toBeUndefined();
});

test("the data path loads it when it is prepared, and has what went wrong among its problems", async () => {
  outcome = () => ended(1, ABSENT);
  const dataPath = createNvmeTcpDataPath(system(), { nqnPrefix: "nqn.2000-02.com.mikrotik" });
  expect((await dataPath.readinessProblems()).join()).toContain("nvme-tcp is not loaded. ");
  await dataPath.prepare?.();
  expect((await dataPath.readinessProblems()).join()).toContain("Module nvme-tcp not found");
  outcome = () => {
    appear();
    return ended(0);
  };
  await dataPath.prepare?.();
  expect((await dataPath.readinessProblems()).join()).not.toContain("nvme-tcp is not loaded");
});
