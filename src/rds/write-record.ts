import { failure } from "../domain/errors/driver-error.ts";
import type { ExportState, VolumeRecord } from "../domain/record/volume-record.ts";
import { ros, type Script } from "../routeros/script.ts";
import { commandFailure, disksOf, type RdsContext } from "./context.ts";
import { encodeChecked } from "./create.ts";
import { type Disk, disks } from "./disk.ts";
import { nqnOf } from "./layout.ts";
import { findDisk, single } from "./lookup.ts";
import { pollUntil } from "./poll.ts";
import { classify, type RdsVolume } from "./volume.ts";

/** What came of a compare-and-set. `conflict`: someone else wrote first; decide again from what is there. */
export type WriteResult =
  | { readonly kind: "written"; readonly volume: RdsVolume }
  | { readonly kind: "conflict" }
  | { readonly kind: "absent" };

/**
 * Writes a volume's record and its export together, if the record is still the one that was read: one
 * RouterOS command that compares, sets and reads back.
 * @param volume as read; its comment is what is compared
 */
export async function writeRecord(
  context: RdsContext,
  volume: RdsVolume,
  record: VolumeRecord,
  exportState: ExportState,
  signal: AbortSignal,
): Promise<WriteResult> {
  const { id, disk } = volume;
  const what = `write the record of volume ${id}`;
  const comment = encodeChecked(id, record);
  const wanted = wantedExport(context, volume, record, exportState);
  const outcome = await context.client.run({
    what,
    purpose: "mutate",
    listing: disks(ros`slot=${id}`),
    body: (rows) => ros`${setScript(disk, comment, wanted)}; ${rows}`,
    signal,
  });
  if (!outcome.ok) throw commandFailure(what, outcome.failure);
  const first = single(id, disksOf(outcome));
  if (first?.comment === comment && !matches(first, wanted) && standsAlready(disk, wanted)) {
    // Somebody switched the export off since the volume was read, so this command left it alone: now it is set.
    return writeRecord(context, { ...volume, record, disk: first }, record, exportState, signal);
  }
  const now = await pollUntil(
    context.clock,
    signal,
    first,
    () => findDisk(context, id, signal),
    (found) => found === undefined || found.comment !== comment || matches(found, wanted),
  );
  if (now === undefined) return { kind: "absent" };
  if (now.comment === disk.comment && comment !== disk.comment) {
    throw failure("notVerified", { what, detail: "the record did not change" });
  }
  if (now.comment !== comment) return { kind: "conflict" };
  if (!matches(now, wanted)) {
    throw failure("notVerified", { what: `exporting volume ${id}`, detail: describe(now) });
  }
  const classified = classify(now, context.clusterId);
  if (classified?.kind !== "volume")
    throw failure("notVerified", { what, detail: "the record is not readable" });
  return { kind: "written", volume: classified.volume };
}

/** What an export depends on besides the record. */
export type ExportSettings = Pick<RdsContext, "nqnPrefix" | "nvmePort" | "fencing">;

/** Whether a volume's export already is what its record wants. */
export function exportIsRight(context: ExportSettings, volume: RdsVolume): boolean {
  const state = volume.record.attachments.length === 0 ? "off" : "keep";
  return matches(volume.disk, wantedExport(context, volume, volume.record, state));
}

/** How an export is to stand. */
export interface WantedExport {
  readonly on: boolean;
  /** The export is not looked at. */
  readonly leave: boolean;
  readonly nqn: string;
  readonly port: number;
  /** undefined: the allow-list is not ours to set. */
  readonly allowHost: string | undefined;
  /** Whether the export must go off first, as it stands under an older NQN. */
  readonly restart: boolean;
}

/** How a volume's export is to stand with a record. */
export function wantedExport(
  context: ExportSettings,
  volume: RdsVolume,
  record: VolumeRecord,
  state: ExportState,
): WantedExport {
  const epoch = context.fencing === "off" ? 0 : record.epoch;
  const nqn = nqnOf(context.nqnPrefix, volume.id, epoch);
  const on = state !== "off";
  // Whether the list takes several hosts is not known of any device; one that takes a single name would lock both nodes
  // out. So while two nodes are attached any host may connect that knows the NQN, as without the list.
  const [host, second] = record.attachments.map((attachment) => attachment.hostNqn);
  return {
    on,
    leave: state === "leave",
    nqn,
    port: context.nvmePort,
    allowHost: context.fencing === "epoch+hosts" ? (second === undefined ? (host ?? "") : "") : undefined,
    restart: state === "fresh" && volume.disk.exported,
  };
}

/** Acts on the item only if its comment is still the one that was read: compare and set in one line. */
function setScript(disk: Disk, comment: string, wanted: WantedExport): Script {
  const mine = ros`[/disk/find where slot=${disk.slot} and comment=${disk.comment}]`;
  return ros`:local mine ${mine}; :if ([:len $mine] = 1) do={ ${changes(disk, comment, wanted)} }`;
}

function changes(disk: Disk, comment: string, wanted: WantedExport): Script {
  if (wanted.leave) return ros`/disk/set $mine comment=${comment}`;
  if (!wanted.on) return ros`/disk/set $mine comment=${comment} nvme-tcp-export=no`;
  // A running export is left alone when a second node joins: the first must not notice.
  if (standsAlready(disk, wanted)) {
    const { allowHost } = wanted;
    const allow = allowHost === undefined ? ros`` : ros` nvme-tcp-server-allow-host-name=${allowHost}`;
    return ros`/disk/set $mine comment=${comment}${allow}`;
  }
  const off = wanted.restart ? ros`/disk/set $mine nvme-tcp-export=no; ` : ros``;
  return ros`${off}/disk/set $mine comment=${comment} ${switchedOn(wanted)}`;
}

/** Arguments of `/disk/set` that switch an export on. */
export function switchedOn({ port, nqn, allowHost }: WantedExport): Script {
  const allow = allowHost === undefined ? ros`` : ros` nvme-tcp-server-allow-host-name=${allowHost}`;
  return ros`mount-filesystem=no nvme-tcp-server-port=${BigInt(port)} nvme-tcp-server-nqn=${nqn}${allow} nvme-tcp-export=yes`;
}

function standsAlready(disk: Disk, wanted: WantedExport): boolean {
  return (
    wanted.on &&
    !wanted.leave &&
    !wanted.restart &&
    disk.exported &&
    disk.nqn === wanted.nqn &&
    disk.port === wanted.port
  );
}

/** Whether an item is exported as it is to be. */
export function matches(disk: Disk, wanted: WantedExport): boolean {
  if (wanted.leave) return true;
  if (!wanted.on) return !disk.exported;
  const host = wanted.allowHost === undefined || disk.allowHost === wanted.allowHost;
  return disk.exported && disk.nqn === wanted.nqn && disk.port === wanted.port && host;
}

function describe(disk: Disk): string {
  return `nvme-tcp-export=${disk.exported ? "yes" : "no"} nqn=${disk.nqn || "none"} port=${disk.port ?? "none"}`;
}
