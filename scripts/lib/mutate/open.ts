/**
 * Sources whose surviving mutants nobody has judged yet: each survivor may be a gap of the tests. They are printed and counted, and fail no
 * run. To judge those of one source: `scripts/mutate --file FILE`, then a better test for each survivor, or a reason in explained.ts, and
 * the source leaves this list.
 */
export const OPEN: readonly string[] = [
  "src/controller/publish-decision.ts",
  "src/controller/record-change.ts",
  "src/controller/left-behind.ts",
  "src/node/filesystem/make-filesystem.ts",
  "src/mount/backing.ts",
  "src/mount/loops.ts",
  "src/mount/mapped.ts",
  "src/mount/process-scan.ts",
  "src/mount/mountinfo.ts",
  "src/mount/superblock.ts",
  "src/mount/xfs-log.ts",
  "src/mount/filesystem-uuid.ts",
  "src/rds/create.ts",
  "src/rds/export.ts",
  "src/records/adopt.ts",
  "src/records/epochs.ts",
  "src/records/earlier-settings.ts",
  "src/rds/earlier.ts",
  "src/inspect/orphan-disks.ts",
  "src/inspect/orphan-files.ts",
  "src/inspect/orphan-snapshots.ts",
  "src/inspect/orphan-world.ts",
  "src/controller/remove-orphan.ts",
  "src/domain/premises.ts",
];
