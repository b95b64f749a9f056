import { placeOf } from "../rds/place.ts";
import type { RdsVolume } from "../rds/volume.ts";
import { compareVolume } from "./compare.ts";
import { known, notAsked } from "./fact.ts";
import { sentenceOf } from "./finding.ts";
import { ORPHAN_GRACE_SECONDS, type Orphan, tooYoung, verdict } from "./orphan.ts";
import { clusterGaps, leftAttachments, type OrphanWorld } from "./orphan-world.ts";
import type { VolumeFinding } from "./volume-finding.ts";
import { volumeFacts } from "./world.ts";

const NO_NODES = notAsked("orphans are attached to no node");

/** The volumes of this installation that have the finding `pv-missing` or `attachment-without-pv`, and no PersistentVolume of another driver. */
export function orphanedDisks(world: OrphanWorld): Orphan[] {
  const names = new Set(world.volumes.map(({ handle }) => handle));
  const left = leftAttachments(world);
  return world.inventory.survey.volumes.flatMap((volume): Orphan[] => {
    if (names.has(volume.id)) return [];
    const found = findingsOf(world, volume, left);
    const orphaned = found.filter(({ id }) => id === "pv-missing");
    const attached = found.filter(({ id }) => id === "attachment-without-pv");
    const [first] = [...attached, ...orphaned];
    if (first === undefined) return [];
    const { id, record, disk } = volume;
    const since = record.createdAt > 0 ? record.createdAt : undefined;
    return [
      {
        ...{ kind: "disk", name: id, path: disk.filePath, sizeBytes: disk.size, since },
        pool: placeOf(world.inventory.survey.mounted, volume, world.layout.directory)?.pool,
        reason: "no PersistentVolume names it",
        ...verdict(
          againstDisk(world, volume, attached),
          clusterGaps(world),
          "its record names this cluster, and nothing uses it",
        ),
        comment: disk.comment,
      },
    ];
  });
}

/** The findings about a volume that no PersistentVolume names, as `volumes list` has them. */
function findingsOf(
  { now, installation, inventory }: OrphanWorld,
  volume: RdsVolume,
  left: OrphanWorld["attachments"],
): VolumeFinding[] {
  const { mounted, arrays } = inventory.survey;
  const survey = known({ volumes: [volume], foreign: [], mounted, arrays });
  const cluster = { pvs: known([]), attachments: known(left), nodes: NO_NODES };
  return compareVolume(volumeFacts({ now, installation, survey, cluster }, volume.id));
}

function againstDisk(
  { now, inventory, layout }: OrphanWorld,
  volume: RdsVolume,
  attached: readonly VolumeFinding[],
): string[] {
  const { id, record, disk } = volume;
  const { disks, survey } = inventory;
  const nodes = record.attachments.map(({ node }) => node).join(", ");
  const beside = disks.find((each) => each.slot !== id && each.filePath === disk.filePath);
  const copying = survey.volumes.find((each) => each.record.copy !== undefined && each.record.source === id);
  return [
    ...attached.map(sentenceOf),
    ...(attached.length === 0 && nodes !== "" ? [`it is attached to ${nodes}`] : []),
    ...(disk.exported
      ? ["it is exported, and nothing proves that no node has it: set nvme-tcp-export=no first"]
      : []),
    ...(disk.mounted ? ["the RDS has mounted its filesystem"] : []),
    ...(record.conversion === undefined ? [] : ["it moves into a subvolume: let `volumes convert` end"]),
    ...(copying === undefined ? [] : [`volume ${copying.id} is copied from it`]),
    ...(beside === undefined ? [] : [`disk item ${beside.slot} has the same file`]),
    ...(placeOf(survey.mounted, volume, layout.directory) === undefined ? ["its pool is not mounted"] : []),
    ...tooYoung(record.createdAt > 0 ? now / 1_000 - record.createdAt : undefined, ORPHAN_GRACE_SECONDS),
  ];
}
