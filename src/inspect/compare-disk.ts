import { shortSize } from "../domain/size.ts";
import { isOfEarlierDriver } from "../domain/volume-id.ts";
import { SIZE_GRANULARITY } from "../rds/layout.ts";
import { ifKnown } from "./fact.ts";
import type { RdsFacts, VolumeFacts } from "./facts.ts";
import { exactSize } from "./finding.ts";
import type { Drift } from "./volume-finding.ts";

/** The disk item that is missing or no volume of ours; the file that is left of it. */
export function* compareExistence({ handle, rds, cluster, usedOn }: VolumeFacts): Iterable<Drift> {
  const pv = ifKnown(cluster.pv);
  const user = pv === undefined ? usedOn && `Node ${usedOn} uses` : `PersistentVolume ${pv.name} names`;
  const kubernetes = pv?.name;
  const stage = ifKnown(rds.record)?.conversion;
  if (stage !== undefined) {
    const text = `It moves into a subvolume: stage ${stage}`;
    yield ["volume-converting", text, { rds: `conversion ${stage}`, kubernetes }];
  }
  if (rds.disk.state === "absent" && rds.movedBy !== undefined) {
    const { slot, isWhole } = rds.movedBy;
    const text = isWhole
      ? `It moves into a subvolume, and disk item ${slot} has its record until it has one of its own again`
      : `It moved into a subvolume, and its disk item was removed before its copy was whole: its data is in its plain file, and not in that of ${slot}`;
    yield ["volume-converting", text, { rds: `disk item ${slot}`, kubernetes }];
  } else if (rds.disk.state === "absent") {
    const file = ifKnown(rds.file);
    const rdsSide = file === undefined ? "no disk item" : `no disk item, file ${file.path}`;
    const missing = `${user} ${handle}, which is not on the RDS`;
    const left = `Its file ${file?.path} is there, its disk item is not`;
    if (user !== undefined && pv?.deleting !== true)
      yield ["volume-missing", missing, { rds: rdsSide, kubernetes, node: usedOn }];
    if (file !== undefined && cluster.pv.state === "unknown") {
      const text = `${left}; whether a PersistentVolume names the volume is not known: ${cluster.pv.reason}`;
      yield ["file-owner-unknown", text, { rds: rdsSide }];
    } else if (file !== undefined) yield ["file-left", left, { rds: rdsSide }];
  } else if (rds.foreign !== undefined && user === undefined) {
    const isTheirs = rds.record.state === "absent";
    const exported = !isTheirs && ifKnown(rds.disk)?.exported === true;
    const text = isTheirs ? "The disk item is not ours" : "Its record cannot be used";
    const more = exported
      ? ({ rds: `${rds.foreign}; exported`, severity: "error" } as const)
      : { rds: rds.foreign };
    yield ["foreign-disk", `${text}: ${rds.foreign}${exported ? "; the disk is exported" : ""}`, more];
  } else if (rds.foreign !== undefined)
    yield ["record-unusable", `${user} it, but ${rds.foreign}`, { rds: rds.foreign, kubernetes }];
}

/** Disk item, file and pool of a volume of ours: the RDS against itself. */
export function* compareDisk({ rds }: VolumeFacts): Iterable<Drift> {
  const disk = rds.foreign === undefined ? ifKnown(rds.disk) : undefined;
  const file = ifKnown(rds.file);
  if (disk === undefined) return;
  if (disk.mountFilesystem) {
    const text = "mount-filesystem is on: the RDS may mount, and so change, the filesystem of a node";
    yield ["mount-filesystem", text, { rds: "mount-filesystem=yes" }];
  }
  yield* comparePool(rds.pool);
  // The file and the size are missing for want of the pool.
  if (rds.pool.state === "absent") {
    // RouterOS mounts a pool at a folder of its slot's name.
    const pool = disk.filePath.split("/")[0] || "POOL";
    const more = { rds: "not mounted", subject: { kind: "pool", name: pool } } as const;
    yield ["pool-not-mounted", `Pool ${pool} is not mounted on the RDS`, more];
  } else if (rds.file.state === "absent") {
    yield ["file-missing", `Its file ${disk.filePath} is not there`, { rds: "disk item without its file" }];
  } else if (disk.size === undefined) {
    const text = "The RDS reports no size: the device is not ready";
    const seen = disk.state === "" ? "no size" : `state ${disk.state}`;
    yield ["device-not-ready", text, { rds: seen }];
  } else if (file?.sizeBytes !== undefined && file.sizeBytes !== disk.size) {
    const [ofDisk, ofFile] = [exactSize(disk.size), exactSize(file.sizeBytes)];
    const text = `The disk has ${ofDisk}, its file ${ofFile}`;
    yield ["size-file-disk", text, { rds: `disk ${ofDisk}, file ${ofFile}` }];
  }
}

