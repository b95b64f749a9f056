import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { appendFile, mkdir, mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { startTimeOf } from "../../../test/support/leftovers.ts";
import { until } from "../../../test/support/until.ts";
import { Copies, processesIn } from "./copies.ts";

const root = join(import.meta.dir, "../../..");

/** Two sources with a mutant each, whose tests are different ones: each worker runs its own. */
const SOURCES = {
  "scripts/lib/mutate/places.ts": `export const PLACES = [
  { name: "both", sources: ["hangs", "fails"].map((name) =>
    ({ file: "src/migration/" + name + ".ts", tests: [["src/migration/" + name + ".test.ts"]] })) },
];
`,
  "src/migration/hangs.ts": "export const hangs = true;\n",
  "src/migration/fails.ts": "export const fails = true;\n",
  // Starts a program of another process group, and hangs. The program's pid is outside the copies, which are removed soon after a failure.
  "src/migration/hangs.test.ts": `import { test } from "bun:test";
import { spawn } from "node:child_process";
import { renameSync, writeFileSync } from "node:fs";
test("hangs", async () => {
  const to = process.env.RDS_CSI_TEST_HANGS;
  writeFileSync(to + ".new", String(spawn("sleep", ["1000"], { detached: true, stdio: "ignore" }).pid));
  renameSync(to + ".new", to);
  await new Promise(() => setInterval(() => {}, 1000));
});
`,
  "src/migration/fails.test.ts": `import { test } from "bun:test";
import { existsSync } from "node:fs";
test("fails once the other one hangs", async () => {
  while (!existsSync(process.env.RDS_CSI_TEST_HANGS)) await Bun.sleep(5);
  throw new Error("fails");
});
`,
};

/** Directories to remove after a test. */
let made: string[] = [];
let base = "";
let temporary = "";
/** Where the tests that hang say what they have started. */
let pidFile = "";
/** A checkout with tests that hang and tests that fail. */
let checkout = "";
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), "rds-csi-copies-"));
  made = [base];
  pidFile = join(base, "pid");
  temporary = join(base, "t");
  await mkdir(temporary);
  checkout = await new Copies(root).make();
  made.push(checkout);
  for (const [file, text] of Object.entries(SOURCES)) await writeFile(join(checkout, file), text);
});
afterEach(async () => {
  const directories = made;
  made = [];
  const removed = await Promise.allSettled(directories.map((each) => new Copies(root).remove(each)));
  expect(removed.filter(({ status }) => status === "rejected")).toEqual([]);
});

const mutate = (...args: string[]) =>
  Bun.spawn([process.execPath, join(checkout, "scripts/lib/mutate/mutate.ts"), ...args], {
    cwd: checkout,
    env: { ...process.env, TMPDIR: temporary, RDS_CSI_TEST_HANGS: pidFile },
    stdout: "pipe",
    stderr: "pipe",
  });

/** Waits until tests hang in a copy. @returns the pid of what they have started */
async function hanging(): Promise<number> {
  let pid = "";
  await until("tests hang in a copy", async () => {
    pid = await readFile(pidFile, "utf8").catch(() => "");
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

test("a second signal ends a run at once, also while copies cannot be removed", async () => {
  const never = `Copies.prototype.close = () => {
  console.error("closing");
  return new Promise(() => setInterval(() => {}, 1000));
};
`;
  await appendFile(join(checkout, "scripts/lib/mutate/copies.ts"), never);
  const running = mutate();
  await hanging();
  running.kill("SIGTERM");
  const { value } = await running.stderr.getReader().read();
  expect(new TextDecoder().decode(value)).toBe("closing\n");
  running.kill("SIGINT");
  expect(await running.exited).toBe(130);
}, 60_000);

test("a process that stays ends the removal with an error at its limit, and the removal can be tried again", async () => {
  const copy = join(base, "copy");
  await mkdir(copy);
  // Beyond the largest pid.
  let staying = [2 ** 30];
  const copies = new Copies(root, { find: async () => staying, letGoMs: 100 });
  await expect(copies.remove(copy)).rejects.toThrow(`processes stay in ${copy}: ${2 ** 30}`);
  staying = [];
  await copies.remove(copy);
  expect(await readdir(base)).not.toContain("copy");
}, 60_000);
