import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createNodeSystem } from "../node/system.ts";
import { blockUsers } from "./users.ts";

const NUMBER = "259:1";
let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "rds-csi-users-"));
  mkdirSync(join(root, "proc/self"), { recursive: true });
  mkdirSync(join(root, `sys/dev/block/${NUMBER}/holders`), { recursive: true });
  mkdirSync(join(root, "sys/block"), { recursive: true });
  writeFileSync(join(root, "proc/self/mountinfo"), "");
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const users = (unreadable: number, blind: "refuse" | "ignore") => {
  const system = createNodeSystem({
    procRoot: join(root, "proc"),
    sysRoot: join(root, "sys"),
    exec: async () => ({ code: 1, stdout: "", stderr: "", truncated: false }),
    helper: {
      lookForData: () => Promise.reject(new Error("unused")),
      ext4State: () => Promise.reject(new Error("unused")),
      inspect: async () => ({ exclusive: "free", detail: "", processes: { uses: [], unreadable } }),
    },
  });
  const device = {
    name: "nvme0n1",
    path: "/dev/nvme0n1",
    number: NUMBER,
    nqn: "nqn",
    sizeBytes: 1n,
    readOnly: false,
  };
  return blockUsers(system, device, blind);
};

test("a process that may not be looked into may be the user: unknown, not unused", async () => {
  await expect(users(1, "refuse")).rejects.toMatchObject({ id: "nodeStateUnknown", code: 14 });
  expect(await users(0, "refuse")).toEqual([]);
  expect(await users(1, "ignore")).toEqual([]);
});
