import { access, copyFile, mkdir, readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { Controller, type Node } from "../../src/csi/gen/csi_pb.ts";
import type { ServiceClient } from "../support/csi-client.ts";
import { executable } from "../support/executable.ts";
import { cleanUp } from "../support/leftovers.ts";
import type { Running } from "../support/processes.ts";
import { type Stand, startStand } from "../support/stand.ts";
import { Clocks } from "./clock.ts";
import { Cluster } from "./cluster.ts";
import { type Descriptors, descriptorsOf } from "./descriptors.ts";
import { type Asked, Ends } from "./ends.ts";
import type { History } from "./history.ts";
import { within } from "./limit.ts";
import { NODES, type Plan } from "./plan.ts";

/** So that ten seconds after SIGTERM are no excuse for a call that is still answered. */
const DRAIN = ["--shutdown-timeout-seconds", "5"];

/** Replicas are told apart by it. */
const podName = ({ orchestrator }: Plan, name: string): readonly string[] =>
  orchestrator === "kubernetes" ? ["--pod-name", name] : [];

/** How long a process was not itself: killed, stopped or starting. `to` is undefined while it lasts. */
interface Disturbance {
  readonly from: number;
  to: number | undefined;
}

/** A stand of the compiled executable, whose processes the campaign kills, stops and starts. */
export class Site {
  readonly #processes = new Map<string, Running>();
  readonly #disturbances = new Map<string, Disturbance[]>();
  readonly #queues = new Map<string, Promise<unknown>>();
  readonly #controllers: ServiceClient<typeof Controller>[] = [];
  readonly stand: Stand;
  readonly cluster: Cluster | undefined;
  readonly #plan: Plan;
  readonly clocks: Clocks;
  readonly #history: History;
  readonly #ends: Ends;
  #abandoned = false;

  private constructor(
    { plan, history }: { plan: Plan; history: History },
    stand: Stand,
    cluster: Cluster | undefined,
    clocks: Clocks,
  ) {
    this.#plan = plan;
    this.#history = history;
    this.#ends = new Ends((what) => this.#ended(what));
    this.stand = stand;
    this.cluster = cluster;
    this.clocks = clocks;
    this.#take("simulator", stand.simulator);
    this.#take("controller-0", stand.controllerProcess);
    for (const [name, running] of stand.nodeProcesses) this.#take(name, running);
    this.#controllers.push(stand.controller);
  }

  #take(name: string, running: Running): void {
    void running.wait().then(() => this.clocks.forget(running.pid));
    this.#processes.set(name, this.#ends.watch(name, running));
  }

  #ended(what: string): void {
    if (!this.#abandoned) this.#history.add({ fact: "ended", what });
  }

  /** Starts the installation of a round in `directory`. */
  static async start(plan: Plan, directory: string, history: History): Promise<Site> {
    await mkdir(directory);
    const cluster = plan.orchestrator === "kubernetes" ? await Cluster.start(directory) : undefined;
    try {
      const clocks = await Clocks.install(executable, join(directory, "clocks"));
      const stand = await startStand({
        executable: clocks.executable,
        directory: join(directory, "s"),
        profile: plan.profile,
        nodes: NODES,
        simulate: Object.entries(plan.switches).flatMap(([name, value]) => ["--switch", `${name}=${value}`]),
        controller: [...DRAIN, "--fencing", plan.fencing, "--online-expansion", plan.onlineExpansion],
        firstController: podName(plan, "controller-0"),
        node: [...DRAIN, ...(cluster?.nodeFlags ?? [])],
        ...(cluster === undefined ? {} : { orchestrator: cluster.flags }),
      });
      const site = new Site({ plan, history }, stand, cluster, clocks);
      for (let index = 1; index < plan.controllers; index += 1) {
        const name = `controller-${index}`;
        site.#take(name, await site.#startAgain(name));
        site.#controllers.push(stand.connect(Controller, join(stand.directory, `${name}.sock`)));
      }
      return site;
    } catch (error) {
      await cluster?.stop();
      throw error;
    }
  }

  get services(): string[] {
    return [...this.#processes.keys()].filter((name) => name !== "simulator");
  }

  pid(process: string): number {
    return this.#processes.get(process)?.pid ?? 0;
  }

  /** Exit code or signal of a process that has ended. */
  ended(process: string): string | undefined {
    return this.#processes.get(process)?.ended();
  }

  controller(index: number): ServiceClient<typeof Controller> {
    return this.#controllers[index % this.#controllers.length] as ServiceClient<typeof Controller>;
  }

  node(name: string): ServiceClient<typeof Node> {
    return this.stand.node(name);
  }

  /** Whether a process was killed, stopped or starting at any time since `from` (performance.now). */
  disturbed(process: string, from: number): boolean {
    return (this.#disturbances.get(process) ?? []).some(({ to }) => to === undefined || to >= from);
  }

  /** One disturbance of a process after the other. */
  #alone(process: string, work: () => Promise<void>): Promise<void> {
    const before = this.#queues.get(process) ?? Promise.resolve();
    const now = before.then(async () => {
      const mark: Disturbance = { from: performance.now(), to: undefined };
      this.#disturbances.set(process, [...(this.#disturbances.get(process) ?? []), mark]);
      try {
        await work();
      } finally {
        mark.to = performance.now();
      }
    });
    this.#queues.set(
      process,
      now.catch(() => {}),
    );
    return now;
  }

  /** Ends a process by SIGKILL or SIGTERM, and starts it again after `ms`. @param before runs while it still does */
  restart(process: string, how: Asked, ms: number, before = async () => {}): Promise<void> {
    return this.#alone(process, async () => {
      const running = this.#processes.get(process);
      if (running === undefined) return;
      await before();
      await this.#ends.end(running, how);
      await delay(ms);
      try {
        this.#take(process, await this.#startAgain(process));
      } catch (error) {
        this.#ended(`${process} does not start again: ${String(error)}`);
        throw error;
      }
    });
  }

  /** Ends all processes by SIGTERM. */
  async stopAll(): Promise<void> {
    await Promise.all(this.#queues.values());
    await Promise.all([...this.#processes.values()].map((running) => this.#ends.end(running, "term")));
  }

  #startAgain(process: string): Promise<Running> {
    const { stand } = this;
    if (this.#abandoned) throw new Error("the round was broken off");
    if (process === "simulator") return stand.startSimulator();
    const [, index] = /^controller-(\d+)$/.exec(process) ?? [];
    if (index === undefined) return stand.startNode(process);
    return index === "0"
      ? stand.startController()
      : stand.startController(join(stand.directory, `${process}.sock`), podName(this.#plan, process));
  }

  /** Stops a process for `ms`, as a machine that is overloaded or a paused virtual machine. */
  stopFor(process: string, ms: number): Promise<void> {
    return this.#alone(process, async () => {
      const running = this.#processes.get(process);
      running?.signal("SIGSTOP");
      await delay(ms);
      running?.signal("SIGCONT");
    });
  }

  /** Open descriptors of a process. */
  descriptors(process: string): Promise<Descriptors> {
    const port = (address: string) => Number(address.slice(address.lastIndexOf(":") + 1));
    const rds = port(this.stand.rdsFlags[1] ?? "");
    const api = this.cluster === undefined ? undefined : Number(new URL(this.cluster.api.url).port);
    return descriptorsOf(this.pid(process), { rds, api });
  }

  /** Programs that a service has started and that still run. */
  async children(process: string): Promise<string[]> {
    const pid = this.pid(process);
    const found: string[] = [];
    for (const name of await readdir("/proc")) {
      if (!/^\d+$/.test(name)) continue;
      const status = await Bun.file(`/proc/${name}/status`)
        .text()
        .catch(() => "");
      if (!new RegExp(`^PPid:\\s+${pid}$`, "m").test(status)) continue;
      found.push(await readlink(`/proc/${name}/exe`).catch(() => name));
    }
    return found;
  }

  /** Copies the logs to a directory, for whoever looks for the cause. */
  async keepLogs(to: string): Promise<void> {
    await mkdir(to, { recursive: true });
    for (const name of await readdir(this.stand.directory)) {
      if (/\.(log|jsonl)$/.test(name)) await copyFile(join(this.stand.directory, name), join(to, name));
    }
  }

  get plan(): Plan {
    return this.#plan;
  }

  /** Ends everything at once, whatever still runs: processes by SIGKILL, mounts, loop devices, the directory. */
  async abandon(): Promise<void> {
    this.#abandoned = true;
    await within(3_000, Promise.all(this.#queues.values()));
    for (const running of this.#processes.values()) await this.#ends.end(running, "kill");
    await this.#programsEnd();
    await cleanUp(this.stand.directory);
    await this.cluster?.stop();
  }

  /** Waits, at most 5 s, for the programs that killed nodes have started: `losetup` may attach a device still. */
  async #programsEnd(): Promise<void> {
    const runs = async (pid: string) =>
      (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).includes(`${this.stand.directory}/`);
    for (const end = performance.now() + 5_000; performance.now() < end; await delay(20)) {
      const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
      if (!(await Promise.all(pids.map(runs))).includes(true)) return;
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#queues.values());
    await this.stand.close();
    await this.cluster?.stop();
  }
}

export const delay = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
