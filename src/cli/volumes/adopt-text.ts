import { printable } from "../../domain/printable.ts";
import { exactSize } from "../../inspect/finding.ts";
import type { PersistentVolumeView } from "../../kubernetes/port.ts";
import type { ForeignDisk } from "../../rds/volume.ts";
import type { AdoptionPlan } from "../../records/adopt.ts";
import { aligned, type Row } from "./record-text.ts";

const GIB = 1n << 30n;

/** What would be written for a volume, and why. */
export function adoptionText(
  { id, disk }: ForeignDisk,
  pv: PersistentVolumeView | undefined,
  { comment, notes, switchesOff, isShort }: AdoptionPlan,
): string {
  const claim = pv?.claim === undefined ? "none" : `${pv.claim.namespace}/${pv.claim.name}`;
  const rows: Row[] = [
    ["claim", claim],
    ["file", disk.filePath],
    ["size", sizeText(disk.size, pv?.capacityBytes)],
    ["export", exportText(disk, switchesOff)],
    ["mount-filesystem", disk.mountFilesystem ? "is yes, becomes no" : "is no, stays no"],
    ["old comment", disk.comment === "" ? "(empty)" : disk.comment],
    ["new comment", comment],
  ];
  const all = isShort && pv !== undefined ? [...notes, shortNote(pv)] : notes;
  const lines = all.map((note) => `- ${printable(note)}.\n`).join("");
  return `Volume ${id}\n${aligned(rows)}${lines}`;
}

function sizeText(size: bigint | undefined, capacity: bigint | undefined): string {
  const has = size === undefined ? "not known" : exactSize(size);
  return capacity === undefined ? has : `${has}; the PersistentVolume says ${exactSize(capacity)}`;
}

function exportText({ exported, nqn, port }: ForeignDisk["disk"], switchesOff: boolean): string {
  if (!exported) return "is off, stays off";
  return `is on as ${nqn}, port ${port ?? "none"}; ${switchesOff ? "goes off" : "stays"}`;
}

/** The earlier driver rounds sizes down. */
function shortNote({ name, claim, capacityBytes = 0n }: PersistentVolumeView): string {
  const remedy =
    claim === undefined
      ? "ask for more once it has a claim"
      : `ask for more, and it grows: \`kubectl -n ${claim.namespace} patch pvc ${claim.name} -p '{"spec":{"resources":{"requests":{"storage":"${(capacityBytes + GIB - 1n) / GIB + 1n}Gi"}}}}'\``;
  return `It is smaller than PersistentVolume ${name} says, as the earlier driver rounded down; ${remedy}`;
}
