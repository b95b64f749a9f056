import { existsSync } from "node:fs";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import process from "node:process";
import { Control } from "../support/control.ts";
import { API, CONTROL } from "./addresses.ts";
import { Api, isReady } from "./api.ts";
import { prepareControlPlane, startApi, startControllers, startSnapshotController } from "./control-plane.ts";
import { endOnHost, startOnHost } from "./host-process.ts";
import { makeImages } from "./images.ts";
import { detachLoops, removeCgroups } from "./leftovers.ts";
import { cgroupOf, INSIDE, Machine, type Place } from "./machine.ts";
import { addressControl, connect } from "./network.ts";
import { ASKED_FOR, ctr, runKubelet, startContainerd, startKubelet } from "./node.ts";
import { kubeconfig } from "./pki.ts";
import { type RunOptions, run, until } from "./run.ts";
import { makeSite, startRds } from "./site.ts";

export const NODES = ["node-1", "node-2"] as const;
/** A third node, which a cluster for tests has. It takes only pods that ask for it: tests drain and lose it while others run. */
export const THIRD = "node-3";
const repository = resolve(import.meta.dirname, "../..");

/** A Kubernetes with two or three nodes, a simulated RDS and the driver, all in namespaces of their own. */
export class Cluster {
  readonly place: Place;
  readonly control: Machine;
  readonly api: Api;
  /** The control socket of the simulated RDS. */
  readonly rds: Control;

  #nodes: readonly Machine[];

  private constructor(place: Place, control: Machine, nodes: readonly Machine[], api: Api) {
    this.place = place;
    this.control = control;
    this.#nodes = nodes;
    this.api = api;
    this.rds = new Control(join(control.directory, "rds.sock"));
  }

  get nodes(): readonly Machine[] {
    return this.#nodes;
  }

  /** For programs of this computer. */
  get kubeconfig(): string {
    return kubeconfigOf(this.place);
  }

  /** Runs kubectl on this computer. */
  kubectl(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const env = { KUBECONFIG: this.kubeconfig, ...options.env };
    return run(join(this.place.programs, "bin/kubectl"), args, { timeoutMs: 120_000, ...options, env });
  }

  node(name: string): Machine {
    const found = this.nodes.find((each) => each.name === name);
    if (found === undefined) throw new Error(`there is no node ${name}`);
    return found;
  }

  /** The cluster that an earlier process started; undefined if it does not run whole. */
  static async find(place: Place): Promise<Cluster | undefined> {
    const [control, ...nodes] = await machines(place);
    if (control === undefined || nodes.some((each) => each === undefined) || !existsSync(kubeconfigOf(place)))
      return undefined;
    const found = nodes.filter((each) => each !== undefined);
    return new Cluster(place, control, found, await apiOf(place));
  }

  /**
   * Starts a cluster and waits until the driver serves on all nodes.
   * @param say told what takes how long
   * @param names of the nodes: NODES, or THIRD as well
   */
  static async up(
    place: Place,
    say: (text: string) => void,
    names: readonly string[] = NODES,
  ): Promise<Cluster> {
    const time = stopwatch(say);
    await mkdir(place.state, { recursive: true });
    const [control, ...nodes] = await Promise.all(
      ["control", ...names].map((name) => Machine.start(name, place)),
    );
    if (control === undefined) throw new Error("no control machine");
    await addressControl(control);
    for (const [index, node] of nodes.entries()) await connect(control, node, index);
    time("namespaces");
    const site = join(place.state, "site");
    await makeSite(site);
    const credentials = await prepareControlPlane(control, names);
    const images = await makeImages(place.programs);
    const driver = await archiveOfDriver(place);
    const runtimes = Promise.all(
      nodes.map(async (node) => {
        await startContainerd(node);
        await load(node, images);
        // The layout names its image by the version only.
        await load(node, driver, "--base-name", "docker.io/library/rds-csi");
      }),
    ).then(() => time("containerd with images, on each node"));
    const [, relay] = await Promise.all([
      startRds(control, site),
      startApi(control).then(() => startRelay(control, place)),
    ]);
    time("etcd, API server and RDS");
    await writeFile(kubeconfigOf(place), kubeconfig(relay, authorityOf(place), credentials.admin), {
      mode: 0o600,
    });
    await startControllers(control);
    await runtimes;
    for (const [index, node] of nodes.entries()) {
      const token = credentials.nodes.get(node.name) ?? "";
      await startKubelet(node, {
        index,
        token,
        authority: authorityOf(place),
        taints: node.name === THIRD ? [ASKED_FOR] : [],
      });
    }
    const cluster = new Cluster(place, control, nodes, await apiOf(place));
    for (const kinds of [join(import.meta.dirname, "crds.yaml"), join(place.programs, "crds")])
      await cluster.kubectl(["apply", "--server-side", "-f", kinds]);
    await startSnapshotController(control);
    await cluster.applySite();
    time("kubelets started, manifests applied");
    await cluster.awaitDriver();
    time("the driver serves");
    return cluster;
  }

  /** The manifests of the site, as kustomize builds them. */
  manifests(): Promise<string> {
    return this.kubectl(["kustomize", join(this.place.state, "site")]);
  }

  /** Applies the manifests of the site server-side. */
  async applySite(): Promise<void> {
    const input = await this.manifests();
    // Kinds that were defined a moment ago are not served at once.
    await until("the manifests to be accepted", async () => {
      await this.kubectl(["apply", "--server-side", "-f", "-"], { input });
      return true;
    });
  }

