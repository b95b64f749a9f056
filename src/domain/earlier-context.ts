import { DEFAULT_SETTINGS } from "./record/volume-record.ts";

type StringMap = Readonly<Record<string, string>>;

/** Keys of a publish context of the earlier Go driver, which VolumeAttachments that it attached keep. `fs_type` is always ext4, and says nothing. */
const EARLIER_KEYS = { nqn: "nvme_nqn", address: "nvme_address", port: "nvme_port" } as const;

/** Whether a publish context is one of the earlier driver. */
export function isEarlierContext(map: StringMap): boolean {
  return Object.hasOwn(map, EARLIER_KEYS.nqn) && !Object.hasOwn(map, "nqn");
}

/**
 * A publish context of the earlier driver in the terms of this one. It says nothing of the volume's size, so that no size is proven, and nothing of
 * its content, so that no filesystem is ever made with it.
 * @param hostNqn of this node: the earlier driver has no list of allowed hosts
 */
export function fromEarlierContext(map: StringMap, hostNqn: string): StringMap {
  const { ctrlLossTmo, reconnectDelay, keepAliveTmo } = DEFAULT_SETTINGS;
  return {
    nqn: map[EARLIER_KEYS.nqn] ?? "",
    address: map[EARLIER_KEYS.address] ?? "",
    port: map[EARLIER_KEYS.port] ?? "",
    hostNqn,
    sizeBytes: "1",
    filesystemState: "keep",
    ctrlLossTmo: String(ctrlLossTmo),
    reconnectDelay: String(reconnectDelay),
    keepAliveTmo: String(keepAliveTmo),
  };
}
