import { ros } from "../../routeros/script.ts";
import { type Scratch, SIZE } from "../scratch/scratch.ts";
import { Unanswered } from "../unanswered.ts";
import type { ProbeHost } from "./host.ts";

/** How long a change on the RDS may take to reach a host. Milliseconds. */
export const NOTICE_MS = 20_000;

/** An NQN of the probe. */
export const nqnOf = (name: string): string => `nqn.2000-02.com.mikrotik:csi-probe-${name}`;

/** A disk that is exported to this machine. */
export interface Exported {
  readonly scratch: Scratch;
  readonly host: ProbeHost;
  readonly slot: string;
  /** Sets properties of the disk. @returns the error text of RouterOS, if any */
  readonly set: (script: Parameters<Scratch["refusal"]>[0]) => Promise<string | undefined>;
}

/** Makes a disk that can be exported to this machine. @throws Unanswered without NVMe/TCP here */
export async function exported(scratch: Scratch, name: string): Promise<Exported> {
  const { host } = scratch.bench;
  if (host === undefined) throw new Unanswered("no NVMe/TCP on this machine");
  const slot = scratch.slot(name);
  const port = BigInt(host.port);
  await scratch.add(slot, scratch.file(name), SIZE, ros` nvme-tcp-server-port=${port}`);
  const set: Exported["set"] = (script) =>
    scratch.refusal(ros`/disk/set [/disk/find where slot=${slot}] ${script}`);
  return { scratch, host, slot, set };
}

/** Setting of a disk. */
export const ON = ros`nvme-tcp-export=yes`;
/** Setting of a disk. */
export const OFF = ros`nvme-tcp-export=no`;
/** Setting of a disk. */
export const named = (nqn: string) => ros`nvme-tcp-server-nqn=${nqn}`;

/** @throws Unanswered with the text of RouterOS */
export function done(refused: string | undefined): void {
  if (refused !== undefined) throw new Unanswered(refused);
}

/** Whether this machine has a live connection. */
export const isLive = async (host: ProbeHost, nqn: string): Promise<boolean> =>
  (await host.look(nqn)).states.includes("live");

/** Whether a host loses a live connection within the time. */
export const loses = (host: ProbeHost, nqn: string): Promise<boolean> =>
  host.within(NOTICE_MS, async () => !(await isLive(host, nqn)));