  /** Waits until both controllers and all nodes are ready and registered. */
  async awaitDriver(timeoutMs = 120_000): Promise<void> {
    const { api } = this;
    const names = this.nodes.map(({ name }) => name);
    await api.await(
      "Deployment",
      "rds-csi-controller",
      "rds-csi",
      "with two ready replicas",
      ({ status }) => status?.readyReplicas === 2 && status?.updatedReplicas === 2,
      timeoutMs,
    );
    await until(
      `the driver to be ready on ${names.join(" and ")}`,
      async () => {
        const pods = await api.list("Pod", "rds-csi", "?labelSelector=app.kubernetes.io/component=node");
        const ready = pods
          .filter((pod) => isReady(pod) && !pod.metadata.deletionTimestamp)
          .map(({ spec }) => spec.nodeName);
        return names.every((name) => ready.includes(name));
      },
      { timeoutMs },
    );
    for (const name of names) {
      await api.await(
        "CSINode",
        name,
        undefined,
        "with the driver",
        ({ spec }) => spec.drivers?.length > 0,
        timeoutMs,
      );
    }
  }

  /** Imports the images of an archive on every node. @param args of `ctr images import` */
  async load(archive: string, ...args: string[]): Promise<void> {
    await Promise.all(this.nodes.map((node) => load(node, archive, ...args)));
  }

  /** Switches a node on again whose plug was pulled (`Machine.end`): its disk is as it was, nothing runs. Waits until it is ready. */
  async boot(name: string): Promise<void> {
    const index = this.nodes.findIndex((each) => each.name === name);
    const node = await Machine.start(name, this.place);
    this.#nodes = this.nodes.map((each) => (each.name === name ? node : each));
    await connect(this.control, node, index);
    await startContainerd(node);
    await runKubelet(node, index);
    await this.api.await("Node", name, undefined, "ready", isReady, 120_000);
    await this.awaitDriver();
  }

  /** Ends everything that belongs to a cluster, also to one that started only in part. @param logs where its logs go, if anywhere */
  static async down(place: Place, logs?: string): Promise<void> {
    if (logs !== undefined && existsSync(join(place.state, "log"))) {
      await cp(join(place.state, "log"), logs, { recursive: true });
      const more = ["control/rds-commands.jsonl", "control/audit.log", "e2e/log", "e2e/report.json"];
      for (const each of more)
        await cp(join(place.state, each), join(logs, each.replace("/", "-"))).catch(() => {});
      for (const node of [...NODES, THIRD])
        await cp(join(place.state, node, "lib/pod-logs"), join(logs, `pods-${node}`), {
          recursive: true,
        }).catch(() => {});
    }
    await endOnHost(join(place.state, "relay"));
    for (const machine of await machines(place)) await machine?.end();
    await detachLoops([...NODES, THIRD].map((name) => join(place.state, name, "lib/rds-csi", name)));
    await removeCgroups(cgroupOf(place));
    await rm(place.state, { recursive: true, force: true });
  }
}

/** The machines that the cluster was started with; undefined for one that does not run. */
function machines(place: Place): Promise<(Machine | undefined)[]> {
  const third = existsSync(join(place.state, THIRD)) ? [THIRD] : [];
  return Promise.all(["control", ...NODES, ...third].map((name) => Machine.find(name, place)));
}

/** Path of an administrator's kubeconfig, for programs of this computer. */
export const kubeconfigOf = ({ state }: Place): string => join(state, "kubeconfig");
/** Path of the certificate of the API server's authority. */
export const authorityOf = ({ state }: Place): string => join(state, "control/pki/ca.crt");

/** The API that the kubeconfig leads to. */
export async function apiOf(place: Place): Promise<Api> {
  const { clusters, users } = JSON.parse(await readFile(kubeconfigOf(place), "utf8"));
  return new Api(clusters[0].cluster.server, await readFile(authorityOf(place), "utf8"), users[0].user.token);
}

/** Leads from a port of this computer to the API server. @returns its address */
async function startRelay(control: Machine, place: Place): Promise<string> {
  const script = "test/cluster/relay.ts";
  const bun = `${INSIDE.repository}/node_modules/.bin/bun`;
  await control.daemon("relay", [
    ...[bun, `${INSIDE.repository}/${script}`],
    ...[`${INSIDE.machine}/api.sock`, `${CONTROL}:443`],
  ]);
  const file = join(place.state, "relay");
  // By a short name, as a path of a socket has 107 bytes at most.
  const command = [process.execPath, join(repository, script), "127.0.0.1:0", "api.sock"];
  await startOnHost(file, command, control.directory);
  const port = await until(
    "the relay's port",
    async () => /port (\d+)/.exec(await readFile(`${file}.log`, "utf8"))?.[1],
  );
  await until("the relay in the control machine", () => existsSync(join(control.directory, "api.sock")));
  return `${new URL(API).protocol}//127.0.0.1:${port}`;
}

/** The driver's image as an archive. */
export async function archiveOfDriver(place: Place): Promise<string> {
  const file = join(place.state, "driver.tar");
  await run("tar", ["-C", join(repository, "dist/image"), "-cf", file, "."]);
  return file;
}

async function load(node: Machine, archive: string, ...args: string[]): Promise<void> {
  // Through the machine's own directory, the only one that is surely seen there.
  const copy = join(node.directory, "image.tar");
  await run("ln", ["-f", archive, copy]).catch(() => cp(archive, copy));
  await ctr(node, "images", "import", ...args, `${INSIDE.machine}/image.tar`);
  await rm(copy);
}

function stopwatch(say: (text: string) => void): (what: string) => void {
  const start = Date.now();
  return (what) => say(`${((Date.now() - start) / 1000).toFixed(1)} s: ${what}`);
}
