import { MIB, type Stack } from "../../test/support/rds-stack.ts";
import { NEW_RECORD } from "../../test/support/records.ts";
import { encodeRecord } from "../domain/record/record-codec.ts";
import type { VolumeRecord } from "../domain/record/volume-record.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";

/** The record of a volume that is attached to one node: about as long as most. */
export function record(name: string): VolumeRecord {
  const attachment = {
    node: `worker-${name.length}.cluster.example`,
    hostNqn: `nqn.2014-08.org.nvmexpress:uuid:${"0".repeat(36)}`,
    accessMode: "SINGLE_NODE_WRITER",
    accessType: "block",
    readonly: false,
    since: 2,
  } as const;
  return {
    ...NEW_RECORD,
    name,
    claim: { namespace: "virtual-machines", name },
    epoch: 7,
    attachments: [attachment],
  };
}

/** Puts disks onto the device as they are after its start: ours, with their records, and others. */
export async function fill(
  on: Pick<Stack, "simulator">,
  names: readonly string[],
  others: readonly string[] = [],
  size = MIB,
  /** Names of the volumes in the records of `others`; without them these have no record. */
  recorded: readonly string[] = [],
): Promise<void> {
  const { device } = on.simulator;
  await device.makeDirectories("storage-pool/csi");
  let id = 0x1000;
  for (const [slot, comment] of [
    ...names.map((name) => [volumeIdFromName(name), encodeRecord(record(name))] as const),
    ...others.map((slot, at) => {
      const name = recorded[at];
      return [slot, name === undefined ? "" : encodeRecord(record(name))] as const;
    }),
  ]) {
    const path = `storage-pool/csi/${slot}.img`;
    device.fileStore.restore({ id, path, directory: false, size, charged: size, modified: 0 });
    const config = new Map<string, string | bigint | boolean>([
      ["type", "file"],
      ["slot", slot],
      ["comment", comment],
      ["file-path", path],
      ["file-size", size],
      ["nvme-tcp-export", true],
      ["nvme-tcp-server-nqn", `nqn.2000-02.com.mikrotik:${slot}.7`],
      ["mount-filesystem", false],
    ]);
    device.diskStore.restore({ id, config, readyAt: 0, exportedSize: size });
    id += 1;
  }
}
