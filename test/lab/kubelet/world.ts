import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { cp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { CONTROL, nodeAddress, podNet } from "../../cluster/addresses.ts";
import { type Api, isReady, type Thing } from "../../cluster/api.ts";
import { apiOf, authorityOf, kubeconfigOf } from "../../cluster/cluster.ts";
import { startControllers } from "../../cluster/control-plane.ts";
import { archiveNamed, busyboxTree, writeArchive } from "../../cluster/images.ts";
import { removeCgroups } from "../../cluster/leftovers.ts";
import { cgroupOf, type Place } from "../../cluster/machine.ts";
import { runKubelet, startContainerd, startKubelet } from "../../cluster/node.ts";
import { type RunOptions, run, until } from "../../cluster/run.ts";
import type { Provided } from "../../cluster/scope.ts";
import { makeSite } from "../../cluster/site.ts";
import { repository } from "../../support/executable.ts";
import { DISK, kind, labDirectory, noLab } from "../kind.ts";
import { keepLogs } from "../logs.ts";
import { Machine } from "../machine.ts";
import { type Cable, Switch } from "../network.ts";
import { ControlPlane } from "./control.ts";
import { makeNodeDisk } from "./disk.ts";
import { LabNode } from "./node.ts";

const programs = process.env.RDS_CSI_CLUSTER_PROGRAMS ?? "";

/** Why there can be no kubelets in the lab, for the names of skipped tests; "" when there can. */
export const noKubelets: string = (() => {
  if (noLab !== "") return noLab;
  if (!kind.hasHostTree) return "(skipped: such machines do not have the host's tree)";
  if (process.getuid?.() !== 0) return "(skipped: the control plane needs root)";
  if (programs === "") return "(skipped: no programs of scripts/cluster build, or no image)";
  return existsSync("/dev/net/tun") ? "" : "(skipped: there is no /dev/net/tun)";
})();

export const NODES = ["node-1", "node-2"] as const;
/** Image of a pod with a shell and the program guest/records.c. */
export const WRITER = "lab.test/writer:1";
const RDS_ADDRESS = "192.0.2.2";

/**
 * A Kubernetes whose nodes are machines of the lab, each with a kernel, a kubelet and a containerd of its own, and real NVMe/TCP to the
 * simulated RDS. The driver runs in pods, from its manifests. The control plane is on this computer.
 */
export class KubeWorld implements Provided {
  readonly directory: string;
  readonly place: Place;
  readonly waitMs = 180_000;
  readonly network = new Switch();
  readonly #cables = new Map<string, Cable>();
  readonly #nodes = new Map<string, LabNode>();
  /** What is on every node's disk before its first boot. */
  readonly #disk: string;
  #rds: Machine | undefined;
  #control: ControlPlane | undefined;
  #api: Api | undefined;

  private constructor() {
    this.directory = mkdtempSync(join(tmpdir(), "rds-csi-lab-"));
    this.place = { state: join(this.directory, "cluster"), programs };
    this.#disk = join(this.directory, "node.disk");
  }

  /**
   * Starts everything and waits until the driver serves on all nodes.
   * @param say told what takes how long
   */
  static async start(say: (text: string) => void = () => {}): Promise<KubeWorld> {
    const world = new KubeWorld();
    const begun = Date.now();
    const time = (what: string) => say(`${((Date.now() - begun) / 1000).toFixed(1)} s: ${what}`);
    try {
      await world.#start(time);
      return world;
    } catch (error) {
      await world.close(true);
      throw error;
    }
  }

  async #start(time: (what: string) => void): Promise<void> {
    const { place } = this;
    mkdirSync(place.state, { recursive: true });
    for (const name of ["control", "rds", ...NODES]) this.#cables.set(name, await this.network.plug());
    const site = join(place.state, "site");
    const config = { "rds-address": RDS_ADDRESS, "nvme-address": RDS_ADDRESS };
    // The lab has no snapshot controller, and so none of its kinds.
    await makeSite(site, { config, patches: [], components: ["kubevirt", "monitoring"] });
    const control = async () => {
      this.#control = await ControlPlane.start(place, this.cable("control"), NODES);
      this.#api = await apiOf(place);
      await startControllers(this.#control.machine);
      time("the control plane runs");
    };
    const rds = async () => {
      await this.#startRds(site);
      time("the RDS serves");
    };
    const nodes = async () => {
      await makeNodeDisk(place, this.#disk, [await makeWriter()]);
      time("the disk of the nodes is made");
      await Promise.all(NODES.map(async (name) => startContainerd(await this.#bootNode(name))));
      time("the nodes have booted");
    };
    // All of them, as what still starts cannot be ended.
    const started = await Promise.allSettled([control(), rds(), nodes()]);
    for (const each of started) if (each.status === "rejected") throw each.reason;
    for (const [index, name] of NODES.entries()) {
      const token = this.#control?.credentials.nodes.get(name) ?? "";
      await startKubelet(this.node(name), { index, token, authority: authorityOf(place) });
    }
    for (const name of NODES) {
      await this.node(name).await("kubelet", async () => (await this.api.find("Node", name)) !== undefined);
    }
    const kinds = join(repository, "test/cluster/crds.yaml");
    await this.kubectl(["apply", "--server-side", "-f", kinds]);
    const manifests = await this.kubectl(["kustomize", site]);
    // Kinds that were defined a moment ago are not served at once.
    await until("the manifests to be accepted", async () => {
      await this.kubectl(["apply", "--server-side", "-f", "-"], { input: manifests });
      return true;
    });
    time("kubelets started, manifests applied");
    await this.awaitDriver();
    time("the driver serves");
  }

  get api(): Api {
    if (this.#api === undefined) throw new Error("the control plane did not start");
    return this.#api;
  }

  get kubeconfig(): string {
    return kubeconfigOf(this.place);
  }

  kubectl(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const env = { KUBECONFIG: this.kubeconfig, ...options.env };
    return run(join(programs, "bin/kubectl"), args, { timeoutMs: 120_000, ...options, env });
  }

  get rds(): Machine {
    if (this.#rds === undefined) throw new Error("the RDS did not start");
    return this.#rds;
  }

  cable(name: string): Cable {
    const cable = this.#cables.get(name);
    if (cable === undefined) throw new Error(`no cable ${name}`);
    return cable;
  }

  node(name: string): LabNode {
    const node = this.#nodes.get(name);
    if (node === undefined) throw new Error(`no node ${name}`);
    return node;
  }

  /** Switches a node on again whose plug was pulled: its disk is as it was, nothing runs. Waits until the driver serves on it. */
  async boot(name: (typeof NODES)[number]): Promise<void> {
    const node = await this.#bootNode(name);
    await startContainerd(node);
    await runKubelet(node, NODES.indexOf(name));
    await this.api.await("Node", name, undefined, "ready", isReady, 120_000);
    await this.awaitDriver();
  }

  /** Waits until both controllers and the driver of every node are ready. */
  async awaitDriver(): Promise<void> {
    const { api } = this;
    const replicas = ({ status }: Thing) => status?.readyReplicas === 2;
    await api.await(
      "Deployment",
      "rds-csi-controller",
      "rds-csi",
      "with two ready replicas",
      replicas,
      180_000,
    );
    const all = ({ status }: Thing) => status?.numberReady === NODES.length;
    await api.await("DaemonSet", "rds-csi-node", "rds-csi", "ready on all nodes", all, 120_000);
    const registered = ({ spec }: Thing) => spec.drivers?.length > 0;
    for (const name of NODES) await api.await("CSINode", name, undefined, "with the driver", registered);
  }

  /** The state of the simulated RDS. */
  async disks(): Promise<readonly Thing[]> {
    const text = await this.rds.sh("curl -fsS --unix-socket /run/control.sock http://simulator/state");
    return JSON.parse(text).disks;
  }

  /** Switches everything off. After a failure the directory stays, with every console and log. @param failed whether it is to stay */
  async close(failed = false): Promise<void> {
    const logs = join(this.directory, "logs");
    const machines = [...(this.#rds === undefined ? [] : [this.#rds])].concat(
      [...this.#nodes.values()].map(({ machine }) => machine),
    );
    if (failed) {
      const pods = "cd /var/lib/pod-logs && for f in */*/*.log; do cp $f /run/$(echo $f | tr / _); done";
      await Promise.all(machines.map((machine) => machine.run(pods, 10_000).catch(() => {})));
      await Promise.all(machines.map((machine) => keepLogs(machine, logs)));
      await cp(join(this.place.state, "log"), join(logs, "control"), { recursive: true }).catch(() => {});
    }
    await this.#control?.end();
    await Promise.all(machines.map((machine) => machine.powerOff()));
    await removeCgroups(cgroupOf(this.place));
    this.network.close();
    for (const each of failed ? readdirSync(this.directory).filter((name) => name !== "logs") : [""]) {
      rmSync(join(this.directory, each), { recursive: true, force: true });
    }
    if (failed) console.error(`the lab's logs are in ${logs}`);
  }

  /** Boots a node and makes it a computer for Kubernetes. Its disk is made by the first boot. */
  async #bootNode(name: string): Promise<LabNode> {
    const index = NODES.indexOf(name as (typeof NODES)[number]);
    const blockDevice = `${join(this.directory, name)}.disk,${this.#disk}`;
    const machine = await this.#boot(name, nodeAddress(index), { memory: "3G", blockDevice });
    const node = new LabNode(machine, this.place.state);
    this.#nodes.set(name, node);
    mkdirSync(node.directory, { recursive: true });
    await writeFile(join(node.directory, "pod-net"), podNet(index));
    const script = join(repository, "test/lab/kubelet/node.sh");
    const paths = [node.directory, join(programs, "bin"), repository, labDirectory];
    await machine.sh(`sh /run/host${script} ${paths.join(" ")}`);
    // What a node does not know, pods of the other one and the API included, it sends to the control plane.
    await machine.sh(`ip route add default via ${CONTROL}`);
    return node;
  }

  async #startRds(site: string): Promise<void> {
    const disk = join(this.directory, "rds-disk");
    const rds = await this.#boot("rds", RDS_ADDRESS, { memory: "1G", disk });
    this.#rds = rds;
    await rds.sh(`ip route add default via ${CONTROL}`);
    await rds.put("/run/lab/user-key.pub", await readFile(join(site, "rds-csi-key.pub"), "utf8"));
    await rds.start("simulate", kind.executable, [
      ...["simulate", "--backend", "nvmet", "--dir", `${DISK}/rds`, "--listen", `${RDS_ADDRESS}:22`],
      ...["--user", "csi", "--authorized-keys-file", "/run/lab/user-key.pub"],
      ...["--host-key-file", "/run/lab/host-key", "--ready-file", "/run/lab/address"],
      ...["--control-socket", "/run/control.sock", "--pool", "storage-pool:btrfs:200GiB"],
    ]);
    await until("the simulated RDS", async () => (await rds.run("test -s /run/lab/address")).code === 0);
    await writeFile(join(site, "known_hosts"), await rds.get("/run/lab/host-key"));
  }

  async #boot(
    name: string,
    address: string,
    options: { readonly memory: string; readonly disk?: string; readonly blockDevice?: string },
  ): Promise<Machine> {
    const mac = `02:00:00:77:00:${address.split(".").at(-1)?.padStart(2, "0")}`;
    const logs = join(this.directory, "logs");
    return await Machine.boot({
      name,
      address: `${address}/24`,
      mac,
      cable: this.cable(name),
      logs,
      ...options,
    });
  }
}

/** An archive with the image of the pods that write records. */
async function makeWriter(): Promise<string> {
  const file = await archiveNamed(programs, "writer", join(labDirectory, "records"));
  if (existsSync(file)) return file;
  const tree = await busyboxTree(programs);
  const bytes = await readFile(join(labDirectory, "records"));
  tree.add("bin/records", { kind: "file", mode: 0o755, bytes });
  await writeArchive(file, [{ references: [WRITER], tree, config: { Cmd: ["/bin/sh"] } }]);
  return file;
}
