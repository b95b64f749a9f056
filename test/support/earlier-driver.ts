import { readFile } from "node:fs/promises";
import type { VolumeId } from "../../src/domain/volume-id.ts";
import type { Simulator } from "../../src/simulator/simulator.ts";
import {
  EARLIER,
  EARLIER_FOLDER,
  earlierNqn,
  MAKE_EARLIER_FOLDER,
  requireDone,
  saysReady,
} from "./earlier-commands.ts";
import { connectWith, type TestClient } from "./simulator-client.ts";
import { until } from "./until.ts";

/**
 * The earlier Go driver, as far as the RDS and its nodes see it: its RouterOS commands word by word over SSH, and the connections that its nodes make.
 * It keeps no record, exports each volume from its creation on, and sends no command for an attach or a detach.
 */
export class EarlierDriver {
  readonly #simulator: Simulator;
  readonly #client: TestClient;

  private constructor(simulator: Simulator, client: TestClient) {
    this.#simulator = simulator;
    this.#client = client;
  }

  /** Logs in, and makes its folder, which a person makes for it. */
  static async start(simulator: Simulator, keyFile: string): Promise<EarlierDriver> {
    const privateKey = await readFile(keyFile);
    const driver = new EarlierDriver(
      simulator,
      await connectWith(simulator, { username: "csi", privateKey }),
    );
    const { parentMissing, slotTooLong } = simulator.switches;
    simulator.setSwitches({ parentMissing: "create", slotTooLong: "accept" });
    for (const line of MAKE_EARLIER_FOLDER) await driver.#run(line);
    simulator.setSwitches({ parentMissing, slotTooLong });
    return driver;
  }

  async #run(line: string): Promise<string> {
    return requireDone(line, await this.#client.exec(line));
  }

  /** Its CreateVolume; on a RouterOS that still takes long slots. */
  async create(id: VolumeId, bytes: bigint): Promise<void> {
    const { slotTooLong } = this.#simulator.switches;
    this.#simulator.setSwitches({ slotTooLong: "accept" });
    await this.#run(EARLIER.create(id, bytes));
    this.#simulator.setSwitches({ slotTooLong });
    if (!(await this.isReady(id))) throw new Error(`${id} is not ready`);
    await until(`the device of ${id}`, () => this.#simulator.device.disk(id)?.ready === true);
  }

  /** Its only look at a volume: a file disk that is exported counts as ready, and anything else does not. */
  async isReady(id: VolumeId): Promise<boolean> {
    return saysReady(await this.#run(EARLIER.look(id)), id);
  }

  async resize(id: VolumeId, bytes: bigint): Promise<void> {
    await this.#run(EARLIER.resize(id, bytes));
  }

  /** Its DeleteVolume. */
  async remove(id: VolumeId): Promise<void> {
    await this.#run(EARLIER.removeDisk(id));
    await this.#run(EARLIER.removeFile(id));
  }

  /** Its CreateSnapshot, where the device copies the properties of the source with its NQN. */
  async snapshot(slot: string, source: VolumeId): Promise<void> {
    const { slotTooLong } = this.#simulator.switches;
    this.#simulator.setSwitches({ slotTooLong: "accept", duplicateNqn: "allowed" });
    await this.#run(
      `/disk add type=file file-path=/${EARLIER_FOLDER}/${slot}.img file-size=1M slot=${slot} nvme-tcp-export=yes nvme-tcp-server-port=4420 nvme-tcp-server-nqn=${earlierNqn(source)}`,
    );
    this.#simulator.setSwitches({ slotTooLong });
    await until(`the device of ${slot}`, () => this.#simulator.device.disk(slot)?.ready === true);
  }

  /** Its NodeStageVolume: `nvme connect`, whatever the controller knows. Returns whether the RDS lets the host in. */
  connect(id: VolumeId, host: string): boolean {
    return this.#simulator.device.connectHost(earlierNqn(id), host);
  }

  disconnect(id: VolumeId, host: string): void {
    this.#simulator.device.disconnectHost(earlierNqn(id), host);
  }

  /** The hosts that are connected under its NQN of a volume. */
  connected(id: VolumeId): readonly string[] {
    return this.#simulator.device.hosts.connected(earlierNqn(id));
  }

  close(): void {
    this.#client.close();
  }
}
