import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import type { AddressInfo, Server } from "node:net";
import { join } from "node:path";
import { API_SERVICE, CONTROL, nodeAddress, podNet } from "../../cluster/addresses.ts";
import { authorityOf, kubeconfigOf } from "../../cluster/cluster.ts";
import { type Credentials, prepareControlPlane, startApi } from "../../cluster/control-plane.ts";
import { INSIDE, Machine as Namespaces, type Place } from "../../cluster/machine.ts";
import { kubeconfig } from "../../cluster/pki.ts";
import { relay } from "../../cluster/relay.ts";
import { until } from "../../cluster/run.ts";
import { labDirectory } from "../kind.ts";
import type { Cable } from "../network.ts";

/** The control plane of a cluster whose nodes are machines of the lab: namespaces of this computer, on the lab's network. */
export class ControlPlane {
  readonly machine: Namespaces;
  readonly credentials: Credentials;
  readonly #tap: ChildProcess;
  readonly #relay: Server;

  private constructor(machine: Namespaces, credentials: Credentials, tap: ChildProcess, relayed: Server) {
    this.machine = machine;
    this.credentials = credentials;
    this.#tap = tap;
    this.#relay = relayed;
  }

  /** Starts etcd and the API server, and writes an administrator's kubeconfig. */
  static async start(place: Place, cable: Cable, nodes: readonly string[]): Promise<ControlPlane> {
    const machine = await Namespaces.start("control", place);
    const tap = await startTap(machine, cable);
    await machine.run("ip", ["addr", "add", `${API_SERVICE}/32`, "dev", "lo"]);
    await machine.run("ip", ["addr", "add", `${CONTROL}/24`, "dev", CARD]);
    await machine.run("ip", ["link", "set", CARD, "up"]);
    for (const [index] of nodes.entries()) {
      await machine.run("ip", ["route", "add", `${podNet(index)}.0.0/16`, "via", nodeAddress(index)]);
    }
    const credentials = await prepareControlPlane(machine, nodes);
    await startApi(machine);
    const bun = `${INSIDE.repository}/node_modules/.bin/bun`;
    const socket = join(machine.directory, "api.sock");
    await machine.daemon("relay", [
      ...[bun, `${INSIDE.repository}/test/cluster/relay.ts`],
      ...[`${INSIDE.machine}/api.sock`, `${CONTROL}:443`],
    ]);
    await until("the relay in the control machine", () => existsSync(socket));
    const relayed = await relay("127.0.0.1:0", socket);
    const server = `https://127.0.0.1:${(relayed.address() as AddressInfo).port}`;
    await writeFile(kubeconfigOf(place), kubeconfig(server, authorityOf(place), credentials.admin), {
      mode: 0o600,
    });
    return new ControlPlane(machine, credentials, tap, relayed);
  }

  async end(): Promise<void> {
    this.#relay.close();
    await this.machine.end();
    this.#tap.stdin?.end();
    if (this.#tap.exitCode === null) await once(this.#tap, "exit");
  }
}

const CARD = "lab0";

/** Plugs the machine's network card into the lab's switch. The program that does it also ends the machine if this process dies. */
async function startTap(machine: Namespaces, cable: Cable): Promise<ChildProcess> {
  const args = [String(machine.pid), CARD, `${cable.machinePort}-${cable.switchPort}`];
  const tap = spawn(join(labDirectory, "tap"), args, { stdio: ["pipe", "pipe", "inherit"] });
  await Promise.race([
    once(tap.stdout, "data"),
    once(tap, "exit").then(([code]) => Promise.reject(new Error(`tap ended with ${code}`))),
  ]);
  return tap;
}
