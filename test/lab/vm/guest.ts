import { block, Mode } from "../../support/rpc.ts";
import { LabVolume } from "../volume.ts";
import { RDS_DIRECTORY, type World } from "../world.ts";
import { FAST, GUEST_RECORDS, guestSlots, Qemu, SLOW } from "./qemu.ts";

const RWX = block(Mode.MULTI_NODE_MULTI_WRITER);
/** Bytes of a record, and of a sector as the kernel counts. */
const RECORD = 4096;
const SECTOR = 512;
const PATIENCE_MS = 240_000;

/** A node with the volume attached and staged, and a QEMU that has it as its disk. */
interface Side {
  readonly node: string;
  readonly qemu: Qemu;
}

/** One that the machine has left, and the records that its kernel had written then. */
interface Source extends Side {
  readonly records: number;
}

/** One that waits for a migration. */
interface Target extends Side {
  readonly capabilities: readonly string[];
}

/**
 * A virtual machine that writes numbered records to a volume without pause, and the RPCs that KubeVirt's launcher pods cause around its
 * migrations. It keeps what each side did: each record must be written once and in order, by the side that runs.
 */
export class Guest {
  readonly volume: LabVolume;
  readonly #world: World;
  #side: Side;
  /** What the guest said by way of sides that have ended. */
  #said = "";
  /** Records that the block devices of sides that have ended were given. */
  #written = 0;
  readonly #faults: string[] = [];

  private constructor(world: World, volume: LabVolume, side: Side) {
    this.#world = world;
    this.volume = volume;
    this.#side = side;
  }

  /** Creates a volume of this name, and runs the machine on node-a. */
  static async start(world: World, name: string, parameters: Record<string, string> = {}): Promise<Guest> {
    const size = BigInt(guestSlots() * RECORD);
    const volume = await LabVolume.create(world, name, RWX, parameters, size);
    const node = "node-a";
    await volume.up(node);
    const qemu = await Qemu.restore(world.machine(node), volume.target());
    await world.until("the saved machine", async () => (await qemu.status()) === "paused", PATIENCE_MS);
    const guest = new Guest(world, volume, { node, qemu });
    await qemu.go(1);
    await guest.progress();
    return guest;
  }

  /** The side that runs. */
  get side(): Side {
    return this.#side;
  }

  /** Violations that were seen so far, in words. */
  get faults(): readonly string[] {
    return this.#faults;
  }

