import { GIB } from "../../test/support/rds-stack.ts";
import { encodeRecord } from "../domain/record/record-codec.ts";
import { DEFAULT_SETTINGS, type VolumeRecord } from "../domain/record/volume-record.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import type { Disk } from "./disk.ts";

export const ID = volumeIdFromName("pvc-1");

export const PATH = `storage-pool/csi/${ID}.img`;

export const RECORD: VolumeRecord = {
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

export const ATTACHED: VolumeRecord = {
  ...RECORD,
  epoch: 1,
  attachments: [
    {
      node: "node-a",
      hostNqn: "nqn.h",
      accessMode: "SINGLE_NODE_WRITER",
      accessType: "block",
      readonly: false,
      since: 2,
    },
  ],
};

export const DISK: Disk = {
  slot: ID,
  type: "file",
  comment: encodeRecord(RECORD),
  filePath: PATH,
  size: GIB,
  free: undefined,
  mounted: false,
  mountPoint: "",
  fs: "-",
  state: "",
  mountFilesystem: false,
  exported: false,
  nqn: "",
  port: undefined,
  allowHost: "",
};
