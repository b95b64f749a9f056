import { clusterToken, snapshotNamePrefix } from "../domain/record/snapshot-record.ts";
import type { SnapshotId } from "../domain/snapshot-id.ts";
import { ros, type Script } from "../routeros/script.ts";
import { requireMounted } from "./backing-file.ts";
import { parentOf } from "./layout.ts";
import type { MountedDisk } from "./pool.ts";
import { named } from "./snapshot-names.ts";
import { addSubvolume, requireOneLabel, type SubvolumeName } from "./subvolume.ts";
import type { RdsVolume } from "./volume.ts";

/** A volume as source of a snapshot or clone, and the pool that its file is on. */
export interface SourceVolume {
  readonly volume: RdsVolume;
  readonly pool: MountedDisk;
  /** Its subvolume. */
  readonly subvolume: SubvolumeName;
  /** The clock of the RDS; nanoseconds since the Unix epoch. */
  readonly now: bigint;
}

/** How a snapshot is to be made. */
export interface SnapshotSpec {
  readonly id: SnapshotId;
  readonly source: SourceVolume;
  /** Bytes that stay free in each pool. */
  readonly reserveBytes: bigint;
  readonly signal: AbortSignal;
}

/** How long after the look at its source a line may make a snapshot. A line that waits longer on the RDS ends without effect. */
export const LATEST_MS = 60_000;
const NS_PER_MS = 1_000_000n;

/**
 * Statements: make a snapshot unless there is one with its id. The time in its name is the device's own, taken in the same line just before the
 * cut: UTC, whatever its time zone.
 */
export function cutScript({ id, source }: SnapshotSpec): Script {
  const { volume, pool, subvolume, now } = source;
  const {
    disk,
    record: { filesystem, cluster },
  } = volume;
  const record = {
    id,
    source: volume.id,
    sizeBytes: disk.size ?? 0n,
    filesystem,
    cluster: clusterToken(cluster),
  };
  const until = now + BigInt(LATEST_MS) * NS_PER_MS;
  const folder = parentOf(subvolume.name);
  const prefix = `${folder === "" ? "" : `${folder}/`}${snapshotNamePrefix(record)}`;
  const { label, name } = subvolume;
  const add = addSubvolume(label, ros`$own`, name, true);
  const count = ros`[:len [/disk/btrfs/subvolume/find where ${named(id)}]]`;
  const cut = ros`:local t [:tonsec [:timestamp]]; :if ($t > ${until}) do={ :error "rds-csi:late" }; :local own (${prefix} . $t); ${add}; ${removeSecond(id, label)}`;
  return ros`${requireMounted(pool.slot)}; ${requireOneLabel(label)}; :if (${count} = 0) do={ ${cut} }`;
}

/**
 * Statements: remove the subvolume with the name `$own`, if another one with a snapshot's id was made before it: since the look, by a line that
 * ran at the same time. The first one stays, as it may have been the answer to a caller. Btrfs numbers subvolumes in the order of their making.
 */
function removeSecond(id: SnapshotId, label: string): Script {
  const get = (property: Script) => ros`[/disk/btrfs/subvolume/get $i ${property}]`;
  const own = ros`fs=${label} and (fullname=$own or fullname=("/" . $own))`;
  const all = ros`:foreach i in=[/disk/btrfs/subvolume/find where ${named(id, label)}] do={ :local n [:tonum ${get(ros`subvolume-id`)}]; :if ($first = 0 || $n < $first) do={ :set first $n } }`;
  const mine = ros`:foreach i in=[/disk/btrfs/subvolume/find where ${own}] do={ :if ([:tonum ${get(ros`subvolume-id`)}] > $first) do={ /disk/btrfs/subvolume/remove $i } }`;
  return ros`:local first 0; ${all}; ${mine}`;
}
