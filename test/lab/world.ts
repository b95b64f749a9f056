import { existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Controller, Node } from "../../src/csi/gen/csi_pb.ts";
import type { ServiceClient } from "../support/csi-client.ts";
import { secretKey } from "../support/secret-key.ts";
import { machineClient } from "./client.ts";
import {
  type ContainerCommand,
  controllerContainer,
  noContainers,
  nodeContainer,
  prepareController,
  prepareNode,
  SECRETS,
} from "./container/container.ts";
import { DISK, kind, labDirectory } from "./kind.ts";
import { keepLogs } from "./logs.ts";
import { Machine } from "./machine.ts";
import { type Cable, Switch } from "./network.ts";

export interface WorldOptions {
  readonly nodes?: readonly string[];
  /** Further flags of `rds-csi simulate`. */
  readonly simulate?: readonly string[];
  /** Further flags of `rds-csi controller`. */
  readonly controller?: readonly string[];
  /** Further flags of `rds-csi node`. */
  readonly node?: readonly string[];
  /** Native NVMe multipath on the nodes; true. */
  readonly multipath?: boolean;
  readonly nodeMemory?: string;
  /** Bytes of the largest packet of all machines; 1500. More of them make a long transfer cheap. */
  readonly mtu?: number;
  /** Controller and nodes run in containers of the image's root filesystem; where that can be had, true. */
  readonly containers?: boolean;
  /** The scenarios use this machine's own tree, at /run/host; false. */
  readonly hostTree?: boolean;
  /**
   * The disk of the RDS is a filesystem of its own, in which files share blocks, so that a snapshot is of one instant; User Mode Linux
   * only. What is not synced there is lost with its power.
   */
  readonly rdsFilesystem?: SharingFilesystem;
  /** Why the scenarios cannot run here, for the names of skipped tests; "". */
  readonly lacks?: string;
}

/** A process of the driver on a machine. */
export interface Service {
  readonly pid: number;
  readonly ended: Promise<string>;
}

/** Filesystems in which two files can share blocks. */
export type SharingFilesystem = "btrfs" | "xfs";

/** Bytes of a disk of the RDS with a filesystem of its own; sparse. */
const RDS_DISK_SIZE = 64 * 1024 ** 3;

const RDS_ADDRESS = "192.0.2.1";
const SSH_PORT = 2222;
/** Files of the machines `rds` and `control`. */
const FILES = "/run/lab";
const CONTROLLER_SOCKET = "/run/rds-csi/controller.sock";
export const NODE_SOCKET = "/run/rds-csi/node.sock";
/** A program of the lab, as a machine sees it. */
export const RECORDS = kind.records;
/** Directory of the simulated RDS on its machine, on a disk that outlives a power-off. */
export const RDS_DIRECTORY = `${DISK}/rds`;

/**
 * An installation on machines of its own: the simulated RDS, which exports through its kernel's NVMe target, the controller,
 * and nodes; all run the compiled executable. Image files outlive the machine `rds`, as a device's disks do.
 */
export class World {
  readonly directory: string;
  readonly network = new Switch();
  readonly cables = new Map<string, Cable>();
  readonly machines = new Map<string, Machine>();
  readonly services = new Map<string, Service>();
  readonly controller: ServiceClient<typeof Controller>;
  readonly #userKey = secretKey("user key of the lab");
  readonly #options: WorldOptions;
  readonly #names: readonly string[];

  private constructor(options: WorldOptions) {
    this.#options = options;
    this.directory = mkdtempSync(join(tmpdir(), "rds-csi-lab-"));
    this.#names = ["rds", "control", ...(options.nodes ?? ["node-a", "node-b"])];
    this.controller = machineClient(Controller, () => this.machine("control"), CONTROLLER_SOCKET);
  }