/** Free space below this share of a pool is little: Btrfs copies what it overwrites, and slows down below about that. */
const LITTLE_FREE = { part: 1n, of: 10n };

/** The pool that is mounted: its array and its space. */
function* comparePool(pool: RdsFacts["pool"]): Iterable<Drift> {
  const { slot, sizeBytes, freeBytes, arrayTroubles = [] } = ifKnown(pool) ?? {};
  if (slot === undefined) return;
  const subject = { kind: "pool", name: slot } as const;
  if (arrayTroubles.length > 0) {
    const rds = arrayTroubles.join(", ");
    yield ["pool-degraded", `Pool ${slot} is degraded: ${rds}`, { rds, subject }];
  }
  if (sizeBytes === undefined || freeBytes === undefined) return;
  if (freeBytes * LITTLE_FREE.of < sizeBytes * LITTLE_FREE.part) {
    const rds = `${shortSize(freeBytes)} of ${shortSize(sizeBytes)} free`;
    yield ["pool-filling", `Pool ${slot} is filling up: ${rds}`, { rds, subject }];
  }
}

/** The size that the earlier driver gives a volume: a whole number of the largest unit that fits. */
function flooredSize(bytes: bigint): bigint {
  const shift = [40n, 30n, 20n, 10n].find((bits) => bytes >= 1n << bits) ?? 0n;
  return (bytes >> shift) << shift;
}

/** The size on the RDS against PersistentVolume, claim and publish contexts. */
export function* compareSize({ handle, rds, cluster }: VolumeFacts): Iterable<Drift> {
  const size = rds.foreign === undefined ? ifKnown(rds.disk)?.size : undefined;
  const capacity = ifKnown(cluster.pv)?.capacityBytes;
  const claim = ifKnown(cluster.claim);
  const asked = claim?.requestedBytes;
  const has = claim?.capacityBytes;
  // A claim that is not bound yet has no capacity; one that is deleted expands no more.
  const pending =
    claim !== undefined && !claim.deleting && asked !== undefined && has !== undefined && asked > has;
  if (size !== undefined && capacity !== undefined) {
    const sides = { rds: exactSize(size), kubernetes: exactSize(capacity) };
    const text = `The disk has ${sides.rds}, the PersistentVolume ${sides.kubernetes}`;
    if (isOfEarlierDriver(handle) && size < capacity && size === flooredSize(capacity)) {
      const more = { ...sides, severity: "warning" } as const;
      yield ["size-below-pv", `${text}: the earlier driver rounded it down, and it never was larger`, more];
    } else if (size < capacity) yield ["size-below-pv", text, sides];
    // Sizes on the RDS are rounded up, which a PersistentVolume made by hand may not show. An expansion grows the disk first,
    // so the claim's request must be known.
    else if (size - capacity >= SIZE_GRANULARITY && !pending && cluster.claim.state !== "unknown")
      yield ["size-above-pv", text, sides];
  }
  if (pending) {
    const kubernetes = `${exactSize(asked)} asked for, ${exactSize(has)} so far`;
    const text = `The claim asks for ${exactSize(asked)} and has ${exactSize(has)}`;
    const seen = size === undefined ? undefined : exactSize(size);
    yield ["expansion-pending", text, { rds: seen, kubernetes }];
  }
  for (const { node, attached, metadata } of ifKnown(cluster.attachments) ?? []) {
    const told = /^\d{1,19}$/.test(metadata.sizeBytes ?? "") ? BigInt(metadata.sizeBytes ?? "") : undefined;
    if (!attached || size === undefined || told === undefined || told <= size) continue;
    const sides = { node, rds: exactSize(size), kubernetes: exactSize(told) };
    const text = `The publish context of node ${node} has ${sides.kubernetes}, the disk ${sides.rds}`;
    yield ["attached-size", text, sides];
  }
}
