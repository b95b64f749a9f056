import { access, copyFile, mkdir, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { Controller, type Node } from "../../src/csi/gen/csi_pb.ts";
import type { ServiceClient } from "../support/csi-client.ts";
import { executable } from "../support/executable.ts";
import type { Running } from "../support/processes.ts";
import { type Stand, startStand } from "../support/stand.ts";
import { Clocks } from "./clock.ts";
import { Cluster } from "./cluster.ts";
import { NODES, type Plan } from "./plan.ts";

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

  private constructor(plan: Plan, stand: Stand, cluster: Cluster | undefined, clocks: Clocks) {
    this.#plan = plan;
    this.stand = stand;
    this.cluster = cluster;
    this.clocks = clocks;
    this.#processes.set("simulator", stand.simulator);
    this.#processes.set("controller-0", stand.controllerProcess);
    for (const [name, running] of stand.nodeProcesses) this.#processes.set(name, running);
    this.#controllers.push(stand.controller);
  }

  /** Starts the installation of a round in `directory`. */
  static async start(plan: Plan, directory: string): Promise<Site> {
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
        controller: ["--fencing", plan.fencing, "--online-expansion", plan.onlineExpansion],
        ...(cluster === undefined ? {} : { orchestrator: cluster.flags, node: cluster.nodeFlags }),
      });
      const site = new Site(plan, stand, cluster, clocks);
      for (let index = 1; index < plan.controllers; index += 1) {
        const socket = join(stand.directory, `controller-${index}.sock`);
        site.#processes.set(`controller-${index}`, await stand.startController(socket, []));
        site.#controllers.push(stand.connect(Controller, socket));
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

  /** Ends a process by SIGKILL or SIGTERM, and starts it again after `ms`. */
  restart(process: string, how: "kill" | "term", ms: number): Promise<void> {
    return this.#alone(process, async () => {
      const running = this.#processes.get(process);
      if (running === undefined) return;
      if (how === "kill") await running.kill();
      else await running.stop();
      await delay(ms);
      this.#processes.set(process, await this.#startAgain(process));
    });
  }

  #startAgain(process: string): Promise<Running> {
    const { stand } = this;
    if (process === "simulator") return stand.startSimulator();
    const [, index] = /^controller-(\d+)$/.exec(process) ?? [];
    if (index === undefined) return stand.startNode(process);
    return index === "0"
      ? stand.startController()
      : stand.startController(join(stand.directory, `controller-${index}.sock`), []);
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

  /** Ends of processes that nobody asked for. */
  unexpectedEnds(): string[] {
    return [...this.#processes.values()].flatMap((running) =>
      running.ended() === undefined ? [] : [`${running.name} ended with ${running.ended()}`],
    );
  }

  /** Number of open descriptors of a process, by kind of what they lead to. */
  async descriptors(process: string): Promise<number> {
    return (await readdir(`/proc/${this.pid(process)}/fd`).catch(() => [])).length;
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
