import { type HostIdentity, hostIdentity } from "../../domain/host-identity.ts";
import { readAttribute } from "../../host/block-device.ts";
import { complaint } from "../../host/exec.ts";
import type { StoragePort } from "../../host/reach.ts";
import type { NodeSystem } from "../../host/system.ts";
import { subsystemState } from "../../nvme/sysfs.ts";
import { Unanswered } from "../unanswered.ts";

const COMMAND_MS = 30_000;

/** The connection of an NQN on this machine, as it is now. */
export interface HostView {
  /** States of its controllers, e.g. `live`; none: it is not connected. */
  readonly states: readonly string[];
  /** Bytes of its device; undefined without one. */
  readonly sizeBytes: bigint | undefined;
  /** Serial number and identifiers of the device, as one text; "" without one. */
  readonly identity: string;
}

/** This machine as a host of NVMe/TCP. */
export class ProbeHost {
  /** Two hosts that this machine can be. */
  readonly own: HostIdentity = hostIdentity("rds-csi probe", "own");
  readonly other: HostIdentity = hostIdentity("rds-csi probe", "other");
  readonly #system: NodeSystem;
  readonly #port: StoragePort;
  readonly #connected = new Set<string>();

  /** TCP port of the exports. */
  get port(): number {
    return this.#port.port;
  }

  constructor(system: NodeSystem, port: StoragePort) {
    this.#system = system;
    this.#port = port;
  }

  /** Connects. @returns the reason of a refusal; undefined if it is connected */
  async connect(nqn: string, { hostNqn, hostId }: HostIdentity = this.own): Promise<string | undefined> {
    this.#connected.add(nqn);
    const { address, port } = this.#port;
    const names = [`--nqn=${nqn}`, `--hostnqn=${hostNqn}`, `--hostid=${hostId}`];
    const times = ["--ctrl-loss-tmo=60", "--reconnect-delay=1", "--keep-alive-tmo=5"];
    const args = [
      "connect",
      "--transport=tcp",
      `--traddr=${address}`,
      `--trsvcid=${port}`,
      ...names,
      ...times,
    ];
    const result = await this.#system.exec({ program: "nvme", args, deadlineMs: COMMAND_MS });
    if (result.code !== 0) return complaint(result);
    return undefined;
  }

  /** The state of an NQN. */
  async look(nqn: string): Promise<HostView> {
    const { sysRoot } = this.#system;
    const { controllers, namespaces } = await subsystemState(sysRoot, nqn);
    const device = namespaces[0]?.device;
    const of = (attribute: string) => readAttribute(`${sysRoot}/block/${device?.name}/${attribute}`);
    const serial = await readAttribute(`${sysRoot}/class/nvme/${controllers[0]?.name}/serial`);
    const ids = device === undefined ? [] : await Promise.all(["uuid", "nguid", "wwid"].map(of));
    return {
      states: controllers.map(({ state }) => state),
      sizeBytes: device?.sizeBytes,
      identity: device === undefined ? "" : [serial, ...ids].map((text) => text ?? "-").join(" "),
    };
  }

  /** Connects, and waits for the device. @throws Unanswered */
  async attach(nqn: string): Promise<HostView> {
    const refused = await this.connect(nqn);
    if (refused !== undefined) throw new Unanswered(`nvme connect: ${refused}`);
    let view = await this.look(nqn);
    await this.until("the device", async () => {
      view = await this.look(nqn);
      return view.states.includes("live") && view.sizeBytes !== undefined;
    });
    return view;
  }

  /** Waits until a look succeeds. @returns whether it has within the time @param withinMs milliseconds */
  async within(withinMs: number, look: () => Promise<boolean>): Promise<boolean> {
    const { clock } = this.#system;
    for (const end = clock.monotonic() + withinMs; ; await clock.sleep(100)) {
      if (await look()) return true;
      if (clock.monotonic() > end) return false;
    }
  }

  /** @throws Unanswered after 20 s */
  async until(what: string, look: () => Promise<boolean>): Promise<void> {
    if (!(await this.within(20_000, look))) throw new Unanswered(`waited for ${what}`);
  }

  /** Lets the kernel ask for the size again. */
  async rescan(nqn: string): Promise<void> {
    for (const { name, state } of (await subsystemState(this.#system.sysRoot, nqn)).controllers) {
      if (state !== "live") continue;
      const args = ["ns-rescan", `/dev/${name}`];
      await this.#system.exec({ program: "nvme", args, deadlineMs: COMMAND_MS });
    }
  }

  /** Disconnects everything that it has connected. Nothing of the probe uses the devices. */
  async release(): Promise<void> {
    for (const nqn of this.#connected) {
      await this.#system.exec({
        program: "nvme",
        args: ["disconnect", `--nqn=${nqn}`],
        deadlineMs: COMMAND_MS,
      });
      if (await this.within(5_000, async () => (await this.look(nqn)).states.length === 0))
        this.#connected.delete(nqn);
    }
  }
}
