import type { ChildProcess } from "node:child_process";
import process from "node:process";
import type { Cable } from "./network.ts";
import { qemu } from "./qemu/launch.ts";
import { uml } from "./uml/launch.ts";

/** What `scripts/lab` prepared for the machines; it is not set without that. */
export const labDirectory: string = process.env.RDS_CSI_LAB ?? "";

/** Why there is no lab here, for the names of skipped tests; "" when there is. */
export const noLab: string = labDirectory === "" ? "(skipped: run scripts/lab test)" : "";

export interface MachineOptions {
  readonly name: string;
  /** `192.0.2.1/24` on its only network card. */
  readonly address: string;
  readonly mac: string;
  readonly cable: Cable;
  /** Absolute path of the directory where its console is kept. */
  readonly logs: string;
  /** Memory, e.g. `512M`; taken from the host only as far as it is used. */
  readonly memory?: string;
  /** Native NVMe multipath; true, as in Debian. */
  readonly multipath?: boolean;
  /**
   * Absolute path of the host where its disk is, made by the first boot: it has it at DISK, and finds there after a power-off
   * what it had written. Without one DISK is memory.
   */
  readonly disk?: string;
  /** Bytes of the largest packet, for User Mode Linux only; 1500. */
  readonly mtu?: number;
  /**
   * The machine's block device /dev/ubda, for User Mode Linux only: absolute path of a file of the host; or of a file for what is
   * written, a comma, and of one that only is read. The former is made by the first boot then.
   */
  readonly blockDevice?: string;
}

/** Where a machine has its disk. */
export const DISK = "/run/disk";

/** A machine's process. The fourth of its standard streams is the agent's line, a socket. */
export interface Launched {
  readonly child: ChildProcess;
  /** Makes a request ready, as JSON; `line` is what then has to go over the agent's line, `done` clears up after the answer. */
  readonly envelope: (id: number, request: string) => { readonly line: string; readonly done: () => void };
}

/** What machines are made of: User Mode Linux, or QEMU. */
export interface MachineKind {
  readonly name: string;
  /** Factor of every deadline that the lab itself sets; the driver's are what they are. */
  readonly slowness: number;
  /** Whether machines have this machine's own tree at /run/host. */
  readonly hasHostTree: boolean;
  /** Milliseconds until a machine has to answer for the first time. */
  readonly bootLimitMs: number;
  /** The driver's executable, as a machine sees it. */
  readonly executable: string;
  /** The program guest/records.c, as a machine sees it. */
  readonly records: string;
  /** Starts the nth machine of this process. */
  readonly launch: (options: MachineOptions, n: number) => Launched;
}

/** The kind that `scripts/lab` chose. */
export const kind: MachineKind = process.env.RDS_CSI_LAB_MACHINES === "qemu" ? qemu : uml;
