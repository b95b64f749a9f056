import { FILE_DISK, NEW_RECORD } from "../../test/support/records.ts";
import { encodeRecord } from "../domain/record/record-codec.ts";
import type { VolumeRecord } from "../domain/record/volume-record.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import type { Disk } from "./disk.ts";

export const ID = volumeIdFromName("pvc-1");

export const PATH = `storage-pool/csi/${ID}.img`;

export const RECORD: VolumeRecord = NEW_RECORD;

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

export const DISK: Disk = { ...FILE_DISK, slot: ID, comment: encodeRecord(RECORD), filePath: PATH };
