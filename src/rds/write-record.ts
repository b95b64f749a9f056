import { failure } from "../domain/errors/driver-error.ts";
import { encodeChecked, REVISION_ROOM } from "../domain/record/record-codec.ts";
import type { ExportState, VolumeRecord } from "../domain/record/volume-record.ts";
import { isOfEarlierDriver } from "../domain/volume-id.ts";
import { isInBackground } from "../observability/request-scope.ts";
import { ros, type Script } from "../routeros/script.ts";
import type { Purpose } from "../routeros/transport/transport.ts";
import { changeDisk, commandFailure, type RdsContext } from "./context.ts";
import type { Disk } from "./disk.ts";
import {
  exportedRecord,
  exportIsOn,
  exportPause,
  needsHosts,
  type WantedExport,
  wantedExport,
} from "./export.ts";
import { findDisk } from "./lookup.ts";
import { pollDisk } from "./poll.ts";
import { classify, type RdsVolume, writtenVolume } from "./volume.ts";

/** Whose write it is: of an attachment, or of another change that a call makes. */
export type WritePurpose = "attach" | "change";

/** The lane of a read for such a write. Nobody waits for a repair in the background. */
export function readLane(purpose: WritePurpose): Purpose {
  return purpose === "attach" && !isInBackground() ? "attach" : "read";
}

/**
 * How the export is to stand after a write. `adopt`: as it is while a node has the volume, else off; and the RDS is told in the same
 * command that it mounts no filesystem of the volume. For the first record of a volume of the earlier driver.
 */
export type WriteState = ExportState | "adopt";

/** The result of a compare-and-set. `conflict`: someone else wrote first; decide again on the record that is there. */
export type WriteResult =
  | { readonly kind: "written"; readonly volume: RdsVolume }
  | { readonly kind: "conflict" }
  | { readonly kind: "absent" };

/**
 * Writes a volume's record and its export together, if the record is still the one that was read. One RouterOS command
 * compares, sets and reads back; its comparison is an argument of its `set`, so that no statement lies between them.
 *
 * A node gets access only through a second, later command, which acts or reads only while the record is still ours. A
 * fresh attach claims the volume with the export off, under a new NQN, and the second command switches the export on. A
 * second node that joins a running export is confirmed by a read. So a writer that RouterOS let pass a comparison too late
 * takes the export away from the first writer; the two never share it.
 * @param volume as read; its comment is the one that is compared
 * @param written how the export is to stand
 * @param purpose the lane of the commands: writes of attachments, with their reads, have one of their own
 * @param claimed called with the volume after the first command, for a caller who goes away before the second one
 * @returns the volume as the last command showed it
 * @throws notVerified (UNAVAILABLE) when RouterOS does not show the change, recordTooLarge, and the link's failures
 */
export async function writeRecord(
  context: RdsContext,
  volume: RdsVolume,
  record: VolumeRecord,
  written: WriteState,
  signal: AbortSignal,
  claimed: (volume: RdsVolume) => void = () => {},
  purpose: WritePurpose = "attach",
): Promise<WriteResult> {
  const { id, disk } = volume;
  const adopts = written === "adopt";
  const exportState = adopts ? (record.attachments.length > 0 ? "leave" : "off") : written;
  const named = exportedRecord(context, volume, record, exportState);
  const attaches = named.attachments.length > volume.record.attachments.length;
  const write: Write = {
    context,
    volume,
    what: `write the record of volume ${id}`,
    comment: encodeChecked(id, named, attaches ? REVISION_ROOM : 0),
    wanted: wantedExport(named, exportState),
    adopts,
    signal,
    purpose,
  };
  const first = await runSet(write, claim(write));
  if (first === undefined) return { kind: "absent" };
  if (isUnexportedEarlier(write) && first.exported && first.comment === disk.comment)
    return { kind: "conflict" };
  if (first.comment === disk.comment && write.comment !== disk.comment) {
    throw failure("notVerified", { what: write.what, detail: "the record did not change" });
  }
  if (first.comment !== write.comment) return { kind: "conflict" };
  const classified = classify(first, context.clusterId);
  if (classified?.kind === "volume") claimed(classified.volume);
  const result = await confirm(write, first);
  if (adopts && result.kind === "written" && result.volume.disk.mountFilesystem)
    throw failure("notVerified", { what: write.what, detail: "mount-filesystem is still on" });
  return result;
}

/** One compare-and-set on its way. */
interface Write {
  readonly context: RdsContext;
  /** As it was read. */
  readonly volume: RdsVolume;
  readonly what: string;
  /** The record that is written. */
  readonly comment: string;
  readonly wanted: WantedExport;
  readonly adopts: boolean;
  readonly signal: AbortSignal;
  readonly purpose: WritePurpose;
}

/** The item that still has this comment, and nothing if somebody has changed it. */
function itemWith({ volume }: Write, comment: string): Script {
  return ros`/disk/find where slot=${volume.disk.slot} and comment=${comment}`;
}

/**
 * Whether a write is of a volume of the earlier driver that no node had. That driver asks for no record: once it has the volume again, the export is
 * on, and the comment still the one that was read.
 */
function isUnexportedEarlier({ volume: { id, record, disk } }: Write): boolean {
  return isOfEarlierDriver(id) && record.attachments.length === 0 && !disk.exported;
}

