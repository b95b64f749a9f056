import { deletionPlan } from "../../../src/cli/volumes/orphans-plan.ts";
import { orphansText } from "../../../src/cli/volumes/orphans-text.ts";
import { orphansOf } from "../../../src/inspect/find-orphans.ts";
import { FILE_GRACE_SECONDS, ORPHAN_GRACE_SECONDS } from "../../../src/inspect/orphan.ts";
import { disk, file, id, NOW, orphanWorld, POOL, snapshot } from "../../../src/inspect/orphans.fixture.ts";

const COLUMNS = 80;
const POOL_SLOT = "storage-pool";

/** What the transcripts show: an orphan that is free, one that is exported, a file, a snapshot. */
function shownWorld() {
  const pool = { ...POOL, slot: POOL_SLOT, mountPoint: POOL_SLOT };
  const at = (name: string): string => `${POOL_SLOT}/csi/${id(name)}.img`;
  const layout = { pool: POOL_SLOT, directory: "csi" };
  const [database, web, old] = ["database", "web", "old"];
  return orphanWorld({
    pool,
    disks: [
      disk(database, {}, { filePath: at(database), size: 40n << 30n }),
      disk(web, {}, { filePath: at(web), size: 10n << 30n, exported: true }),
    ],
    files: [file(at(old))],
    cuts: [snapshot("snapshot-monday", id(database), undefined, POOL.fsLabel)],
    layout,
  });
}

/** The output of `volumes orphans`, or of a plan to delete all. */
function transcript(isPlan: boolean): string {
  const orphans = orphansOf(shownWorld());
  const shown = isPlan ? deletionPlan(orphans, []) : orphans.map((orphan) => ({ orphan }));
  const deletion = isPlan ? { yes: false } : undefined;
  const screen = { now: NOW, width: COLUMNS, colour: false, wide: false };
  return orphansText(shown, { ...screen, total: orphans.length, deletion });
}

const block = (language: string, text: string): string[] => [`\`\`\`${language}`, text.trimEnd(), "```", ""];

/** The section of `docs/volumes.md` about orphans. */
export function orphansSection(): string[] {
  return [
    "## Orphans",
    "",
    "`volumes orphans` lists what is on the RDS, belongs to this cluster, and is named by nothing in the cluster: disks and files that no",
    "PersistentVolume names, and snapshots that no VolumeSnapshotContent names. It needs Kubernetes: without its answer nothing is an orphan, and the",
    "command fails. It takes five RouterOS commands.",
    "",
    ...block("text", `$ rds-csi volumes orphans\n${transcript(false)}`),
    "| kind | what counts | age |",
    "| --- | --- | --- |",
    "| `disk` | a disk item with a record of this cluster id, with the finding `pv-missing` or `attachment-without-pv` | since the record was made |",
    "| `file` | a file `SLOT.img` in the folder of the volumes, on a pool that this installation uses, without a disk item | since the file was last written |",
    "| `subvolume` | the same as a subvolume `SLOT` | as of a file |",
    "| `snapshot` | a snapshot whose name has this cluster id | since the cut |",
    "",
    "Names in PersistentVolumes and VolumeSnapshotContents of every driver count, so that a second installation in the cluster loses nothing. Never listed",
    "are things of another cluster, disk items without a readable record of this cluster, files anywhere else, and volumes that a full copy still fills.",
    "`-o wide` adds the path; `--kind` and `--older-than` choose. An age that is not known is shown as `unknown`, and is older than nothing.",
    "",
    "| deletable | meaning |",
    "| --- | --- |",
    "| yes | its record or name proves that it is this cluster's, or this cluster knows the file's volume: by a [copy of its record](volume-record.md#copies-in-the-cluster), a snapshot or a clone. Nothing uses it |",
    "| by name | only you can say that it is this cluster's: a file has no record, and a cluster id that you chose may be that of two clusters. It is deleted only if you name it |",
    "| no | `Why:` says what speaks against it |",
    "",
    "These speak against a deletion:",
    "",
    "- a node has it, or a VolumeAttachment of it is left; it is exported; the RDS has mounted it; another disk item has the same file",
    "- a full copy, a clone or `volumes convert` is under way with it",
    "- its pool is not mounted; a file of the same name is elsewhere, which may be a copy; something else is in its subvolume",
    `- it is young: less than ${ORPHAN_GRACE_SECONDS / 3_600} hour old, a file less than ${FILE_GRACE_SECONDS / 3_600} hours; or its age is not known`,
    "- of a file: the earlier driver made it, or another cluster uses this RDS, and nothing in this cluster knows the volume",
    "- of a snapshot: it is not read-only, or the cluster serves no VolumeSnapshots",
    "",
    "### Deleting orphans",
    "",
    "`--delete` takes whole names, or `--all` for those with `yes`. It prints a plan and changes nothing:",
    "",
    ...block("text", `$ rds-csi volumes orphans --delete --all\n${transcript(true)}`),
    "`--yes` carries the plan out, **with the data**. Have a backup, or be sure. Just before each deletion the command looks at both sides anew. The orphan must be the one of",
    "the plan, with the same record. The last question goes to Kubernetes, and the next RouterOS command deletes. That command is the one of DeleteVolume or DeleteSnapshot: it acts",
    "on exactly this record, path or snapshot. At the first doubt the item is kept, and the command goes on with the others. After a lost reply it looks again, at most",
    "three times. Kept items make the exit code 1 (`orphansKept`).",
    "",
    "```sh",
    "kubectl -n rds-csi exec deployment/rds-csi-controller -c driver -- rds-csi volumes orphans",
    "kubectl -n rds-csi exec deployment/rds-csi-controller -c driver -- rds-csi volumes orphans --delete csi-3f5a4531819003c5bfbfc10c036d",
    "kubectl -n rds-csi exec deployment/rds-csi-controller -c driver -- rds-csi volumes orphans --delete csi-3f5a4531819003c5bfbfc10c036d --yes",
    "```",
    "",
    "What it cannot see:",
    "",
    "- A cluster that was restored from a backup of etcd has lost the PersistentVolumes that were made since. Their volumes are orphans then, and hold data.",
    "- A snapshot that you keep on purpose without objects is an orphan, too. Leave kind `snapshot` out of `--all`: `--kind disk,file,subvolume`.",
    "- Two clusters with the same chosen cluster id on one RDS see each other's volumes as orphans. Let `--cluster-id` be the UID, which is the default.",
    "- A PersistentVolume that is written by hand within the last second before a deletion comes too late.",
    "",
  ];
}
