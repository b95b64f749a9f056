import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import type { Machine } from "../machine.ts";

/** The virtual machine that `scripts/lab` made: build.sh's directory, a path of this machine. */
const directory = process.env.RDS_CSI_LAB_VM ?? "";

/** Why no virtual machine can run here, for the names of skipped tests; "" when one can. */
export const noVirtualMachine: string =
  directory === "" ? "(skipped: QEMU, or the virtual machine for it, cannot be had here)" : "";

/** guest/records.c with the guest's number of slots, as a machine of the lab sees it. */
export const GUEST_RECORDS = `/run/host${directory}/records`;
/** Number of its slots, as build.sh has chosen it. */
export const guestSlots = (): number => Number(readFileSync(join(directory, "slots"), "utf8"));
/** TCP port of a QEMU that waits for a migration. */
const PORT = 49152;
const LIMIT_MS = 60_000;
/** Bytes a second at which a copy does not end by itself, and at which nothing keeps it. */
export const SLOW = 256 * 1024;
export const FAST = 1024 ** 3;

/** Answer of query-migrate, as far as it is used. */
interface Migration {
  readonly status?: string;
  readonly ram?: { readonly transferred: number };
}

/** How often the disk of a virtual machine was written and read, by query-blockstats. */
interface DiskStatistics {
  readonly stats: { readonly wr_operations: number; readonly rd_operations: number };
}

let started = 0;

/** A QEMU process on a machine of the lab, with the block device of a volume as its disk: `cache=none`, as KubeVirt has it. */
export class Qemu {
  readonly machine: Machine;
  readonly ended: Promise<string>;
  readonly #pid: number;
  readonly #files: string;

  private constructor(machine: Machine, pid: number, ended: Promise<string>, files: string) {
    this.machine = machine;
    this.#pid = pid;
    this.ended = ended;
    this.#files = files;
  }

  /**
   * Starts QEMU and waits until it answers.
   * @param device path of the block device on the machine
   * @param incoming where the state of the virtual machine comes from, in QEMU's words
   */
  static async start(machine: Machine, device: string, incoming: string): Promise<Qemu> {
    started += 1;
    const files = `/run/vm-${started}`;
    await machine.sh(`mkdir ${files} && mkfifo ${files}/go.in ${files}/go.out`);
    const common = readFileSync(join(directory, "machine"), "utf8").trimEnd().split("\n");
    const { pid, ended } = await machine.start(`qemu-${started}`, "/usr/bin/qemu-system-x86_64", [
      ...common.map((word) => word.replace("@", `/run/host${directory}`)),
      ...["-chardev", `file,id=records,path=${files}/console`, "-serial", "chardev:records"],
      ...["-chardev", `pipe,id=go,path=${files}/go`, "-serial", "chardev:go"],
      ...["-qmp", `unix:${files}/qmp,server=on,wait=off`],
      "-blockdev",
      `driver=host_device,node-name=disk,filename=${device},cache.direct=on,cache.no-flush=off,aio=native`,
      ...["-device", "virtio-blk-pci,drive=disk", "-incoming", incoming],
    ]);
    const qemu = new Qemu(machine, pid, ended, files);
    await Promise.race([
      machine.sh(`until [ -S ${files}/qmp ]; do sleep 0.05; done`, LIMIT_MS),
      ended.then(async (how) => {
        throw new Error(`QEMU ended with ${how}: ${await machine.sh(`cat /run/qemu-${started}.log`)}`);
      }),
    ]);
    return qemu;
  }

  /** Starts the virtual machine that was saved the moment before its first record; it is paused once its memory is there. */
  static async restore(machine: Machine, device: string): Promise<Qemu> {
    return await Qemu.start(machine, device, `exec:cat /run/host${directory}/state`);
  }

  /** Starts one that waits for a migration. @param capabilities migration capabilities in QEMU's words */
  static async receive(
    machine: Machine,
    device: string,
    capabilities: readonly string[] = [],
  ): Promise<Qemu> {
    const qemu = await Qemu.start(machine, device, "defer");
    await qemu.#enable(capabilities);
    await qemu.ask("migrate-incoming", { uri: `tcp:0:${PORT}` });
    return qemu;
  }

  /** A command of QMP; what it returns. */
  async ask(command: string, args: object = {}, limitMs: number = LIMIT_MS): Promise<unknown> {
    return await this.machine.qmp(`${this.#files}/qmp`, command, args, limitMs);
  }

  /** Lets the guest of a restored machine write records. */
  async go(first: number): Promise<void> {
    await this.ask("cont");
    await this.machine.sh(`echo ${first} >${this.#files}/go.in`);
  }

  /** State of the virtual machine, e.g. running, inmigrate, postmigrate. */
  async status(): Promise<string> {
    return ((await this.ask("query-status")) as { status: string }).status;
  }

  /** Writes of the guest that this QEMU has made. */
  async writes(): Promise<number> {
    const [disk] = (await this.ask("query-blockstats")) as readonly DiskStatistics[];
    if (disk === undefined) throw new Error("QEMU has no disk");
    return disk.stats.wr_operations;
  }

  /** Where the processor is, for the explanation of a guest that does not go on. */
  async processor(): Promise<string> {
    const text = String(await this.ask("human-monitor-command", { "command-line": "info registers" }));
    return text.match(/RIP=.*/)?.[0] ?? text;
  }

  /** Begins the migration to a QEMU that waits at an address. @param bandwidth bytes a second */
  async migrate(address: string, bandwidth: number, capabilities: readonly string[] = []): Promise<void> {
    await this.#enable(capabilities);
    await this.bandwidth(bandwidth);
    await this.ask("migrate", { uri: `tcp:${address}:${PORT}` });
  }

  /** Bytes a second of the copy, also of one that runs, before and after a switch to post-copy. */
  async bandwidth(bytes: number): Promise<void> {
    await this.ask("migrate-set-parameters", { "max-bandwidth": bytes, "max-postcopy-bandwidth": bytes });
  }

  /** State of the migration from here, and the bytes that were copied. */
  async migration(): Promise<{ readonly status: string; readonly copied: number }> {
    const { status = "none", ram } = (await this.ask("query-migrate")) as Migration;
    return { status, copied: ram?.transferred ?? 0 };
  }

  /** All that the guest has said by way of this QEMU; also after its end. */
  async console(): Promise<string> {
    return (await this.machine.get(`${this.#files}/console`)).replaceAll("\r", "");
  }

  async kill(): Promise<void> {
    await this.machine.sh(`kill -9 ${this.#pid}`);
    await this.ended;
  }

  async quit(): Promise<void> {
    await this.ask("quit");
    await this.ended;
  }

  async #enable(capabilities: readonly string[]): Promise<void> {
    if (capabilities.length === 0) return;
    const wanted = capabilities.map((capability) => ({ capability, state: true }));
    await this.ask("migrate-set-capabilities", { capabilities: wanted });
  }
}
