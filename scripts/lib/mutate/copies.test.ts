import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { startTimeOf } from "../../../test/support/leftovers.ts";
import { until } from "../../../test/support/until.ts";
import { Copies, processesIn } from "./copies.ts";

const root = join(import.meta.dir, "../../..");

/** The first run of it starts a program of another process group, and hangs; the next one fails. */
const HANGS_ONCE = `import { test } from "bun:test";
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
test("hangs once", async () => {
  mkdirSync(process.env.RDS_CSI_TEST_HANGS);
  writeFileSync("hangs", String(spawn("sleep", ["1000"], { detached: true, stdio: "ignore" }).pid));
  await new Promise(() => setInterval(() => {}, 1000));
});
`;

let base = "";
let temporary = "";
/** A checkout whose tests of migration hang or fail. */
let checkout = "";
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), "rds-csi-copies-"));
  temporary = join(base, "t");
  await mkdir(temporary);
  process.env.RDS_CSI_TEST_HANGS = join(base, "lock");
  const copies = new Copies(root);
  checkout = await copies.make();
  await writeFile(join(checkout, "src/migration/hangs.test.ts"), HANGS_ONCE);
  // The others would take a while, and be stopped by the first failure.
  for (const name of await readdir(join(checkout, "src/migration")))
    if (name.endsWith(".test.ts") && name !== "hangs.test.ts")
      await rm(join(checkout, "src/migration", name));
});
afterEach(async () => {
  for (const pid of await processesIn(base)) process.kill(pid, "SIGKILL");
  await new Copies(root).remove(checkout);
  await rm(base, { recursive: true, force: true });
});

const FILE = "src/migration/guard.ts";
const mutate = (...args: string[]) =>
  Bun.spawn([process.execPath, join(root, "scripts/lib/mutate/mutate.ts"), "--file", FILE, ...args], {
    cwd: checkout,
    env: { ...process.env, TMPDIR: temporary },
    stdout: "pipe",
    stderr: "pipe",
  });

/** Waits until tests hang in a copy. @returns the pid of what they have started */
async function hanging(): Promise<number> {
  let pid = "";
  await until("tests hang in a copy", async () => {
    for (const copy of await readdir(temporary))
      pid = await readFile(join(temporary, copy, "hangs"), "utf8").catch(() => pid);
    return pid !== "";
  });
  return Number(pid);
}

describe("of a run of mutants nothing is left, neither copy nor process,", () => {
  const nothing = async (sleeping: number) => {
    expect(await readdir(temporary)).toEqual([]);
    expect(await processesIn(temporary)).toEqual([]);
    expect(await startTimeOf(sleeping)).toBeUndefined();
  };

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)(
    "after %s",
    async (signal, status) => {
      const running = mutate();
      const sleeping = await hanging();
      running.kill(signal);
      expect(await running.exited).toBe(status);
      await nothing(sleeping);
    },
    60_000,
  );

  test("after a signal while the copies are made", async () => {
    const running = mutate("--jobs", "2");
    await until("a copy is begun", async () => (await readdir(temporary)).length > 0);
    running.kill("SIGTERM");
    expect(await running.exited).toBe(143);
    expect(await readdir(temporary)).toEqual([]);
  }, 60_000);

  test("after tests that fail without a mutant, while those of another copy hang", async () => {
    const running = mutate("--jobs", "2");
    const sleeping = await hanging();
    expect(await running.exited).toBe(1);
    expect(await new Response(running.stderr).text()).toContain("fail without a mutant");
    await nothing(sleeping);
  }, 60_000);
});
