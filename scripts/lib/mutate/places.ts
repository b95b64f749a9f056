/** A source, and the tests that must notice each change of it: one group after the other, the quick ones first. */
export interface Source {
  readonly file: string;
  readonly tests: readonly (readonly string[])[];
}

/** A place whose faults cost data. */
export interface Place {
  readonly name: string;
  readonly sources: readonly Source[];
}

const source = (file: string, ...tests: readonly (readonly string[])[]): Source => ({ file, tests });

const MIGRATION = ["src/migration"];
const QUOTING = ["src/routeros/script.test.ts"];
const RDS = [
  "src/rds/volume.test.ts",
  "src/rds/place.test.ts",
  "src/rds/rules.test.ts",
  "src/rds/remove.test.ts",
];
const DECISION = [
  "src/controller/publish-volume.test.ts",
  "src/controller/present-claim.test.ts",
  "src/controller/second-node.test.ts",
];
const ORPHANS = ["src/inspect/orphans.test.ts"];
const ADOPTION = ["src/cli/volumes/adopt.test.ts", "src/cli/volumes/adopt-swap.test.ts"];
const CREATION = ["src/controller/create-volume.test.ts"];

export const PLACES: readonly Place[] = [
  {
    name: "migration",
    sources: [
      ...["publish", "unpublish", "deadline", "revision", "time-limit", "guard", "live-migration"].map(
        (name) => source(`src/migration/${name}.ts`, MIGRATION),
      ),
      source("src/controller/publish-decision.ts", DECISION),
      source("src/controller/record-change.ts", DECISION),
    ],
  },
  {
    name: "quoting",
    sources: [
      ...["quote", "script", "envelope"].map((name) => source(`src/routeros/${name}.ts`, QUOTING)),
      source("src/routeros/failure-class.ts", ["src/routeros/client.test.ts"], QUOTING),
    ],
  },
  {
    name: "proofs",
    sources: [
      source("src/node/filesystem/ensure-filesystem.ts", ["src/node/filesystem/ensure-filesystem.test.ts"]),
      source("src/node/device-proofs.ts", ["src/node/device-proofs.test.ts"]),
      source("src/node/verbs/release.ts", ["src/node/verbs/release.test.ts"]),
      // Not check-filesystem.ts: its tests take 20 s, and leave loop devices behind when a run is ended.
      source("src/node/filesystem/make-filesystem.ts", ["src/node/filesystem/ensure-filesystem.test.ts"]),
      source("src/mount/users.ts", ["src/mount/users.test.ts"]),
      source("src/mount/fuser.ts", ["src/mount/fuser.test.ts"]),
      source("src/mount/holders.ts", ["src/mount/holders.test.ts"]),
      source("src/mount/backing.ts", ["src/mount/loops.test.ts"], ["src/mount/users.test.ts"]),
      source("src/mount/loops.ts", ["src/mount/loops.test.ts"], ["src/mount/users.test.ts"]),
      source("src/mount/mapped.ts", ["src/mount/mapped.test.ts"]),
      source("src/mount/process-scan.ts", ["src/mount/process-scan.test.ts", "src/mount/processes.test.ts"]),
      source("src/mount/mountinfo.ts", ["src/mount/mountinfo.test.ts"]),
      source("src/mount/superblock.ts", ["src/mount/superblock.test.ts"]),
      source("src/mount/exclusive.ts", ["src/mount/exclusive.test.ts"]),
      source("src/mount/blank.ts", ["src/mount/blank-regions.test.ts"], ["src/mount/blank.test.ts"]),
      source("src/mount/mkfs-mark.ts", ["src/mount/mkfs-mark.test.ts"]),
      source("src/domain/filesystem-uuid.ts", ["src/mount/mkfs-mark.test.ts", "src/domain/domain.test.ts"]),
      source("src/mount/xfs-log.ts", ["src/mount/xfs-log.test.ts"]),
      source("src/mount/filesystem-uuid.ts", ["src/mount/change-uuid.test.ts"]),
    ],
  },
  {
    name: "ownership",
    sources: [
      ...["volume", "place", "backing-file"].map((name) => source(`src/rds/${name}.ts`, RDS)),
      source("src/rds/remove.ts", RDS, ["src/controller/copy-deletion.test.ts"]),
      source("src/rds/leftover.ts", RDS, ["src/controller/snapshot-pools.test.ts"]),
      source("src/rds/create.ts", ["src/rds/scripted.test.ts", "src/rds/rds.test.ts"], CREATION),
      source("src/rds/export.ts", ["src/rds/export.test.ts"], ["src/rds/scripted.test.ts"]),
      source("src/rds/layout.ts", ["src/rds/layout.test.ts"], RDS),
      source("src/controller/left-behind.ts", ["src/controller/left-behind.test.ts"]),
      source(
        "src/rds/write-record.ts",
        ["src/rds/write-record.test.ts", "src/rds/earlier-record.test.ts"],
        ["src/rds/scripted.test.ts"],
      ),
    ],
  },
  {
    name: "takeover",
    sources: [
      ...["adopt", "epochs"].map((name) => source(`src/records/${name}.ts`, ADOPTION)),
      source("src/records/earlier-settings.ts", ["src/records/earlier-settings.test.ts"], ADOPTION),
      source("src/rds/earlier.ts", ["src/rds/earlier-record.test.ts"], ADOPTION),
      ...["orphan-disks", "orphan-files", "orphan-snapshots", "orphan-world"].map((name) =>
        source(`src/inspect/${name}.ts`, ORPHANS, ["src/controller/remove-orphan.test.ts"]),
      ),
      source(
        "src/controller/remove-orphan.ts",
        ["src/controller/remove-orphan.test.ts"],
        ["src/cli/volumes/orphans-delete.test.ts"],
      ),
      source("src/domain/premises.ts", ["src/probe/device-profile.test.ts"]),
    ],
  },
];
