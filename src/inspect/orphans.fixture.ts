import { FILE_DISK, NEW_RECORD } from "../../test/support/records.ts";
import { encodeRecord } from "../domain/record/record-codec.ts";
import { clusterToken, encodeSnapshotName } from "../domain/record/snapshot-record.ts";
import type { VolumeRecord } from "../domain/record/volume-record.ts";
import { snapshotIdFromName } from "../domain/snapshot-id.ts";
import { type VolumeId, volumeIdFromName } from "../domain/volume-id.ts";
import type { Disk } from "../rds/disk.ts";
import type { LeftDetails } from "../rds/inventory.ts";
import type { RdsSnapshot } from "../rds/snapshot-names.ts";
import type { Subvolume } from "../rds/subvolume.ts";
import { type RdsFile, surveyOf } from "../rds/survey.ts";
import type { OrphanWorld } from "./orphan-world.ts";

export const OURS = "5ae2a2d8-3f0c-4d0c-9a7e-1f3d0c2b9a01";
export const THEIRS = "0ae2a2d8-3f0c-4d0c-9a7e-1f3d0c2b9a01";
/** 2026-03-01T12:00:00Z in milliseconds. */
export const NOW = Date.UTC(2026, 2, 1, 12);
const DAY = 86_400;
export const POOL: Disk = {
  ...FILE_DISK,
  ...{
    slot: "pool",
    type: "raid",
    mounted: true,
    mountPoint: "pool",
    fs: "btrfs",
    fsLabel: "label",
    free: 1n << 30n,
  },
};
export const id = (name: string): VolumeId => volumeIdFromName(name);

/** The disk item of a volume that is a day old. */
export function disk(name: string, more: Partial<VolumeRecord> = {}, item: Partial<Disk> = {}): Disk {
  const createdAt = NOW / 1_000 - DAY;
  const comment = encodeRecord({ ...NEW_RECORD, name, cluster: OURS, createdAt, ...more });
  return { ...FILE_DISK, slot: id(name), filePath: `pool/csi/${id(name)}.img`, comment, ...item };
}

/** A snapshot that is a day old. */
export function snapshot(name: string, source: VolumeId, cluster = OURS, label = "label"): RdsSnapshot {
  const record = {
    ...{ id: snapshotIdFromName(name), source, sizeBytes: 1n << 30n, filesystem: undefined },
    ...{ cluster: clusterToken(cluster), createdNs: BigInt(NOW - DAY * 1_000) * 1_000_000n },
  };
  return { record, subvolume: { label, name: `csi/${encodeSnapshotName(record)}`, readOnly: true } };
}

export const file = (path: string): RdsFile => ({ path, sizeBytes: 1n << 30n });
export const subvolume = (name: string): Subvolume => ({
  label: "label",
  name,
  readOnly: false,
  dead: false,
});

/** What a world is made of; what is left out is empty. */
export interface Parts extends Partial<Omit<OrphanWorld, "inventory">> {
  readonly disks?: readonly Disk[];
  /** Default: POOL, unless a disk has its slot. */
  readonly pool?: Disk;
  readonly files?: readonly RdsFile[];
  readonly subvolumes?: readonly Subvolume[];
  readonly cuts?: readonly RdsSnapshot[];
}

/** A world with one pool. Files that are left were last written a day ago, and a subvolume holds one. */
export function orphanWorld({
  disks = [],
  files = [],
  subvolumes = [],
  cuts = [],
  pool = POOL,
  ...more
}: Parts): OrphanWorld {
  const all = [...(disks.some(({ slot }) => slot === pool.slot) ? [] : [pool]), ...disks];
  const clusterId = more.installation?.clusterId ?? OURS;
  const old = (entries: number): LeftDetails => ({ idleSeconds: DAY, entries });
  return {
    now: NOW,
    installation: { clusterId, nqnPrefix: "nqn.2000-02.com.mikrotik", nvmePort: 4420, fencing: "epoch" },
    layout: { pool: "pool", directory: "csi" },
    inventory: { files, subvolumes, snapshots: cuts, disks: all, survey: surveyOf(all, clusterId) },
    volumes: [],
    attachments: [],
    snapshots: [],
    kept: new Set(),
    details: new Map([
      ...files.map(({ path }) => [path, old(0)] as const),
      ...subvolumes.map(({ name }) => [`pool/${name}`, old(1)] as const),
    ]),
    ...more,
  };
}
