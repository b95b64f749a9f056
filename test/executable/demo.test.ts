import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  rmdir,
  symlink,
  unlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { executable, hasProgram, isRoot, noDevices, repository } from "../support/executable.ts";
import { loopsBelow, mountsBelow, processesBelow, startTimeOf } from "../support/leftovers.ts";
import { exists, until } from "../support/stand.ts";

// The demo, and what becomes of it when it or one of its processes is killed at several points.

const DEMO = join(repository, "test/demo/demo.ts");
const DONE = /^ +[\d.]+ s {2}done, nothing is left behind/m;

let parent = "";
beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), "rc-demo-"));
});
afterAll(async () => {
  if (parent !== "") await rmdir(parent);
});

interface Demo {
  readonly child: ChildProcess;
  /** Everything that was printed so far. */
  text(): string;
  /** Exit code, or signal name. */
  readonly ended: Promise<string>;
  /** Waits until it has printed something. */
  printed(what: RegExp | string): Promise<void>;
}

function start(directory: string, env: Record<string, string> = {}, prefix: readonly string[] = []): Demo {
  const [program = "", ...args] = [...prefix, process.execPath, DEMO];
  const child = spawn(program, args, {
    env: {
      PATH: process.env.PATH ?? "",
      RDS_CSI_DEMO_DIR: directory,
      RDS_CSI_EXECUTABLE: executable,
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  let over: string | undefined;
  child.stdout.on("data", (data) => (text += data));
  child.stderr.on("data", (data) => (text += data));
  const ended = new Promise<string>((resolve) =>
    child.on("exit", (code, signal) => {
      over = signal ?? String(code);
      resolve(over);
    }),
  );
  return {
    child,
    text: () => text,
    ended,
    printed: (what) =>
      until(`"${what}"`, async () => {
        if (text.search(what) >= 0) return true;
        if (over !== undefined) throw new Error(`the demo ended with ${over} before "${what}":\n${text}`);
        return false;
      }),
  };
}

/** The exit code and everything printed. */
async function run(directory: string, env?: Record<string, string>, prefix?: readonly string[]) {
  const demo = start(directory, env, prefix);
  const code = await demo.ended;
  return { code, text: demo.text() };
}

async function leftOf(directory: string): Promise<string[]> {
  const files = (await readdir(parent)).filter((name) => join(parent, name).startsWith(directory));
  const processes = (await processesBelow(directory)).map(({ pid }) => `process ${pid}`);
  return [...files, ...processes, ...(await mountsBelow(directory)), ...(await loopsBelow(directory))];
}

/** Process ids of simulator, controller and nodes, in the order in which they were started. */
async function pidsOf(directory: string): Promise<number[]> {
  const text = await readFile(join(directory, "processes"), "utf8");
  return text.split("\n").flatMap((line) => (line === "" ? [] : [Number(line.split(" ")[0])]));
}

const POINTS = {
  "everything runs": "a simulated RDS, a controller and two nodes run",
  "a volume is attached": "demo-files: attached to node-a",
  "a filesystem is mounted": "a workload wrote",
  "the volume has moved": "demo-files: attached to node-b",
  "a block volume is attached": "demo-block: attached to node-b",
  "a migration runs under a writer": "node-a and node-b are both attached",
} as const;

describe.skipIf(noDevices !== "")(`the demo as root ${noDevices}`, () => {
  test("passes and leaves nothing", async () => {
    const directory = join(parent, "plain");
    const { code, text } = await run(directory);
    expect(text).toMatch(DONE);
    expect(code).toBe("0");
    expect(await leftOf(directory)).toEqual([]);
  });

  const startUps = { "the simulator is being started": 1, "the nodes are being started": 3 };
  for (const point of [...Object.keys(startUps), ...Object.keys(POINTS)]) {
    test(`killed itself when ${point}: the next run removes what was left, and passes`, async () => {
      const directory = join(parent, "killed");
      const demo = start(directory);
      if (point in startUps) {
        const count = startUps[point as keyof typeof startUps];
        await until(point, async () => (await pidsOf(directory).catch(() => [])).length >= count);
      } else await demo.printed(POINTS[point as keyof typeof POINTS]);
      demo.child.kill("SIGKILL");
      expect(await demo.ended).toBe("SIGKILL");
      expect(await exists(directory)).toBe(true);
      const { code, text } = await run(directory);
      expect(text).toContain("left by an earlier run, removed: process ");
      expect(text).toMatch(DONE);
      expect(code).toBe("0");
      expect(await leftOf(directory)).toEqual([]);
    }, 240_000);
  }

  for (const [victim, index] of [
    ["the simulator", 0],
    ["the controller", 1],
    ["node-a", 2],
    ["node-b", 3],
  ] as const) {
    for (const point of [
      "a volume is attached",
      "a filesystem is mounted",
      "a block volume is attached",
    ] as const) {
      test(`${victim} is killed when ${point}: exit 1 with the reason, nothing is left`, async () => {
        const directory = join(parent, "victim");
        const demo = start(directory);
        await demo.printed(POINTS[point]);
        const pid = (await pidsOf(directory))[index] ?? 0;
        expect(await startTimeOf(pid)).toBeDefined();
        process.kill(pid, "SIGKILL");
        expect(await demo.ended).toBe("1");
        expect(demo.text()).toMatch(/^demo failed: /m);
        expect(demo.text()).not.toMatch(DONE);
        expect(await leftOf(directory)).toEqual([]);
      }, 240_000);
    }
  }

  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    test(`${signal} in the middle: exit 1, nothing is left`, async () => {
      const directory = join(parent, "signal");
      const demo = start(directory);
      await demo.printed(POINTS["a filesystem is mounted"]);
      demo.child.kill(signal);
      expect(await demo.ended).toBe("1");
      expect(demo.text()).toContain(`demo failed: received ${signal}`);
      expect(await leftOf(directory)).toEqual([]);
    }, 240_000);
  }

  test("a second one at the same time is refused, and the first does not notice", async () => {
    const directory = join(parent, "twice");
    const first = start(directory);
    await first.printed(POINTS["everything runs"]);
    const second = await run(directory);
    expect(second).toEqual({
      code: "1",
      text: `demo failed: process ${first.child.pid} is at work there (lock ${directory}.lock)\n`,
    });
    expect(await first.ended).toBe("0");
    expect(first.text()).toMatch(DONE);
    expect(await leftOf(directory)).toEqual([]);
  });

  test("of five at once exactly one runs", async () => {
    const directory = join(parent, "five");
    const runs = await Promise.all(Array.from({ length: 5 }, () => run(directory)));
    expect(runs.map(({ code }) => code).sort()).toEqual(["0", "1", "1", "1", "1"]);
    for (const { code, text } of runs) {
      if (code === "1") expect(text).toContain("demo failed: process ");
    }
    expect(await leftOf(directory)).toEqual([]);
  }, 240_000);

  test("the lock of a dead process is taken over, also when its pid is in use again; other files are not", async () => {
    const directory = join(parent, "lock");
    const lock = `${directory}.lock`;
    await writeFile(lock, `${process.pid} 1\n`);
    expect((await run(directory)).code).toBe("0");
    expect(await leftOf(directory)).toEqual([]);
    await writeFile(lock, "my notes");
    expect(await run(directory)).toEqual({
      code: "1",
      text: `demo failed: ${lock} is not a lock file; remove it by hand\n`,
    });
    expect(await readFile(lock, "utf8")).toBe("my notes");
    await unlink(lock);
  });

  test("a directory that is not the demo's is left alone: with files, of another user, writable for all, a link", async () => {
    const directory = join(parent, "foreign");
    const precious = join(directory, "precious");
    await mkdir(directory, { mode: 0o700 });
    await writeFile(precious, "x");
    const refusal = async () => {
      const { code, text } = await run(directory);
      expect(code).toBe("1");
      expect(text).toMatch(new RegExp(`^demo failed: ${directory} is not .*; nothing is touched\n$`));
      expect(await readFile(precious, "utf8")).toBe("x");
    };
    await refusal();
    // What another user could prepare in /tmp: a list of processes for root to kill.
    await writeFile(join(directory, ".rds-csi-stand"), "");
    await writeFile(join(directory, "processes"), `${process.pid} ${await startTimeOf(process.pid)}\n`);
    await chown(directory, 65_534, 65_534);
    await refusal();
    await chown(directory, 0, 0);
    await chmod(directory, 0o777);
    await refusal();
    await rm(directory, { recursive: true });
    const elsewhere = join(parent, "elsewhere");
    await mkdir(elsewhere);
    await writeFile(join(elsewhere, "precious"), "x");
    await symlink(elsewhere, directory);
    await refusal();
    await unlink(directory);
    await rm(elsewhere, { recursive: true });
  });
});

const noOtherUser = !isRoot
  ? "(skipped: not root)"
  : hasProgram("setpriv")
    ? ""
    : "(skipped: setpriv not installed)";
describe.skipIf(noOtherUser !== "")(`the demo as a normal user ${noOtherUser}`, () => {
  const user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  let home = "";
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "rc-user-"));
    await chown(home, 65_534, 65_534);
  });
  afterAll(async () => {
    if (home !== "") await rm(home, { recursive: true });
  });

  test("shows the control plane, says what it left out and why, leaves nothing", async () => {
    const directory = join(home, "d");
    const { code, text } = await run(directory, { HOME: home, TMPDIR: home }, user);
    expect(text).toContain(
      "control plane only (not running as root): no formatting, mounting or writing is shown",
    );
    expect(text).toContain("demo-files: attached to node-b as nqn.");
    expect(text).toMatch(/done, nothing is left behind \(data path left out: not running as root\)\n$/);
    expect(code).toBe("0");
    expect((await readdir(home)).filter((name) => name.startsWith("d"))).toEqual([]);
    expect(await processesBelow(directory)).toEqual([]);
  });

  test("killed, and run again", async () => {
    const directory = join(home, "e");
    const demo = start(directory, { HOME: home, TMPDIR: home }, user);
    await demo.printed(POINTS["a volume is attached"]);
    demo.child.kill("SIGKILL");
    await demo.ended;
    const { code, text } = await run(directory, { HOME: home, TMPDIR: home }, user);
    expect(text).toContain("left by an earlier run, removed: process ");
    expect([code, await processesBelow(directory)]).toEqual(["0", []]);
  }, 240_000);
});
