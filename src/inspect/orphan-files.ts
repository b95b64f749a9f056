import { parseVolumeId, SLOT_PREFIX, type VolumeId } from "../domain/volume-id.ts";
import { conversionSlots } from "../rds/conversion-slots.ts";
import { type Place, placesFor } from "../rds/place.ts";
import { isOf, lastOf } from "../rds/snapshot-names.ts";
import { FILE_GRACE_SECONDS, type Orphan, tooYoung, verdict } from "./orphan.ts";
import { clusterGaps, leftAttachments, type OrphanWorld, otherClusters } from "./orphan-world.ts";
import { isLeftOf } from "./world.ts";

/**
 * Files and subvolumes in the folder of the volumes, on pools that this installation uses, whose volume has neither a disk item nor a
 * PersistentVolume. A file has no record: its place is the proof that DeleteVolume demands, and there a handle comes with it. Here only what names the
 * volume as this cluster's proves that it is; else a person must name it.
 */
export function orphanedFiles(world: OrphanWorld): Orphan[] {
  const { inventory, volumes, layout, installation } = world;
  const { disks, files, subvolumes } = inventory;
  const named = new Set(volumes.map(({ handle }) => handle));
  const slots = new Set(disks.map(({ slot }) => slot));
  const candidates = new Set(
    [...files.map(({ path }) => slotIn(path)), ...subvolumes.map(({ name }) => lastOf(name))].flatMap(
      (text) => parseVolumeId(text) ?? [],
    ),
  );
  const paths = new Set(files.map(({ path }) => path));
  return [...candidates].toSorted().flatMap((id) => {
    // A conversion that goes on has the record of a volume without disk item, whose files may be either.
    const { fresh, kept } = conversionSlots(id);
    if (named.has(id) || [id, fresh, kept].some((slot) => slots.has(slot))) return [];
    const places = placesFor(disks, id, layout, installation.clusterId);
    const isSubvolume = ({ subvolume }: Place): boolean =>
      subvolumes.some(({ label, name }) => label === subvolume?.label && name === subvolume.name);
    const isThere = (place: Place): boolean =>
      place.subvolume === undefined ? paths.has(place.path) : isSubvolume(place) || paths.has(imageAt(place));
    const ours = places.ours.filter(isThere);
    const elsewhere = places.others.filter(isThere);
    return ours.map((place): Orphan => {
      const against = [
        ...(place.subvolume === undefined || isSubvolume(place) ? [] : ["its folder is no subvolume"]),
        ...[...ours, ...elsewhere].flatMap((other) =>
          other === place ? [] : [`${other.path} is there as well, and one of them may be a copy`],
        ),
        ...places.away.map((pool) => `pool ${pool} is not mounted, which may hold its disk`),
        ...againstFile(world, id, place),
      ];
      const idleSeconds = idleOf(world, place);
      return {
        ...{ kind: place.subvolume === undefined ? "file" : "subvolume", name: id },
        ...{ pool: place.pool, path: place.path, comment: undefined },
        sizeBytes: files.find(({ path }) => path === imageAt(place))?.sizeBytes,
        since: idleSeconds === undefined ? undefined : Math.round(world.now / 1_000 - idleSeconds),
        reason: "it has no disk item, and no PersistentVolume names it",
        ...ownerVerdict(world, id, against),
      };
    });
  });
}

/** Path of the image file in a place. */
function imageAt({ path, subvolume }: Place): string {
  return subvolume === undefined ? path : `${path}/disk.img`;
}

/** Seconds since a file was last written; of a subvolume also its image, of which the folder's own time tells nothing. undefined: not known. */
function idleOf({ details, inventory }: OrphanWorld, place: Place): number | undefined {
  const image = imageAt(place);
  const isThere = inventory.files.some(({ path }) => path === image);
  const times = [place.path, ...(isThere ? [image] : [])].map((path) => details.get(path)?.idleSeconds);
  return times.includes(undefined) ? undefined : Math.min(...times.map(Number));
}

function slotIn(path: string): string {
  return /\/((?:csi|pvc)-[^/.]+)(?:\/disk)?\.img$/.exec(path)?.[1] ?? "";
}

function againstFile(world: OrphanWorld, id: VolumeId, place: Place): string[] {
  const { inventory, details } = world;
  const user = inventory.disks.find(
    ({ filePath }) => filePath === place.path || filePath.startsWith(`${place.path}/`),
  );
  const { entries } = details.get(place.path) ?? {};
  const most = place.subvolume === undefined ? 0 : 1;
  const left = leftAttachments(world).find((each) => isLeftOf(id, each));
  return [
    ...(user === undefined ? [] : [`disk item ${user.slot} uses it`]),
    ...(left === undefined ? [] : [`VolumeAttachment ${left.name} is of it`]),
    ...(id.startsWith(SLOT_PREFIX)
      ? []
      : ["it is of the earlier driver: without its record nothing proves whose it is"]),
    ...(entries === undefined || entries > most
      ? [
          entries === undefined
            ? "the RDS does not say whether something else is in it"
            : "something else is in it",
        ]
      : []),
    ...tooYoung(idleOf(world, place), FILE_GRACE_SECONDS),
  ];
}

/** Whose a file is. */
function ownerVerdict(world: OrphanWorld, id: VolumeId, against: readonly string[]) {
  const proof = ownerProof(world, id);
  if (proof !== undefined) return verdict(against, proof.gaps, proof.text);
  const others = otherClusters(world);
  const theirs =
    others.length > 0
      ? [`another cluster uses this RDS, too (${others[0]}), and nothing says whose it is`]
      : [];
  const gap = "no record says which cluster it is of: name it to delete it";
  return verdict([...against, ...theirs], [gap], "");
}

/** What says that a volume without record was this cluster's. Only its own objects do so where another cluster may have its id. */
function ownerProof(
  world: OrphanWorld,
  id: VolumeId,
): { readonly text: string; readonly gaps: readonly string[] } | undefined {
  const { kept, snapshots = [], inventory, installation } = world;
  const content = snapshots.find(({ volume }) => volume === id);
  if (content !== undefined)
    return { text: `VolumeSnapshotContent ${content.name} of this cluster names it`, gaps: [] };
  const byId = (text: string) => ({ text, gaps: clusterGaps(world) });
  if (kept.has(id)) return byId("this cluster has a copy of its record");
  const cut = inventory.snapshots.find(
    ({ record }) => record.source === id && isOf(installation.clusterId, record),
  );
  if (cut !== undefined) return byId(`snapshot ${cut.record.id} of this cluster was cut of it`);
  const clone = inventory.survey.volumes.find(({ record }) => record.source === id);
  return clone && byId(`volume ${clone.id} of this cluster was made from it`);
}