/** The command that writes the record, with as much of the export as may be written at once. */
function claim(write: Write): Script {
  const { comment, wanted, volume } = write;
  const { disk } = volume;
  const found = itemWith(write, disk.comment);
  const mine = isUnexportedEarlier(write) ? ros`${found} and nvme-tcp-export=no` : found;
  if (write.adopts) {
    // All volumes of the earlier driver have the same comment: none. The name of the export tells whether somebody changed the item.
    const unchanged = ros`${mine} and nvme-tcp-server-nqn=${disk.nqn}`;
    const off = wanted.state === "off" ? ros` nvme-tcp-export=no` : ros``;
    return ros`/disk/set [${unchanged}] comment=${comment} mount-filesystem=no${off}`;
  }
  if (wanted.state === "leave") return ros`/disk/set [${mine}] comment=${comment}`;
  if (wanted.state === "off") return ros`/disk/set [${mine}] comment=${comment} nvme-tcp-export=no`;
  if (wanted.state === "fresh") {
    return ros`/disk/set [${mine}] comment=${comment} nvme-tcp-export=no ${nameOf(wanted)}${hostsOf(disk, wanted)}`;
  }
  // A running export is left alone when a second node joins: the first must not notice.
  const hosts = needsHosts(disk, wanted) ? hostsOf(disk, wanted) : ros``;
  if (disk.exported || !isNamed(disk, wanted)) return ros`/disk/set [${mine}] comment=${comment}${hosts}`;
  // The command that claimed it was an earlier one.
  const named = ros`${mine} and nvme-tcp-server-nqn=${wanted.nqn}`;
  return ros`/disk/set [${named}] comment=${comment} mount-filesystem=no nvme-tcp-export=yes${hosts}`;
}

function isNamed(disk: Disk, { nqn, port }: WantedExport): boolean {
  return disk.nqn === nqn && disk.port === port;
}

/** The later command: its row grants the access, if the record is still ours. */
async function confirm(write: Write, claimed: Disk): Promise<WriteResult> {
  const { context, volume, wanted, comment, signal } = write;
  const { id, record } = volume;
  const lane = readLane(write.purpose);
  let now: Disk | undefined = claimed;
  if (!isSettled(write, claimed)) now = await runSet(write, switchOn(write, claimed));
  else if (wanted.hostNqns.length > record.attachments.length)
    now = await findDisk(context, id, signal, lane);
  if (now !== undefined && now.comment === comment && !isSettled(write, now)) {
    const isOver = (found: Disk | undefined) =>
      found === undefined || found.comment !== comment || isSettled(write, found);
    now = await pollDisk(context, id, signal, now, isOver, lane);
  }
  if (now === undefined) return { kind: "absent" };
  if (now.comment !== comment) return { kind: "conflict" };
  if (!isSettled(write, now)) {
    throw failure("notVerified", { what: `exporting volume ${id}`, detail: describe(now) });
  }
  return { kind: "written", volume: writtenVolume(now, context.clusterId, write.what) };
}

function isSettled({ wanted }: Write, disk: Disk): boolean {
  if (wanted.state === "leave") return true;
  return wanted.state === "off" ? !disk.exported : exportIsOn(disk, wanted);
}

/**
 * Switches the export on, or off, of an item that has the record of this write. An export that runs under another name
 * than the record's goes off in the same command, for long enough that its hosts miss it: they have no attachment.
 */
function switchOn(write: Write, disk: Disk): Script {
  const { wanted, comment } = write;
  const mine = itemWith(write, comment);
  if (wanted.state === "off") return ros`/disk/set [${mine}] nvme-tcp-export=no`;
  if (!isNamed(disk, wanted)) {
    const off = ros`/disk/set [${mine}] nvme-tcp-export=no ${nameOf(wanted)}${hostsOf(disk, wanted)}`;
    const pause = exportPause(write.volume.record);
    return ros`${off}; ${pause}; /disk/set [${mine} and nvme-tcp-server-nqn=${wanted.nqn}] nvme-tcp-export=yes`;
  }
  const hosts = needsHosts(disk, wanted) ? hostsOf(disk, wanted) : ros``;
  return ros`/disk/set [${mine} and nvme-tcp-server-nqn=${wanted.nqn}] mount-filesystem=no nvme-tcp-export=yes${hosts}`;
}

/** Arguments of `/disk/set` that name an export, which is off. */
function nameOf({ nqn, port }: WantedExport): Script {
  return ros`mount-filesystem=no nvme-tcp-server-port=${BigInt(port)} nvme-tcp-server-nqn=${nqn}`;
}

/** Argument of `/disk/set` for the allowed hosts; left out where the item has no list and none is wanted. */
function hostsOf(disk: Disk, { allowHost }: WantedExport): Script {
  if (allowHost === "" && disk.allowHost === "") return ros``;
  return ros` nvme-tcp-server-allow-host-name=${allowHost}`;
}

async function runSet(write: Write, script: Script): Promise<Disk | undefined> {
  const { context, volume, what, signal } = write;
  // Nobody waits for a repair in the background.
  const purpose = isInBackground() ? "change" : write.purpose;
  const outcome = await changeDisk(context, what, purpose, volume.id, script, signal);
  if (!outcome.ok) throw commandFailure(what, outcome.failure);
  return outcome.disk;
}

function describe(disk: Disk): string {
  return `nvme-tcp-export=${disk.exported ? "yes" : "no"} nqn=${disk.nqn || "none"} port=${disk.port ?? "none"}`;
}
