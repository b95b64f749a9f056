import {
  type ExportName,
  type ExportState,
  givenConnections,
  type VolumeRecord,
} from "../domain/record/volume-record.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import { ros, type Script } from "../routeros/script.ts";
import { type RdsContext, randomNonce } from "./context.ts";
import type { Disk } from "./disk.ts";
import { hasPlainName, nqnOf } from "./layout.ts";
import type { RdsVolume } from "./volume.ts";

/** Settings that name the export of a fresh attachment. */
export type ExportSettings = Pick<RdsContext, "nqnPrefix" | "nvmePort" | "fencing">;

/** How an export is to stand. */
export interface WantedExport extends ExportName {
  readonly state: ExportState;
  /** The list of allowed hosts that a command sets: one host NQN, or "" for any host. */
  readonly allowHost: string;
  /** Host NQNs of the attached nodes. */
  readonly hostNqns: readonly string[];
}

/**
 * The record with the name of its export. A fresh attach is named by the settings, with a nonce of its own. A standing attachment keeps
 * its name, whatever the settings are today. A volume without attachment has no name.
 */
export function exportedRecord(
  context: RdsContext,
  volume: RdsVolume,
  record: VolumeRecord,
  state: ExportState,
): VolumeRecord {
  if (record.attachments.length === 0) return { ...record, exportName: undefined };
  if (state !== "fresh") return { ...record, exportName: exportNameOf(context, { ...volume, record }) };
  const { nqnPrefix, nvmePort, fencing } = context;
  const nqn =
    fencing === "off"
      ? nqnOf(nqnPrefix, volume.id, 0)
      : nqnOf(nqnPrefix, volume.id, record.epoch, (context.nonce ?? randomNonce)());
  return { ...record, exportName: { nqn, port: nvmePort, hosts: fencing === "epoch+hosts" } };
}

/**
 * The name under which a volume's attachments are exported: the record's. A record before 0.2 has none; then it is the item's
 * name, if that is one of this volume and epoch, and else the name that version 0.1 would have set.
 */
export function exportNameOf(settings: ExportSettings, { id, record, disk }: RdsVolume): ExportName {
  const { exportName, epoch } = record;
  if (exportName !== undefined && isNamedFor(exportName.nqn, id, epoch)) {
    // Version 0.1 keeps the field as it was when it attaches anew: a name without epoch may be that of an earlier attachment.
    const isOlder = !isOfEpoch(exportName.nqn, id, epoch) && isOfEpoch(disk.nqn, id, epoch);
    if (!isOlder) return exportName;
  }
  const { nqnPrefix, nvmePort, fencing } = settings;
  const hosts = fencing === "epoch+hosts";
  if (isNamedFor(disk.nqn, id, epoch) && disk.port !== undefined)
    return { nqn: disk.nqn, port: disk.port, hosts };
  return { nqn: nqnOf(nqnPrefix, id, fencing === "off" ? 0 : epoch), port: nvmePort, hosts };
}

/** Whether an NQN is one of a volume in an epoch, or one without an epoch (`--fencing off`), under any prefix. */
function isNamedFor(nqn: string, id: VolumeId, epoch: number): boolean {
  return hasPlainName(nqn, id) || isOfEpoch(nqn, id, epoch);
}

function isOfEpoch(nqn: string, id: VolumeId, epoch: number): boolean {
  const suffix = nqn.slice(nqn.lastIndexOf(":") + 1);
  return suffix === `${id}.${epoch}` || suffix.startsWith(`${id}.${epoch}-`);
}

/** How the export of a record is to stand. @param record as `exportedRecord` returns it */
export function wantedExport(record: VolumeRecord, state: ExportState): WantedExport {
  const hostNqns = record.attachments.map(({ hostNqn }) => hostNqn);
  const { nqn, port, hosts } = record.exportName ?? { nqn: "", port: 0, hosts: false };
  const [host = "", second] = hostNqns;
  return {
    state: hostNqns.length === 0 && state !== "leave" ? "off" : state,
    nqn,
    port,
    hosts,
    // Whether the list takes several hosts is unknown; a list that takes one name would lock both nodes out. So while two nodes
    // are attached any host that knows the NQN may connect, as without the list.
    allowHost: hosts && second === undefined ? host : "",
    hostNqns,
  };
}

/** How the export of a volume is to stand with its present record. */
export function standingExport(settings: ExportSettings, volume: RdsVolume): WantedExport {
  const { record } = volume;
  if (record.attachments.length === 0) return wantedExport(record, "off");
  return wantedExport({ ...record, exportName: exportNameOf(settings, volume) }, "keep");
}

/** The pause between off and on of a published script that works; milliseconds. */
const LONGEST_PAUSE_MS = 3_000;
const SHORTEST_PAUSE_MS = 500;
/** Time that is left to switch an export on before its hosts try to reconnect, milliseconds. */
const MARGIN_MS = 2_000;

/**
 * Statement between switching an export off and on in one line. Without a pause RouterOS may see no change, and hosts notice nothing.
 * The pause is shorter than the hosts wait until they reconnect, as some give up while the export is off. It stands in the line itself:
 * an export that waits for a second command would stay off when the link is lost.
 * @param record its hosts have the shortest delay of those that they were given, or the one of the volume's settings
 */
export function exportPause(record: VolumeRecord): Script {
  const delays = givenConnections(record).map((given) => given.reconnectDelay);
  const reconnectDelay = Math.min(...(delays.length === 0 ? [record.settings.reconnectDelay] : delays));
  const milliseconds = Math.max(
    SHORTEST_PAUSE_MS,
    Math.min(LONGEST_PAUSE_MS, reconnectDelay * 1_000 - MARGIN_MS),
  );
  return ros`:delay ${BigInt(milliseconds)}ms`;
}

/** Whether the item is exported under the wanted name, with a list that lets the attached hosts in. */
export function exportIsOn(disk: Disk, wanted: WantedExport): boolean {
  return disk.exported && disk.nqn === wanted.nqn && disk.port === wanted.port && !needsHosts(disk, wanted);
}

/**
 * Whether the list of allowed hosts has to be changed. A change of a running export leaves a foreign list alone, unless it locks an
 * attached host out. A fresh attach clears it.
 */
export function needsHosts(disk: Disk, { state, hosts, hostNqns, allowHost }: WantedExport): boolean {
  if (disk.allowHost === allowHost) return false;
  return hosts || state === "fresh" || !hostNqns.every((host) => host === disk.allowHost);
}

/**
 * Whether a volume's export is as its record wants it. Later settings do not count: they are for fresh attachments.
 */
export function exportIsRight(settings: ExportSettings, volume: RdsVolume): boolean {
  const { record, disk } = volume;
  return record.attachments.length === 0
    ? !disk.exported
    : exportIsOn(disk, standingExport(settings, volume));
}
