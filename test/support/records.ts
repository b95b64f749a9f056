import { DEFAULT_SETTINGS, type VolumeRecord } from "../../src/domain/record/volume-record.ts";
import type { Disk } from "../../src/rds/disk.ts";

/** The record of a volume `pvc-1` of cluster `test` that was never attached. */
export const NEW_RECORD: VolumeRecord = {
  name: "pvc-1",
  cluster: "test",
  claim: undefined,
  createdAt: 1,
  source: undefined,
  filesystem: undefined,
  epoch: 0,
  attachments: [],
  migration: undefined,
  ended: [],
  settings: DEFAULT_SETTINGS,
  unknown: [],
};

/** A file disk of 1 GiB without slot, comment and path, which is not exported. */
export const FILE_DISK: Disk = {
  slot: "",
  type: "file",
  comment: "",
  filePath: "",
  size: 1n << 30n,
  free: undefined,
  mounted: false,
  mountPoint: "",
  fs: "-",
  fsLabel: "",
  state: "",
  raidMaster: "",
  memberFailed: false,
  mountFilesystem: false,
  exported: false,
  nqn: "",
  port: undefined,
  allowHost: "",
};
