import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { makeCgroups, removeCgroups } from "./leftovers.ts";
import { attempt, type Ran, type RunOptions, run, until } from "./run.ts";

const NAMESPACES = ["--net", "--mount", "--uts", "--ipc", "--pid", "--cgroup"];
const repository = resolve(import.meta.dirname, "../..");

/** Paths inside of every machine; machine.sh makes them. */
export const INSIDE = {
  bin: "/run/cluster/bin",
  repository: "/run/cluster/repository",
  /** The machine's own directory. */
  machine: "/run/cluster/machine",
  rds: "/var/lib/kubelet/rds",
} as const;

export interface Place {
  /** The directory of the cluster. */
  readonly state: string;
  /** The directory with the programs that build.sh made. */
  readonly programs: string;
}

/** Name of the control group of a cluster, which has one for each machine. */
export function cgroupOf({ state }: Place): string {
  return `rds-csi-cluster-${createHash("sha256").update(state).digest("hex").slice(0, 8)}`;
}

/**
 * Shell: moves the shell into the machine's control groups: of version 2, which has one hierarchy, or of each hierarchy of version 1.
 * 0 means the process that writes. Source: cgroups(7).
 */
const JOIN_OWN =
  "if [ -e /sys/fs/cgroup/init ]; then echo 0 >/sys/fs/cgroup/init/cgroup.procs; else for f in /sys/fs/cgroup/*/cgroup.procs; do echo 0 >$f; done; fi;";

/** The first process of a machine, as this computer sees it. Number and start time together name one process for ever. */
interface First {
  readonly pid: number;
  readonly started: string;
}

/**
 * A computer of the cluster that is none: namespaces for network, mounts, processes, host name and IPC. The end of its first process
 * ends everything in it, and the kernel takes back its mounts and addresses.
 */
export class Machine {
  readonly name: string;
  readonly directory: string;
  readonly #logs: string;
  readonly #first: First;

  private constructor(name: string, place: Place, first: First) {
    this.name = name;
    this.directory = join(place.state, name);
    this.#logs = join(place.state, "log");
    this.#first = first;
  }

  /** Starts a machine whose programs can be started then. */
  static async start(name: string, place: Place): Promise<Machine> {
    const directory = join(place.state, name);
    const [rds, logs] = [join(place.state, "rds"), join(place.state, "log")];
    for (const each of [directory, rds, logs]) await mkdir(each, { recursive: true });
    await rm(join(directory, "ready"), { force: true });
    const groups = join(cgroupOf(place), name);
    // What an earlier run of the machine has left.
    await removeCgroups(groups);
    const joining = (await makeCgroups(groups)).map((group) => `echo 0 >${group}/cgroup.procs;`).join(" ");
    const log = openSync(join(logs, `${name}.log`), "a");
    const script = join(import.meta.dirname, "machine.sh");
    const args = [...NAMESPACES, "--fork", "--mount-proc", "--propagation", "slave", script, name, directory];
    const command = ["unshare", ...args, join(place.programs, "bin"), repository, rds];
    const child = spawn("sh", ["-c", `${joining} exec "$@"`, "sh", ...command], {
      stdio: ["ignore", log, log],
      detached: true,
    });
    closeSync(log);
    child.unref();
    const { pid } = child;
    if (pid === undefined) throw new Error("unshare cannot be started");
    await until(`the machine ${name}`, () => existsSync(join(directory, "ready")), {
      timeoutMs: 10_000,
      pauseMs: 20,
      explain: () => readFile(join(logs, `${name}.log`), "utf8"),
    });
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8");
    const first = Number(children.trim().split(" ")[0]);
    const started = startOf(first);
    if (started === undefined) throw new Error(`the machine ${name} has no first process`);
    await writeFile(join(directory, "first.json"), JSON.stringify({ pid: first, started }));
    return new Machine(name, place, { pid: first, started });
  }

  /** The machine that an earlier process started; undefined if it does not run. */
  static async find(name: string, place: Place): Promise<Machine | undefined> {
    const text = await readFile(join(place.state, name, "first.json"), "utf8").catch(() => undefined);
    if (text === undefined) return undefined;
    const first = JSON.parse(text) as First;
    return startOf(first.pid) === first.started ? new Machine(name, place, first) : undefined;
  }

