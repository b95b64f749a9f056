import { SIZE_GRANULARITY } from "../rds/layout.ts";
import { drift, exactSize, type VolumeDrift } from "./drift.ts";
import { ifKnown } from "./fact.ts";
import type { VolumeFacts } from "./facts.ts";

/** Disk item, file and pool: what the RDS says against itself. */
export function compareDisk({ rds }: VolumeFacts): VolumeDrift[] {
  const { foreign } = rds;
  const disk = ifKnown(rds.disk);
  const file = ifKnown(rds.file);
  if (disk === undefined) {
    if (rds.disk.state === "unknown" || file === undefined) return [];
    const text = `Its file ${file.path} is there, its disk item is not`;
    return [drift("file-left", { text, rds: `no disk item, file ${file.path}` })];
  }
  if (foreign !== undefined)
    return [drift("foreign-disk", { text: `The disk item is not ours: ${foreign}`, rds: foreign })];
  const found: VolumeDrift[] = [];
  if (disk.mountFilesystem) {
    const text = "mount-filesystem is on: the RDS may mount what a node writes";
    found.push(drift("mount-filesystem", { text, rds: "mount-filesystem=yes" }));
  }
  // What is missing for want of the pool is not reported on its own.
  if (rds.pool.state === "absent") {
    const text = `No mounted pool holds ${disk.filePath}`;
    return [drift("pool-not-mounted", { text, rds: `${disk.filePath}: nothing is mounted there` }), ...found];
  }
  if (rds.file.state === "absent") {
    const text = `Its file ${disk.filePath} is not there`;
    return [drift("file-missing", { text, rds: "disk item without its file" }), ...found];
  }
  if (disk.size === undefined) {
    const text = "The RDS reports no size: the device is not ready";
    found.push(
      drift("device-not-ready", { text, rds: disk.state === "" ? "no size" : `state ${disk.state}` }),
    );
  } else if (file?.sizeBytes !== undefined && file.sizeBytes !== disk.size) {
    const [ofDisk, ofFile] = [exactSize(disk.size), exactSize(file.sizeBytes)];
    const text = `The disk has ${ofDisk}, its file ${ofFile}`;
    found.push(drift("size-file-disk", { text, rds: `disk ${ofDisk}, file ${ofFile}` }));
  }
  return found;
}

/** The size on the RDS against PersistentVolume, claim and what nodes were told. */
export function compareSize({ rds, cluster }: VolumeFacts): VolumeDrift[] {
  const size = rds.foreign === undefined ? ifKnown(rds.disk)?.size : undefined;
  const capacity = ifKnown(cluster.pv)?.capacityBytes;
  const claim = ifKnown(cluster.claim);
  const found: VolumeDrift[] = [];
  const asked = claim?.requestedBytes;
  const has = claim?.capacityBytes;
  // A claim that is not bound yet has no capacity, and one that is deleted expands no more.
  const pending =
    claim !== undefined && !claim.deleting && asked !== undefined && has !== undefined && asked > has;
  if (size !== undefined && capacity !== undefined) {
    const sides = { rds: exactSize(size), kubernetes: exactSize(capacity) };
    const text = `The disk has ${sides.rds}, the PersistentVolume ${sides.kubernetes}`;
    if (size < capacity) found.push(drift("size-below-pv", { text, ...sides }));
    // Sizes on the RDS are rounded up, which a PersistentVolume made by hand may not show. What the claim asks for must
    // be known, as an expansion grows the disk first.
    else if (size - capacity >= SIZE_GRANULARITY && !pending && cluster.claim.state !== "unknown")
      found.push(drift("size-above-pv", { text, ...sides }));
  }
  if (pending) {
    const kubernetes = `${exactSize(asked)} asked for, ${exactSize(has)} so far`;
    const text = `The claim asks for ${exactSize(asked)} and has ${exactSize(has)}`;
    found.push(
      drift("expansion-pending", { text, rds: size === undefined ? undefined : exactSize(size), kubernetes }),
    );
  }
  for (const { node, attached, metadata } of ifKnown(cluster.attachments) ?? []) {
    const told = /^\d{1,19}$/.test(metadata.sizeBytes ?? "") ? BigInt(metadata.sizeBytes ?? "") : undefined;
    if (!attached || size === undefined || told === undefined || told <= size) continue;
    const text = `Node ${node} was told ${exactSize(told)}, the disk has ${exactSize(size)}`;
    found.push(drift("attached-size", { text, node, rds: exactSize(size), kubernetes: exactSize(told) }));
  }
  return found;
}