  /** Waits until the side that runs has written more records. */
  async progress(more = 20): Promise<void> {
    const { node, qemu } = this.#side;
    const before = await qemu.writes();
    try {
      await this.#world.until(
        `${more} records of the guest`,
        async () => (await qemu.writes()) >= before + more,
        PATIENCE_MS,
      );
    } catch (error) {
      const seen = [
        `${before}, then ${await qemu.writes()} writes on ${node}`,
        `the machine is ${await qemu.status()}`,
        `the connection is ${await this.volume.states(node)}`,
        `the guest's last words are ${JSON.stringify((await qemu.console()).slice(-60))}`,
        `its processor is at ${await qemu.processor()}`,
      ];
      throw new Error(`${error}: ${seen.join("; ")}`);
    }
  }

  /**
   * Attaches the second node, and starts a QEMU that waits there on its device of the volume.
   * @param capabilities of this migration, in QEMU's words
   */
  async receive(node: string, capabilities: readonly string[] = []): Promise<Target> {
    await this.volume.up(node);
    const machine = this.#world.machine(node);
    const qemu = await Qemu.receive(machine, this.volume.target(), capabilities);
    return { node, qemu, capabilities };
  }

  /** Begins to copy, and waits until a part is there; so slowly that the copy is under way until `release`. */
  async copy(target: Target): Promise<void> {
    await this.#side.qemu.migrate(this.#world.address(target.node), SLOW, target.capabilities);
    await this.#world.until(
      "a part of the copy",
      async () => {
        const { status, copied } = await this.#side.qemu.migration();
        return status === "active" && copied > SLOW;
      },
      PATIENCE_MS,
    );
  }

  /** Looks that the target has written nothing, and lets the copy end. */
  async release(target: Side): Promise<void> {
    await this.expectUnwritten(target);
    await this.#side.qemu.bandwidth(FAST);
  }

  /** Waits until the machine runs on the target, and is stopped on the source. @returns the source, which goes with `leave` */
  async switched(target: Side): Promise<Source> {
    const source = this.#side;
    await this.ended(source, "completed");
    const stopped = await source.qemu.status();
    if (stopped !== "postmigrate") this.#faults.push(`the source is ${stopped} after the switch`);
    const records = await this.recordsOn(source.node);
    await this.#world.until(
      "the target runs",
      async () => (await target.qemu.status()) === "running",
      PATIENCE_MS,
    );
    this.#side = target;
    return { ...source, records };
  }

  /** A whole migration up to the moment when the machine runs on the target. */
  async migrate(node: string): Promise<Source> {
    const target = await this.receive(node);
    await this.copy(target);
    await this.release(target);
    return await this.switched(target);
  }

  /** Waits until the migration from a side has a status, which is its last one or "postcopy-active". */
  async ended({ qemu }: Side, wanted: string): Promise<void> {
    let last = "";
    await this.#world.until(
      `the migration is ${wanted}`,
      async () => {
        last = (await qemu.migration()).status;
        if (last !== wanted && ["completed", "failed", "cancelled"].includes(last))
          throw new Error(`the migration is ${last} instead of ${wanted}`);
        return last === wanted;
      },
      PATIENCE_MS,
    );
  }

  /** The source's QEMU ends, if it has not, and its node is detached; it must have written nothing since the switch. */
  async leave(source: Source, how: "quit" | "killed" = "quit"): Promise<void> {
    if (how === "quit") await source.qemu.quit();
    this.#said += await source.qemu.console();
    const records = await this.recordsOn(source.node);
    if (records !== source.records)
      this.#faults.push(`${source.node} wrote ${records - source.records} records after the switch`);
    await this.#detach(source.node);
  }

  /** A target that ended, or is made to, before the switch; it must have written nothing. */
  async abandon(target: Side): Promise<void> {
    await target.qemu.ended;
    await this.expectUnwritten({ node: target.node });
    await this.#detach(target.node);
  }

  /** Looks that a side that never ran has written nothing: its kernel to the volume, and QEMU for its guest. */
  async expectUnwritten({ node, qemu }: { readonly node: string; readonly qemu?: Qemu }): Promise<void> {
    const records = await this.recordsOn(node);
    if (records !== 0) this.#faults.push(`${node} wrote ${records} records before the switch`);
    if (qemu === undefined) return;
    const writes = await qemu.writes();
    if (writes !== 0) this.#faults.push(`QEMU on ${node} made ${writes} writes before the switch`);
    const status = await qemu.status();
    if (status !== "inmigrate") this.#faults.push(`the target is ${status} before the switch`);
  }

  /** Records, or parts of one, that a node's kernel has written to the volume since it was connected there. */
  async recordsOn(node: string): Promise<number> {
    // One device, or behind a multipath device the path, which is what counts then. Field 7: sectors written.
    const text = await this.#world.machine(node).look(`for c in /sys/class/nvme/nvme*; do
      grep -q ':${this.volume.id}' $c/subsysnqn 2>/dev/null && cat $c/nvme*n*/stat; done; true`);
    const devices = text.split("\n").filter((line) => line.trim() !== "");
    if (devices.length !== 1) throw new Error(`${node} has ${devices.length} devices of ${this.volume.id}`);
    return (Number(devices[0]?.trim().split(/\s+/)[6]) * SECTOR) / RECORD;
  }

  /** Path of the volume's backing file on the machine `rds`. */
  get disk(): string {
    return `${RDS_DIRECTORY}/files/storage-pool/csi/${this.volume.id}/disk.img`;
  }

  /** Stops the machine for good, and detaches its last node. @returns the last record that the guest has reported */
  async stop(): Promise<number> {
    const { node, qemu } = this.#side;
    await qemu.ask("stop");
    this.#said += await qemu.console();
    await qemu.quit();
    await this.#detach(node);
    return lines(this.#said).at(-1) ?? 0;
  }

  /**
   * Judges all that the machine did, after `stop`: the guest reported 1, 2, 3 ... over all sides, each of these records is on the volume's
   * backing file, once and undamaged, and the nodes' kernels wrote as many records as there are. Then the volume goes.
   */
  async judge(): Promise<void> {
    const acknowledged = lines(this.#said);
    const last = acknowledged.at(-1) ?? 0;
    const wrong = acknowledged.findIndex((number, index) => number !== index + 1);
    if (wrong >= 0) this.#faults.push(`the guest reported ${acknowledged[wrong]} as its record ${wrong + 1}`);
    const slots = guestSlots();
    // Slot 0 stays free, and one more write may have been under way.
    if (last + 1 >= slots) this.#faults.push(`${last} records in ${slots} slots: some were overwritten`);
    const verified = await this.#world.rds.run(`${GUEST_RECORDS} verify ${this.disk} ${last} 1`, PATIENCE_MS);
    if (verified.code !== 0) this.#faults.push(verified.stderr.trimEnd());
    const newest = Number(await this.#world.rds.sh(`${GUEST_RECORDS} newest ${this.disk}`, PATIENCE_MS));
    if (newest !== this.#written) this.#faults.push(`${newest} records, but ${this.#written} were written`);
    await this.volume.delete();
    if (this.#faults.length > 0) throw new Error(this.#faults.join("\n"));
  }

  /** The end of the machine, and the judgement. */
  async finish(): Promise<void> {
    await this.stop();
    await this.judge();
  }

  async #detach(node: string): Promise<void> {
    this.#written += await this.recordsOn(node);
    await this.volume.down(node);
  }
}

/** The numbers that a guest has reported, a whole line each. */
function lines(text: string): number[] {
  return text.split("\n").slice(0, -1).map(Number);
}
