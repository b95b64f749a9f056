import type { Message } from "@bufbuild/protobuf";
import { volumeIdFromName } from "../../domain/volume-id.ts";

/** How one RPC takes part in the in-flight guard. */
export interface InFlightRule {
  /** What the call works on, in words for an error message; empty means that it is not guarded. */
  readonly keys: (request: Readonly<Record<string, unknown>>) => readonly string[];
}

/** Rules by RPC name; an RPC without one is not guarded. */
export type InFlightRules = Readonly<Record<string, InFlightRule>>;

/**
 * The slot, without the name of the RDS before it: CreateVolume knows only the slot, and it has to meet a DeleteVolume
 * of the same volume.
 */
function volumeKey(handle: unknown): string[] {
  if (typeof handle !== "string" || handle === "") return [];
  return [
    `volume ${handle
      .slice(handle.lastIndexOf(":") + 1)
      .slice(0, 64)
      .toWellFormed()}`,
  ];
}

function textKey(kind: string, value: unknown): string[] {
  return typeof value === "string" && value !== "" ? [`${kind} ${JSON.stringify(value.slice(0, 512))}`] : [];
}

const byVolumeId: InFlightRule = { keys: (request) => volumeKey(request.volumeId) };

/**
 * Everything that changes a volume or snapshot excludes other changes of it. Lists and lookups are free. Calls for the
 * statistics of one path share their work, as a dead device would otherwise collect them.
 */
export const IN_FLIGHT_RULES: InFlightRules = {
  CreateVolume: {
    keys: ({ name }) => (typeof name === "string" && name !== "" ? volumeKey(volumeIdFromName(name)) : []),
  },
  DeleteVolume: byVolumeId,
  ControllerPublishVolume: byVolumeId,
  ControllerUnpublishVolume: byVolumeId,
  ControllerExpandVolume: byVolumeId,
  ControllerModifyVolume: byVolumeId,
  CreateSnapshot: {
    keys: ({ sourceVolumeId, name }) => [...volumeKey(sourceVolumeId), ...textKey("snapshot name", name)],
  },
  DeleteSnapshot: { keys: ({ snapshotId }) => textKey("snapshot", snapshotId) },
  NodeStageVolume: byVolumeId,
  NodeUnstageVolume: byVolumeId,
  NodePublishVolume: byVolumeId,
  NodeUnpublishVolume: byVolumeId,
  NodeExpandVolume: byVolumeId,
  NodeGetVolumeStats: {
    keys: ({ volumeId, volumePath }) =>
      textKey("statistics of", `${String(volumeId)} at ${String(volumePath)}`),
  },
};

/** The keys of a call under `rules`. */
export function keysOf(rules: InFlightRules, method: string, request: Message): readonly string[] {
  const rule = Object.hasOwn(rules, method) ? rules[method] : undefined;
  return rule === undefined ? [] : [...new Set(rule.keys(request as unknown as Record<string, unknown>))];
}
