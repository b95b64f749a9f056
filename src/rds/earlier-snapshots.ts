import { ros } from "../routeros/script.ts";
import { disksOf, type RdsContext, runChecked } from "./context.ts";
import { disks } from "./disk.ts";

/** A snapshot of the earlier Go driver: a disk item of its own, which this driver never touches. */
export interface EarlierSnapshot {
  readonly slot: string;
  readonly exported: boolean;
  /** That of its source, if the device copied all properties of it. */
  readonly nqn: string;
}

/** The disk items whose slot begins with `snap-`. One RouterOS command. */
export async function earlierSnapshots(
  context: RdsContext,
  signal: AbortSignal,
): Promise<readonly EarlierSnapshot[]> {
  const result = await runChecked(context, {
    what: "list the snapshots of the earlier driver",
    purpose: "read",
    listing: disks(ros`slot~"^snap-"`, ["slot", "nvme-tcp-export", "nvme-tcp-server-nqn"]),
    body: (rows) => rows,
    signal,
  });
  return disksOf(result).map(({ slot, exported, nqn }) => ({ slot, exported, nqn }));
}
