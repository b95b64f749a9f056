import { failure } from "../domain/errors/driver-error.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { Disk } from "./disk.ts";
import { filePathOf, isSafePath, type Layout } from "./layout.ts";
import { classify, type RdsVolume } from "./volume.ts";

/** Where the file of a volume is. */
export interface Place {
  /** Slot of the pool. */
  readonly pool: string;
  /** Without a leading slash. */
  readonly path: string;
}

/** Where the file of a volume without disk item may be. */
export interface Places {
  /** In the folder of pools that this installation uses: a file there is the driver's. */
  readonly ours: readonly Place[];
  /** In a folder of the same name on other mounted pools: the owner of a file there is unknown. */
  readonly others: readonly Place[];
  /** Pools that this installation uses, by slot or mount point, whose folder cannot be looked into. */
  readonly away: readonly string[];
}

/**
 * The place of a volume that has its disk item. Only a place on a mounted pool counts.
 * @param mounted every mounted item of `/disk`
 * @param directory folder of the volumes below a pool's mount point
 * @returns undefined unless the pool is proven to be mounted
 */
export function placeOf(
  mounted: readonly Disk[],
  { id, disk }: RdsVolume,
  directory: string,
): Place | undefined {
  const path = disk.filePath;
  const holder = poolAt(mounted, path);
  if (holder === undefined) return undefined;
  // A path from the time of another --directory does not say where its mount point ends: then the device proves it.
  const proven = mountPointIn(path, directory, id) === holder.mountPoint || disk.size !== undefined;
  return proven ? { pool: holder.slot, path } : undefined;
}

/** As `placeOf`. @throws filePoolNotMounted (UNAVAILABLE) instead of undefined */
export function requirePlace(mounted: readonly Disk[], volume: RdsVolume, directory: string): Place {
  const place = placeOf(mounted, volume, directory);
  if (place !== undefined) return place;
  throw failure("filePoolNotMounted", { volume: volume.id, pool: awayName(volume, directory) });
}

/**
 * The places where the file of a volume without disk item may be. An installation uses its default pool, and each pool
 * that has a volume with a record of its cluster.
 * @param listed the default pool, every mounted item of `/disk`, and every item with a slot of ours
 */
export function placesFor(listed: readonly Disk[], id: VolumeId, layout: Layout, clusterId: string): Places {
  const pools = mountedPools(listed);
  const used = new Set([layout.pool]);
  const away = new Set(pools.some(({ slot }) => slot === layout.pool) ? [] : [layout.pool]);
  for (const disk of listed) {
    const found = classify(disk, clusterId);
    if (found?.kind !== "volume") continue;
    const place = placeOf(listed, found.volume, layout.directory);
    if (place !== undefined) used.add(place.pool);
    else away.add(awayName(found.volume, layout.directory));
  }
  const ours: Place[] = [];
  const others: Place[] = [];
  for (const { slot, mountPoint } of pools) {
    const path = filePathOf(mountPoint, layout, id);
    // A pool that is mounted below this one hides its folder.
    const visible = poolAt(listed, path)?.slot === slot;
    if (visible) (used.has(slot) ? ours : others).push({ pool: slot, path });
    else if (used.has(slot)) away.add(slot);
  }
  return { ours, others, away: [...away] };
}

/** Where the file of a volume may be on any mounted pool. */
export function pathsOnPools(listed: readonly Disk[], id: VolumeId, directory: string): string[] {
  return mountedPools(listed).map(({ slot, mountPoint }) =>
    filePathOf(mountPoint, { pool: slot, directory }, id),
  );
}

function mountedPools(listed: readonly Disk[]): readonly Disk[] {
  return listed.filter(
    ({ type, mounted, mountPoint }) => type !== "file" && mounted && isSafePath(mountPoint),
  );
}

/** The mounted pool whose mount point is the longest that the path begins with; undefined if that item is no pool. */
function poolAt(listed: readonly Disk[], path: string): Disk | undefined {
  const [holder] = listed
    .filter(({ mounted, mountPoint }) => mounted && mountPoint !== "" && path.startsWith(`${mountPoint}/`))
    .toSorted((a, b) => b.mountPoint.length - a.mountPoint.length);
  return holder?.type === "file" ? undefined : holder;
}

/** The mount point that a file's path names, if it is in the folder of the volumes. */
function mountPointIn(path: string, directory: string, id: VolumeId): string | undefined {
  const tail = `/${directory}/${id}.img`;
  return path.endsWith(tail) ? path.slice(0, -tail.length) : undefined;
}

/** A name for the pool of a volume that is on no mounted pool. */
function awayName({ id, disk }: RdsVolume, directory: string): string {
  return mountPointIn(disk.filePath, directory, id) ?? disk.filePath.split("/", 1)[0] ?? disk.filePath;
}