  /** Boots everything and waits until every part serves. */
  static async start(options: WorldOptions = {}): Promise<World> {
    const world = new World(options);
    try {
      for (const name of world.#names) world.cables.set(name, await world.network.plug());
      await Promise.all(world.#names.map((name) => world.boot(name)));
      await Promise.all([
        world.startRds().then(() => world.startController()),
        ...world.nodeNames.map((name) => world.startNode(name)),
      ]);
      return world;
    } catch (error) {
      await world.close(true);
      throw error;
    }
  }

  get nodeNames(): readonly string[] {
    return this.#names.slice(2);
  }

  machine(name: string): Machine {
    const machine = this.machines.get(name);
    if (machine === undefined) throw new Error(`no machine ${name}`);
    return machine;
  }

  get rds(): Machine {
    return this.machine("rds");
  }

  cable(name: string): Cable {
    const cable = this.cables.get(name);
    if (cable === undefined) throw new Error(`no cable ${name}`);
    return cable;
  }

  node(name: string): ServiceClient<typeof Node> {
    return machineClient(Node, () => this.machine(name), NODE_SOCKET);
  }

  /** IPv4 address of a machine on the lab's network. */
  address(name: string): string {
    return `192.0.2.${this.#names.indexOf(name) + 1}`;
  }

  /** Switches a machine on; it was off, or never on. */
  async boot(name: string): Promise<Machine> {
    const machine = await Machine.boot({
      name,
      address: `${this.address(name)}/24`,
      mac: `02:00:00:77:00:0${this.#names.indexOf(name) + 1}`,
      cable: this.cable(name),
      logs: join(this.directory, "logs"),
      memory: name === "rds" ? "1G" : (this.#options.nodeMemory ?? "768M"),
      multipath: this.#options.multipath ?? true,
      mtu: this.#options.mtu ?? 1500,
      ...(name === "rds" ? this.#rdsDisk() : {}),
    });
    this.machines.set(name, machine);
    const filesystem = name === "rds" ? this.#options.rdsFilesystem : undefined;
    if (filesystem !== undefined) {
      // -K: nothing is discarded of a new file.
      const script = `blkid /dev/ubda || mkfs.${filesystem} -q -K /dev/ubda && mount /dev/ubda ${DISK}`;
      await machine.sh(script, 60_000);
    }
    if (this.#containers && this.nodeNames.includes(name))
      await prepareNode(machine, `${labDirectory}/modules`);
    return machine;
  }

  #rdsDisk(): { readonly disk: string } | { readonly blockDevice: string } {
    const path = join(this.directory, "rds-disk");
    if (this.#options.rdsFilesystem === undefined) return { disk: path };
    if (!existsSync(path)) {
      writeFileSync(path, "");
      truncateSync(path, RDS_DISK_SIZE);
    }
    return { blockDevice: path };
  }

  /** Starts the simulated RDS, again too; its state and images are where they were. */
  async startRds(): Promise<void> {
    await this.rds.put(`${FILES}/user-key.pub`, `${this.#userKey.public}\n`);
    await this.rds.sh(`rm -f ${FILES}/address`);
    await this.#start("rds", "simulate", [
      ...["simulate", "--backend", "nvmet", "--dir", RDS_DIRECTORY],
      ...["--listen", `${RDS_ADDRESS}:${SSH_PORT}`, "--authorized-keys-file", `${FILES}/user-key.pub`],
      ...["--host-key-file", `${FILES}/host-key`, "--ready-file", `${FILES}/address`],
      ...["--control-socket", "/run/control.sock", ...(this.#options.simulate ?? [])],
    ]);
    await this.until(
      "the simulated RDS",
      async () => (await this.rds.run(`test -s ${FILES}/address`)).code === 0,
    );
  }

  /** A request to the control socket of the simulated RDS; its answer, JSON. */
  async control(method: "GET" | "POST" | "DELETE", path: string, body: object = {}): Promise<string> {
    const data = method === "GET" ? "" : `-d '${JSON.stringify(body)}'`;
    return this.rds.sh(
      `curl -fsS --unix-socket /run/control.sock -X ${method} ${data} http://simulator${path}`,
    );
  }

  /** Kills the controller, as a node that dies does; `startController` starts another one. */
  async killController(): Promise<void> {
    const service = this.services.get("control");
    await this.machine("control").sh(`kill -9 ${service?.pid}`);
    await service?.ended;
  }

  async startController(): Promise<Service> {
    const control = this.machine("control");
    await control.put(`${FILES}/user-key`, this.#userKey.private);
    await control.put(`${FILES}/host-key`, await this.rds.get(`${FILES}/host-key`));
    if (this.#containers) await prepareController(control, FILES);
    const secrets = this.#containers ? SECRETS : FILES;
    const args = [
      ...["controller", "--endpoint", `unix://${CONTROLLER_SOCKET}`],
      ...["--rds-address", `${RDS_ADDRESS}:${SSH_PORT}`],
      ...["--rds-key-file", `${secrets}/user-key`, "--rds-host-key-file", `${secrets}/host-key`],
      ...["--orchestrator", "none", "--nodes", this.nodeNames.join(","), ...(this.#options.controller ?? [])],
    ];
    const inContainer = this.#containers ? controllerContainer(args, FILES) : undefined;
    const service = await this.#start("control", "controller", args, inContainer);
    await this.until("the controller", () =>
      answers(() => this.controller.controllerGetCapabilities({}, { deadlineMs: 1_000 })),
    );
    return service;
  }

  get #containers(): boolean {
    return this.#options.containers ?? noContainers === "";
  }

  /** @param nodeId another one than its own name, by mistake */
  async startNode(name: string, flags: readonly string[] = [], nodeId: string = name): Promise<Service> {
    const machine = this.machine(name);
    await machine.sh("mkdir -p /var/lib/kubelet /var/lib/rds-csi");
    const args = [
      ...["node", "--endpoint", `unix://${NODE_SOCKET}`, "--node-id", nodeId, "--log-level", "debug"],
      ...(this.#options.node ?? []),
      ...flags,
    ];
    const service = await this.#start(name, "node", args, this.#containers ? nodeContainer(args) : undefined);
    await this.until(name, () => answers(() => this.node(name).nodeGetInfo({}, { deadlineMs: 1_000 })));
    return service;
  }

  /** Waits for a condition; `limitMs` as for a machine that computes as fast as the host. */
  async until(what: string, condition: () => Promise<boolean>, limitMs = 30_000): Promise<void> {
    const end = Date.now() + limitMs * kind.slowness;
    for (;;) {
      if (await condition()) return;
      if (Date.now() > end) throw new Error(`gave up waiting for ${what}`);
      await delay(50 * kind.slowness);
    }
  }

  /**
   * Switches everything off. After a failure the directory stays, with every machine's console and logs.
   * @param failed whether the logs are to be kept
   */
  async close(failed = false): Promise<void> {
    if (failed) {
      await Promise.all(
        [...this.machines.values()].map((machine) => keepLogs(machine, join(this.directory, "logs"))),
      );
    }
    await Promise.all([...this.machines.values()].map((machine) => machine.powerOff()));
    this.network.close();
    if (failed) console.error(`the lab's logs are in ${join(this.directory, "logs")}`);
    else rmSync(this.directory, { recursive: true, force: true });
  }

  async #start(
    machine: string,
    name: string,
    args: readonly string[],
    inContainer?: ContainerCommand,
  ): Promise<Service> {
    const command = inContainer ?? { program: kind.executable, args };
    const service = await this.machine(machine).start(name, command.program, command.args);
    this.services.set(machine, service);
    return service;
  }
}

/** Whether a call succeeds. */
export async function answers(call: () => Promise<unknown>): Promise<boolean> {
  return await call().then(
    () => true,
    () => false,
  );
}
