import { type ChildProcess, execFile, spawn } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { loopsBelow, mountsBelow } from "../../../test/support/leftovers.ts";

const run = promisify(execFile);

/** What the tests need. */
const COPIED = [
  "src",
  "test",
  "scripts",
  "docs",
  "manifests",
  "package.json",
  "tsconfig.json",
  "bunfig.toml",
];
const LINKED = ["node_modules", "dist"];
/** Time for killed processes to end, and to let go of mounts and devices. */
const LET_GO_MS = 10_000;

/** Processes that run below a directory, or whose temporary directory is below it. */
export async function processesIn(directory: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const cwd = await readlink(`/proc/${name}/cwd`).catch(() => "");
    const environment = await readFile(`/proc/${name}/environ`, "utf8").catch(() => "");
    if (`${cwd}/`.startsWith(`${directory}/`) || `\0${environment}`.includes(`\0TMPDIR=${directory}/`))
      found.push(Number(name));
  }
  return found;
}

/** Whether the process is there to be killed is its own matter: it may have ended meanwhile. */
function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Ends a run of tests with all that it has started in its process group. */
function end({ pid }: ChildProcess): void {
  if (pid !== undefined) kill(-pid);
}

/** Copies of a repository, and the tests that run in them. */
export class Copies {
  readonly #repository: string;
  readonly #directories = new Set<string>();
  readonly #removing = new Map<string, Promise<void>>();
  readonly #making = new Set<Promise<unknown>>();
  readonly #running = new Set<ChildProcess>();
  readonly #find: typeof processesIn;
  readonly #letGoMs: number;
  #closing: Promise<void> | undefined;

  /** @param options how processes are found, and the time that they have to end: for tests */
  constructor(repository: string, { find = processesIn, letGoMs = LET_GO_MS } = {}) {
    this.#repository = repository;
    this.#find = find;
    this.#letGoMs = letGoMs;
  }

  /** Makes a copy of what the tests need. @returns its directory */
  async make(): Promise<string> {
    const making = this.#make();
    this.#making.add(making);
    try {
      return await making;
    } finally {
      this.#making.delete(making);
    }
  }

  async #make(): Promise<string> {
    this.#expectOpen();
    const copy = await mkdtemp(join(tmpdir(), "rds-csi-mutate-"));
    this.#directories.add(copy);
    for (const name of COPIED) {
      this.#expectOpen();
      await cp(join(this.#repository, name), join(copy, name), { recursive: true });
    }
    await mkdir(join(copy, "tmp"));
    for (const name of LINKED) await symlink(join(this.#repository, name), join(copy, name));
    this.#expectOpen();
    return copy;
  }

  #expectOpen(): void {
    if (this.#closing !== undefined) throw new Error("the copies are being removed");
  }

  /** Runs tests in a copy until one fails; they are killed at the limit. @returns whether all pass */
  async pass(
    copy: string,
    tests: readonly string[],
    limitMs: number,
  ): Promise<{ passed: boolean; output: string }> {
    this.#expectOpen();
    const args = ["test", "--bail", "--timeout=60000", ...tests.map((each) => `./${each}`)];
    const child = spawn(process.execPath, args, {
      cwd: copy,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
      // A run that ends at its first failure leaves its files behind: they go with the copy.
      env: { ...process.env, TMPDIR: join(copy, "tmp") },
    });
    this.#running.add(child);
    const timer = setTimeout(() => end(child), limitMs);
    try {
      return await new Promise((done, fail) => {
        let output = "";
        child.stdout.on("data", (data) => (output += data));
        child.stderr.on("data", (data) => (output += data));
        child.on("error", fail);
        child.on("close", (code) => done({ passed: code === 0, output }));
      });
    } finally {
      clearTimeout(timer);
      this.#running.delete(child);
    }
  }

  /**
   * Ends what runs in a copy, and removes it with its mounts and loop devices. A removal that failed may be tried again.
   * @throws Error if something stays
   */
  remove(copy: string): Promise<void> {
    const removing =
      this.#removing.get(copy) ?? this.#remove(copy).finally(() => this.#removing.delete(copy));
    this.#removing.set(copy, removing);
    return removing;
  }

  async #remove(copy: string): Promise<void> {
    for (const until = performance.now() + this.#letGoMs; ; await delay(50)) {
      try {
        for (const pid of await this.#find(copy)) kill(pid);
        for (const path of await mountsBelow(copy)) await run("umount", [path]);
        for (const device of await loopsBelow(copy)) await run("losetup", ["--detach", device]);
        await rm(copy, { recursive: true, force: true });
        const left = await this.#find(copy);
        if (left.length === 0) break;
        throw new Error(`processes stay in ${copy}: ${left.join(" ")}`);
      } catch (error) {
        if (performance.now() > until) throw error;
      }
    }
    this.#directories.delete(copy);
  }

  /** Ends all tests and removes all copies, also one that is being made. Nothing begins after that. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const child of this.#running) end(child);
    await Promise.allSettled(this.#making);
    const removed = await Promise.allSettled([...this.#directories].map((copy) => this.remove(copy)));
    const failed = removed.find((each) => each.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }
}
