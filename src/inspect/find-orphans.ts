import type { ClusterReader } from "../kubernetes/port.ts";
import type { StorageNames } from "../kubernetes/storage-names.ts";
import type { LeftDetails } from "../rds/inventory.ts";
import type { Layout } from "../rds/layout.ts";
import type { Rds } from "../rds/rds.ts";
import type { Orphan } from "./orphan.ts";
import { orphanedDisks } from "./orphan-disks.ts";
import { orphanedFiles } from "./orphan-files.ts";
import { orphanedSnapshots } from "./orphan-snapshots.ts";
import type { OrphanWorld } from "./orphan-world.ts";

/** Where orphans are looked for. */
export interface OrphanSources {
  readonly rds: Pick<Rds, "inventory" | "installation">;
  readonly layout: Layout;
  readonly clusterId: string;
  readonly names: StorageNames;
  readonly reader: Pick<ClusterReader, "volumeAttachments">;
  /** The handles of kept records; left out: none is known. */
  readonly kept?: (signal: AbortSignal) => Promise<ReadonlySet<string>>;
  readonly clock: { now(): number };
  readonly forRds: AbortSignal;
  readonly forCluster: AbortSignal;
}

/**
 * Looks for orphans. Five RouterOS commands, one less where no file is left, and more where there is much. The cluster is read after the RDS: a
 * volume that is found got its PersistentVolume before that look, or is young.
 * @throws the failures of both sides: nothing is an orphan then
 */
export async function findOrphans(sources: OrphanSources): Promise<readonly Orphan[]> {
  const { rds, names, reader, layout, clusterId, forRds, forCluster, clock } = sources;
  const inventory = await rds.inventory.read(forRds);
  const kept = (await sources.kept?.(forCluster)) ?? new Set<string>();
  const attachments = await reader.volumeAttachments(forCluster);
  const snapshots = await names.snapshots(forCluster);
  const volumes = await names.volumes(forCluster);
  const { nqnPrefix, nvmePort, fencing } = rds.installation;
  const installation = { nqnPrefix, nvmePort, fencing, clusterId };
  const first = { now: clock.now(), installation, layout, inventory, volumes, attachments, snapshots, kept };
  const world = { ...first, details: new Map<string, LeftDetails>() };
  const left = orphanedFiles(world).flatMap(({ kind, path }) =>
    kind === "subvolume" ? [path, `${path}/disk.img`] : [path],
  );
  if (left.length === 0) return orphansOf(world);
  return orphansOf({ ...world, details: await rds.inventory.details(left, forRds) });
}

/** The orphans of a world: disks, files and subvolumes, snapshots, each by name. */
export function orphansOf(world: OrphanWorld): readonly Orphan[] {
  return [...orphanedDisks(world), ...orphanedFiles(world), ...orphanedSnapshots(world)];
}
