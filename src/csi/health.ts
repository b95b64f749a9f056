import type { MessageInitShape } from "@bufbuild/protobuf";
import { printable, shortened } from "../domain/printable.ts";
import type { HealthEntry, HealthStatus, VolumeCondition } from "../inspect/health.ts";
import type { StorageTrouble } from "../node/health/storage-health.ts";
import {
  type NodeGetStorageHealthResponseSchema,
  StorageHealthErrorType,
  VolumeHealthErrorType,
  type VolumeHealthSchema,
} from "./gen/csi_pb.ts";

/**
 * How callers are told of the health of volumes: `csi-1.12` by VolumeCondition, `csi-1.13` by the VolumeHealth RPCs, or by `both`. Each
 * specification forbids what the other one asks for by number, and its csi-sanity fails on capabilities that it does not know; sidecars and
 * kubelet ignore those.
 */
export type HealthDialect = "csi-1.12" | "csi-1.13" | "both";

/** Whether the dialect of CSI up to 1.12 is spoken. */
export function hasCondition(dialect: HealthDialect): boolean {
  return dialect !== "csi-1.13";
}

/** Whether that of CSI 1.13 is. */
export function hasHealthRpcs(dialect: HealthDialect): boolean {
  return dialect !== "csi-1.12";
}

/** Longest text about a trouble, in UTF-16 units. */
const MESSAGE_LIMIT = 2_000;

/** Texts name mounts and files, whose names are foreign text. */
function wireText(message: string): string {
  return shortened(printable(message), MESSAGE_LIMIT);
}

/** VolumeCondition; undefined where the dialect has none. */
export function wireCondition(dialect: HealthDialect, { abnormal, message }: VolumeCondition) {
  if (!hasCondition(dialect)) return undefined;
  return { abnormal, message: wireText(message) };
}

const STATUS = {
  degraded: VolumeHealthErrorType.DEGRADED,
  inaccessible: VolumeHealthErrorType.INACCESSIBLE,
  "data-loss": VolumeHealthErrorType.DATA_LOSS,
} as const satisfies Readonly<Record<HealthStatus, VolumeHealthErrorType>>;

/** VolumeHealth. */
export function wireHealth(
  volumeId: string,
  health: readonly HealthEntry[],
): MessageInitShape<typeof VolumeHealthSchema> {
  const healthStatuses = health.map(({ status, reason, message }) => {
    return { status: STATUS[status], reason, message: wireText(message) };
  });
  return { volumeId, healthStatuses };
}

/** The answer of NodeGetStorageHealth. */
export function wireStorageHealth(
  troubles: readonly StorageTrouble[],
): MessageInitShape<typeof NodeGetStorageHealthResponseSchema> {
  return {
    backendHealth: troubles.map(({ unreachable, reason, message }) => ({
      status: unreachable
        ? StorageHealthErrorType.STORAGE_UNREACHABLE
        : StorageHealthErrorType.STORAGE_DEGRADED,
      reason,
      message: wireText(message),
    })),
  };
}
