import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { until } from "../../test/support/until.ts";
import { helperCommand } from "./helper.ts";
import { createHelperProcesses } from "./helper-processes.ts";

const directory = mkdtempSync(join(tmpdir(), "rds-csi-helpers-"));
const program = join(directory, "helper.ts");
const command = [process.execPath, program];

beforeAll(() =>
  writeFileSync(
    program,
    `import { createInterface } from "node:readline";
await Bun.write(process.argv[1] + "." + process.pid + ".started", "");
for await (const line of createInterface({ input: process.stdin })) {
  const [number, what, length] = JSON.parse(line);
  if (what === "die") process.exit(3);
  if (what === "complain") { console.error("out of order"); process.exit(1); }
  if (what === "block") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  if (what === "work") for (let n = 0; n < 5; n++) { process.stderr.write("."); Bun.sleepSync(100); }
  if (what === "twice") console.log(number + " {}\\n" + (number + 1) + " {}");
  if (what === "stray") console.log("{}");
  console.log(number + " " + JSON.stringify({ pid: process.pid, filler: "x".repeat(length ?? 0) }));
}
await Bun.write(process.argv[1] + "." + process.pid + ".ended", "");`,
  ),
);
afterAll(() => rmSync(directory, { recursive: true }));

/** Asks one question. @returns process id of the helper that answered */
function asking(exec = createHelperProcesses(command)) {
  return async (
    args: readonly (string | number)[],
    more: { signal?: AbortSignal; ms?: number; quietMs?: number } = {},
  ) => {
    const { signal, ms = 20_000, quietMs } = more;
    const all = [program, ...args] as string[];
    const quiet = quietMs === undefined ? {} : { quietMs };
    const result = await exec({
      program: process.execPath as "nvme",
      args: all,
      deadlineMs: ms,
      signal,
      ...quiet,
    });
    return { ...result, pid: result.stdout === "" ? 0 : ((JSON.parse(result.stdout).pid ?? 0) as number) };
  };
}
/** Process ids of all helpers of this file that have begun. */
const started = () =>
  readdirSync(directory).flatMap((name) => (/\.(\d+)\.started$/.exec(name) ?? []).slice(1).map(Number));
const isThere = (pid: number) =>
  existsSync(`/proc/${pid}`) && !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));

describe("helper processes", () => {
  test("questions that follow each other have one process; questions at once have one each", async () => {
    const ask = asking();
    const first = await ask(["a"]);
    expect((await ask(["b"])).pid).toBe(first.pid);
    const pids = (await Promise.all([ask(["c"]), ask(["d"]), ask(["e"])])).map(({ pid }) => pid);
    expect(new Set(pids).size).toBe(3);
    expect(pids).toContain(first.pid);
  });

  test("a process that was prepared answers the first question, and is one only", async () => {
    const before = new Set(started());
    const fresh = () => started().filter((pid) => !before.has(pid));
    const exec = createHelperProcesses(command);
    exec.prepare?.();
    exec.prepare?.();
    await until("it runs", () => fresh().length > 0);
    expect((await asking(exec)(["a"])).pid).toBe(fresh()[0] ?? 0);
    exec.prepare?.();
    await asking(exec)(["b"]);
    expect(fresh()).toHaveLength(1);
  });

  test("a process that nothing is asked of ends by itself", async () => {
    const { pid } = await asking()(["a"]);
    await until("it ends by itself", () => existsSync(`${program}.${pid}.ended`));
    await until("it is gone", () => !isThere(pid));
  });

  test("a process that does not answer in time is killed, and the next question has another one", async () => {
    const ask = asking();
    const { pid } = await ask(["a"]);
    await expect(ask(["block"], { ms: 200 })).rejects.toMatchObject({ id: "deadlineExceeded" });
    await until("it is gone", () => !isThere(pid));
    expect((await ask(["b"])).pid).not.toBe(pid);
  });

  test("... so is one whose caller goes, or that gives no sign of life; one that works has its time", async () => {
    const ask = asking();
    const gone = new AbortController();
    const asked = ask(["block"], { signal: gone.signal });
    gone.abort();
    await expect(asked).rejects.toMatchObject({ id: "cancelled" });
    await expect(ask(["block"], { quietMs: 200 })).rejects.toMatchObject({ id: "deadlineExceeded" });
    expect((await ask(["work"], { quietMs: 400 })).pid).toBeGreaterThan(0);
  });

  test("the end of a process is a result with its reason, and no answer to a later question", async () => {
    const ask = asking();
    const { pid } = await ask(["a"]);
    expect(await ask(["die"])).toMatchObject({ code: 3, stdout: "" });
    expect(await ask(["complain"])).toMatchObject({ code: 1, stderr: "out of order\n" });
    expect((await ask(["b"])).pid).not.toBe(pid);
  });

  test("a process that ends while it waits is replaced", async () => {
    const ask = asking();
    const { pid } = await ask(["a"]);
    process.kill(pid, "SIGKILL");
    // A question that comes before the driver knows of the end fails with that end.
    await until("another one answers", async () => ![0, pid].includes((await ask(["b"])).pid));
  });

  test("a line that is no answer to the question is none, and no answer to the next one", async () => {
    const ask = asking();
    expect(await ask(["stray"])).toMatchObject({ code: null, stdout: "" });
    expect((await ask(["a"])).pid).toBeGreaterThan(0);
    expect(await ask(["twice"])).toMatchObject({ stdout: "{}" });
    expect((await ask(["b"])).pid).toBeGreaterThan(0);
  });

  test("those of a burst end although questions go on", async () => {
    const ask = asking();
    const burst = (await Promise.all(["a", "b", "c", "d"].map((each) => ask([each])))).map(({ pid }) => pid);
    await until("one is left", async () => {
      await ask(["e"]);
      return burst.filter(isThere).length === 1;
    });
  });

  test("the program's own helper: answers, and ends at a question that is none", async () => {
    const [program = "", ...prefix] = helperCommand();
    const exec = createHelperProcesses();
    const ask = (...args: string[]) =>
      exec({ program: program as "nvme", args: [...prefix, ...args], deadlineMs: 20_000 });
    expect(JSON.parse((await ask("ext4", "/dev/null")).stdout)).toMatchObject({ kind: "unreadable" });
    expect(JSON.parse((await ask("ext4", "/dev/line\u2028\u2029\n")).stdout)).toMatchObject({
      kind: "unreadable",
    });
    expect(await ask("nonsense", "x")).toMatchObject({ code: 2, stdout: "" });
    expect(JSON.parse((await ask("ext4", "/dev/null")).stdout)).toMatchObject({ kind: "unreadable" });
  });

  test("a long answer arrives whole; one without end is cut off", async () => {
    const ask = asking();
    expect(JSON.parse((await ask(["a", 1_000_000])).stdout).filler).toHaveLength(1_000_000);
    expect(await ask(["a", 5_000_000])).toMatchObject({ code: null, signal: "SIGKILL" });
  });

  test("a program that cannot be started is an error of the question", async () => {
    const exec = createHelperProcesses(["/bin/\0"]);
    const question = { program: "/bin/\0" as "nvme", args: ["a"], deadlineMs: 1_000 };
    await expect(exec(question)).rejects.toMatchObject({ id: "nodeCommandFailed" });
  });

  test("a program that is not there is named", async () => {
    const exec = createHelperProcesses(["/nowhere/helper"]);
    const question = { program: "/nowhere/helper" as "nvme", args: ["a"], deadlineMs: 1_000 };
    await expect(exec(question)).rejects.toMatchObject({ id: "toolMissing" });
  });
});