  /** Process number of the first process on this computer. */
  get pid(): number {
    return this.#first.pid;
  }

  #enter(command: readonly string[]): string[] {
    return ["--target", String(this.#first.pid), ...NAMESPACES, "--", ...command];
  }

  /** Arguments of `nsenter` for a command in the machine. */
  entering(...command: string[]): string[] {
    return this.#enter(command);
  }

  /** Runs a program in the machine that has to succeed. */
  run(program: string, args: readonly string[], options?: RunOptions): Promise<string> {
    return run("nsenter", this.#enter([program, ...args]), options);
  }

  /** Runs a program in the machine, whatever its exit code. */
  attempt(program: string, args: readonly string[], options?: RunOptions): Promise<Ran> {
    return attempt("nsenter", this.#enter([program, ...args]), options);
  }

  /** Starts a program that stays; its output goes to the log `<name>.log`. A relative program is one of build.sh. */
  async daemon(name: string, command: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const log = openSync(this.log(name), "a");
    const pidFile = `${INSIDE.machine}/${name}.pid`;
    await rm(join(this.directory, `${name}.pid`), { force: true });
    // Its number in the machine is the one that can be killed for sure. In the background, as nsenter stops with a stopped program that it
    // waits for, and then never takes its exit code.
    const start = ["sh", "-c", `${JOIN_OWN} "$@" & echo $! >${pidFile}`, name, ...command];
    const child = spawn("nsenter", this.#enter(start), {
      stdio: ["ignore", log, log],
      detached: true,
      env: { PATH: `${INSIDE.bin}:/usr/sbin:/usr/bin:/sbin:/bin`, HOME: "/root", ...env },
    });
    closeSync(log);
    child.unref();
    await until(`${name} of ${this.name}`, () => this.#pidOf(name) !== undefined, {
      timeoutMs: 10_000,
      pauseMs: 20,
    });
  }

  log(name: string): string {
    return join(this.#logs, `${name}-${this.name}.log`);
  }

  #pidOf(name: string): string | undefined {
    const file = join(this.directory, `${name}.pid`);
    return existsSync(file) ? readFileSync(file, "utf8").trim() || undefined : undefined;
  }

  /** Sends a signal to a program that `daemon` started; true if it was there. */
  async signal(name: string, signal: "TERM" | "KILL" | "STOP" | "CONT" | "0"): Promise<boolean> {
    const pid = this.#pidOf(name);
    if (pid === undefined) return false;
    return (await this.attempt("sh", ["-c", `kill -${signal} ${pid}`])).code === 0;
  }

  /** Kills a program that `daemon` started, and waits until it has let go of what it had. @returns whether it was there */
  async kill(name: string): Promise<boolean> {
    if (!(await this.signal(name, "KILL"))) return false;
    await until(`the end of ${name} of ${this.name}`, async () => !(await this.signal(name, "0")), {
      timeoutMs: 30_000,
      pauseMs: 50,
    });
    return true;
  }

  /** Waits until something answers; ends sooner if the program that it waits for has ended. */
  async await(name: string, ask: () => Promise<boolean>, timeoutMs = 60_000): Promise<void> {
    const tail = async () =>
      (await readFile(this.log(name), "utf8").catch(() => "")).split("\n").slice(-15).join("\n");
    let ended = false;
    await until(
      `${name} of ${this.name}`,
      async () => {
        if (await ask().catch(() => false)) return true;
        ended = !(await this.signal(name, "0"));
        return ended;
      },
      { timeoutMs, explain: tail },
    );
    if (ended) throw new Error(`${name} of ${this.name} ended:\n${await tail()}`);
  }

  /** Ends the machine, as when its plug is pulled. */
  async end(): Promise<void> {
    if (startOf(this.#first.pid) === this.#first.started) process.kill(this.#first.pid, "SIGKILL");
    await until(
      `the end of the machine ${this.name}`,
      () => startOf(this.#first.pid) !== this.#first.started,
      {
        timeoutMs: 30_000,
      },
    );
    // The kernel takes mounts and addresses back a moment after the last process.
    await delay(50);
  }
}

/** When a process started, in ticks since boot; undefined if there is none, or it is dead and not yet waited for. */
export function startOf(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined;
  }
  // The name before it may hold spaces and parentheses. Source: proc_pid_stat(5).
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
}
