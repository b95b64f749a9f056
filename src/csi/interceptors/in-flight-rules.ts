import type { Message } from "@bufbuild/protobuf";
import { volumeIdFromName } from "../../domain/volume-id.ts";

/** The objects that a request is about. */
type Rule = (request: Readonly<Record<string, unknown>>) => readonly string[];

/** Longest handle in a message, in UTF-16 units. */
const SHOWN = 64;

/**
 * The slot, without the name of the RDS before it: CreateVolume knows only the slot, and it has to meet a DeleteVolume
 * of the same volume.
 */
function volumeKey(handle: unknown): string[] {
  if (typeof handle !== "string" || handle === "") return [];
  const slot = handle.slice(handle.lastIndexOf(":") + 1);
  return [`volume ${slot.slice(0, SHOWN).toWellFormed()}`];
}

const byVolumeId: Rule = ({ volumeId }) => volumeKey(volumeId);

/**
 * Each change of a volume excludes other changes of it. Lists and lookups are free. Calls for the statistics of one path share their
 * work, as such calls would pile up on a dead device.
 */
const RULES: Readonly<Record<string, Rule>> = {
  CreateVolume: ({ name }) =>
    typeof name === "string" && name !== "" ? volumeKey(volumeIdFromName(name)) : [],
  DeleteVolume: byVolumeId,
  ControllerPublishVolume: byVolumeId,
  ControllerUnpublishVolume: byVolumeId,
  ControllerExpandVolume: byVolumeId,
  NodeStageVolume: byVolumeId,
  NodeUnstageVolume: byVolumeId,
  NodePublishVolume: byVolumeId,
  NodeUnpublishVolume: byVolumeId,
  NodeExpandVolume: byVolumeId,
  NodeGetVolumeStats: ({ volumeId, volumePath }) => {
    const path = JSON.stringify(`${String(volumeId)} at ${String(volumePath)}`.slice(0, 512));
    return [`statistics of ${path}`];
  },
};

/** The objects that a call works on, in words for an error message; empty means that the call is not guarded. */
export function keysOf(method: string, request: Message): readonly string[] {
  const rule = Object.hasOwn(RULES, method) ? RULES[method] : undefined;
  return rule?.(request as unknown as Record<string, unknown>) ?? [];
}
