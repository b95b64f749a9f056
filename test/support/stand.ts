import { access, mkdir, readdir, readFile, unlink, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { DescService } from "@bufbuild/protobuf";
import type { ChannelOptions } from "@grpc/grpc-js";
import ssh2 from "ssh2";
import { Controller, Identity, Node } from "../../src/csi/gen/csi_pb.ts";
import { emitted, emittedFile, registerSecret } from "./canary.ts";
import { Control } from "./control.ts";
import { type ServiceClient, serviceClient } from "./csi-client.ts";
import { cleanUp, makeStandDirectory } from "./leftovers.ts";
import { capture, launch, type Running } from "./processes.ts";
import { secretKey } from "./secret-key.ts";
import { PATIENCE_MS } from "./until.ts";

/** How a stand is set up. */
export interface StandOptions {
  /** Path of the compiled executable. */
  readonly executable: string;
  /** The stand's own directory; must not exist yet. Short, as it holds unix sockets. */
  readonly directory: string;
  readonly profile?: string;
  readonly nodes?: readonly string[];
  /** Further flags of `rds-csi simulate`. */
  readonly simulate?: readonly string[];
  /** Further flags of `rds-csi controller`. */
  readonly controller?: readonly string[];
  /** Further flags of the stand's own controller, which other replicas do not get. */
  readonly firstController?: readonly string[];
  /** Where the stand's own controller serves metrics; default: the unix socket `metrics.sock` of the directory. */
  readonly metricsAddress?: string;
  /** Instead of the static list of nodes: who tells the controller about nodes and workloads. */
  readonly orchestrator?: readonly string[];
  /** Further flags of `rds-csi node`. */
  readonly node?: readonly string[];
  /** Whether the node processes are started as well; true. */
  readonly startNodes?: boolean;
}

/** A whole installation from the compiled executable: simulator, controller, nodes. */
export interface Stand {
  readonly directory: string;
  readonly simulator: Running;
  readonly controllerProcess: Running;
  readonly nodeProcesses: ReadonlyMap<string, Running>;
  readonly controllerSocket: string;
  nodeSocket(node: string): string;
  readonly identity: ServiceClient<typeof Identity>;
  readonly controller: ServiceClient<typeof Controller>;
  node(name: string): ServiceClient<typeof Node>;
  /** `rds-csi` with the options that reach the simulator. */
  cli(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }>;
  /** The options with which a controller or `volumes` reaches the RDS. */
  readonly rdsFlags: readonly string[];
  /** RouterOS lines that the simulator was sent. */
  commands(): Promise<{ line: string; outcome: string }[]>;
  /** The simulator's control socket: faults, state, commands. */
  readonly control: Control;
  /** Flags with which a controller is started. */
  controllerFlags(socket: string): readonly string[];
  /**
   * Starts a controller, another one or again, and waits until it answers.
   * @param socket default: that of the stand
   */
  startController(socket?: string, flags?: readonly string[]): Promise<Running>;
  startNode(node: string): Promise<Running>;
  /** Starts the simulator again on the same port and directory. */
  startSimulator(): Promise<Running>;
  /** A further client; it is closed with the stand. */
  connect<S extends DescService>(desc: S, socket: string, channelOptions?: ChannelOptions): ServiceClient<S>;
  /** Ends everything and removes the directory. */
  close(): Promise<void>;
}

/** Waits for a condition; fails loudly when a process that it depends on has ended. */
export async function until(
  what: string,
  condition: () => Promise<boolean>,
  depends: readonly Running[] = [],
  limitMs = PATIENCE_MS,
): Promise<void> {
  for (const end = Date.now() + limitMs; Date.now() < end; await delay(15)) {
    if (await condition()) return;
    for (const each of depends) {
      if (each.ended() !== undefined)
        throw new Error(`${each.name} ended with ${each.ended()} while waiting for ${what}`);
    }
  }
  throw new Error(`gave up waiting for ${what}`);
}

export const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** Whether somebody answers RPCs on a socket; one that a killed process left is not enough. */
async function answers(socket: string): Promise<boolean> {
  if (!(await exists(socket))) return false;
  const client = serviceClient(Identity, socket);
  try {
    return (await client.probe({}, { deadlineMs: 1_000 })).ready ?? true;
  } catch {
    return false;
  } finally {
    client.close();
  }
}

/** Starts a stand and waits until every part serves. */
export async function startStand(options: StandOptions): Promise<Stand> {
  const { executable, directory, nodes = ["node-a", "node-b"] } = options;
  await makeStandDirectory(directory);
  const path = (...parts: string[]) => join(directory, ...parts);
  const key = secretKey("user key of a stand");
  await writeFile(path("user-key"), key.private, { mode: 0o600 });
  await writeFile(path("user-key.pub"), `${key.public}\n`);
  const processes: Running[] = [];
  const start = async (name: string, args: readonly string[]): Promise<Running> => {
    const running = await launch(executable, name, args, directory);
    processes.push(running);
    return running;
  };
  const clients: { close(): void }[] = [];
  try {
    const startSimulator = async (listen: string): Promise<Running> => {
      // Left behind by one that was killed.
      await unlink(path("simulator-address")).catch(() => {});
      const running = await start("simulate", [
        "simulate",
        ...["--listen", listen, "--dir", path("rds"), "--authorized-keys-file", path("user-key.pub")],
        ...["--host-key-file", path("host-key"), "--ready-file", path("simulator-address")],
        ...["--command-log", path("commands.jsonl"), "--control-socket", path("control.sock")],
        ...["--profile", options.profile ?? "current", ...(options.simulate ?? [])],
      ]);
      const ready = async () => (await readFile(path("simulator-address"), "utf8").catch(() => "")) !== "";
      await until("the simulator", ready, [running]);
      return running;
    };
    const simulator = await startSimulator("127.0.0.1:0");
    const address = (await readFile(path("simulator-address"), "utf8")).trim();
    const rdsFlags = [
      "--rds-address",
      address,
      "--rds-key-file",
      path("user-key"),
      "--rds-host-key-file",
      path("host-key"),
    ];
    const controllerSocket = path("controller.sock");
    const nodeSocket = (node: string) => path(`${node}.sock`);
    const controllerFlags = (socket: string) => [
      "controller",
      ...["--endpoint", `unix://${socket}`, ...rdsFlags],
      ...(options.orchestrator ?? ["--orchestrator", "none", "--nodes", nodes.join(",")]),
      ...(options.controller ?? []),
    ];
    const metrics = options.metricsAddress ?? `unix:${path("metrics.sock")}`;
    const first = ["--metrics-address", metrics, ...(options.firstController ?? [])];
    const startController = async (socket = controllerSocket, flags: readonly string[] = first) => {
      const running = await start("controller", [...controllerFlags(socket), ...flags]);
      await until("the controller", () => answers(socket), [running]);
      return running;
    };
    const startNode = async (node: string) => {
      await mkdir(path(`${node}.state`), { recursive: true });
      const running = await start(node, [
        "node",
        ...["--endpoint", `unix://${nodeSocket(node)}`, "--node-id", node, "--data-path", "loop"],
        ...["--loop-exports-dir", path("rds", "exports"), "--state-dir", path(`${node}.state`)],
        ...(options.node ?? []),
      ]);
      await until(node, () => answers(nodeSocket(node)), [running]);
      return running;
    };
    const controllerProcess = await startController();
    const nodeProcesses = new Map<string, Running>();
    if (options.startNodes ?? true) {
      for (const node of nodes) nodeProcesses.set(node, await startNode(node));
    }
    const keep = <T extends { close(): void }>(client: T): T => {
      clients.push(client);
      return client;
    };
    const nodeClients = new Map(nodes.map((node) => [node, keep(serviceClient(Node, nodeSocket(node)))]));
    return {
      directory,
      simulator,
      controllerProcess,
      nodeProcesses,
      controllerSocket,
      nodeSocket,
      rdsFlags,
      control: new Control(path("control.sock")),
      controllerFlags,
      startController,
      startNode,
      startSimulator: () => startSimulator(address),
      connect: (desc, socket, channelOptions) => keep(serviceClient(desc, socket, channelOptions)),
      identity: keep(serviceClient(Identity, controllerSocket)),
      controller: keep(serviceClient(Controller, controllerSocket)),
      node: (name) => {
        const client = nodeClients.get(name);
        if (client === undefined) throw new Error(`no node ${name}`);
        return client;
      },
      cli: (...args) => capture(executable, args),
      commands: async () =>
        (await readFile(path("commands.jsonl"), "utf8").catch(() => ""))
          .split("\n")
          .filter((line) => line !== "")
          .map((line) => JSON.parse(line)),
      close: async () => {
        for (const client of clients) client.close();
        await keepMetrics(path("metrics.sock"));
        for (const each of processes.toReversed()) await each.stop();
        await keepOutput(directory);
        await cleanUp(directory);
      },
    };
  } catch (error) {
    for (const client of clients) client.close();
    for (const each of processes.toReversed()) await each.stop();
    await keepOutput(directory);
    await cleanUp(directory);
    throw error;
  }
}

/** Keeps what the processes of a stand wrote, for the canaries: logs, and the simulator's list of commands. */
async function keepOutput(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (/\.(log|jsonl)$/.test(name)) emittedFile(name.replace(/\.\w+$/, ""), join(directory, name));
  }
  const hostKey = await readFile(join(directory, "rds/ssh_host_ed25519_key"), "utf8").catch(() => "");
  const parsed = ssh2.utils.parseKey(hostKey);
  if (!(parsed instanceof Error))
    registerSecret("host key of a stand", hostKey, parsed.getPublicSSH().toString("base64"));
}

async function keepMetrics(socketPath: string): Promise<void> {
  if (!(await exists(socketPath))) return;
  await new Promise<void>((resolve) => {
    const sent = request({ socketPath, path: "/metrics", timeout: 1_000 }, (response) => {
      response.setEncoding("utf8");
      response.on("data", (data) => emitted("metrics", String(data)));
      response.on("close", () => resolve());
    });
    // A controller that was killed leaves its socket.
    sent.on("error", () => resolve());
    sent.on("timeout", () => sent.destroy());
    sent.end();
  });
}
