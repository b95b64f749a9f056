import { failure } from "../domain/errors/driver-error.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { Disk } from "./disk.ts";
import {
  FILE_LAYOUTS,
  type FileLayout,
  fileLayoutOf,
  filePathOf,
  isSafePath,
  type Layout,
  mountPointIn,
  parentOf,
} from "./layout.ts";
import { canHoldSubvolumes, type SubvolumeName } from "./subvolume.ts";
import { classify, type RdsVolume } from "./volume.ts";

/** Where the file of a volume is. */
export interface Place {
  /** Slot of the pool. */
  readonly pool: string;
  /** Of the file, or of the directory that is its subvolume; without a leading slash. */
  readonly path: string;
  /** The subvolume that holds the file and nothing else; undefined with the layout `plain`. */
  readonly subvolume?: SubvolumeName | undefined;
}

/** A mounted pool, as far as places need it. */
type Holder = Pick<Disk, "slot" | "mountPoint" | "fs" | "fsLabel">;

/** Where the file of a volume is on a pool. */
export function placeOn(
  pool: Holder,
  layout: Pick<Layout, "directory">,
  id: VolumeId,
  form: FileLayout,
): Place {
  return placeAt(pool, filePathOf(pool.mountPoint, layout, id, form), form);
}

function placeAt(pool: Holder, file: string, form: FileLayout): Place {
  if (form === "plain" || !canHoldSubvolumes(pool)) return { pool: pool.slot, path: file };
  const path = parentOf(file);
  const name = path.slice(pool.mountPoint.length + 1);
  return { pool: pool.slot, path, subvolume: { label: pool.fsLabel, name } };
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
  const proven = mountPointIn(path, { directory }, id) === holder.mountPoint || disk.size !== undefined;
  return proven ? placeAt(holder, path, fileLayoutOf(path, id) ?? "plain") : undefined;
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
  for (const pool of pools) {
    const isUsed = used.has(pool.slot);
    const places = placesOn(pool, layout, id);
    // A pool that is mounted below this one, or at the directory of a subvolume, hides what is there.
    const visible = places.every(({ path }) => poolAt(listed, `${path}/`)?.slot === pool.slot);
    if (visible) (isUsed ? ours : others).push(...places);
    else if (isUsed) away.add(pool.slot);
  }
  return { ours, others, away: [...away] };
}

/** The places of both layouts, or the one that the pool can have. */
function placesOn(pool: Holder, layout: Pick<Layout, "directory">, id: VolumeId): Place[] {
  return FILE_LAYOUTS.filter((form) => form === "plain" || canHoldSubvolumes(pool)).map((form) =>
    placeOn(pool, layout, id, form),
  );
}

/** Where the file of a volume, or its subvolume, may be on any mounted pool. */
export function pathsOnPools(listed: readonly Disk[], id: VolumeId, directory: string): string[] {
  return mountedPools(listed).flatMap((pool) => placesOn(pool, { directory }, id).map(({ path }) => path));
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

/** A name for the pool of a volume that is on no mounted pool. */
function awayName({ id, disk }: RdsVolume, directory: string): string {
  return mountPointIn(disk.filePath, { directory }, id) ?? disk.filePath.split("/", 1)[0] ?? disk.filePath;
}
