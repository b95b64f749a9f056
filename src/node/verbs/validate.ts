import { Buffer } from "node:buffer";
import {
  type Capability,
  DEFAULT_FILESYSTEM,
  FILESYSTEMS,
  type Filesystem,
} from "../../domain/access-mode.ts";
import { capabilityProblem } from "../../domain/capability-problem.ts";
import { fromEarlierContext, isEarlierContext } from "../../domain/earlier-context.ts";
import { type DriverError, failure } from "../../domain/errors/driver-error.ts";
import { hostIdentity } from "../../domain/host-identity.ts";
import { decodePublishContext, type PublishContext } from "../../domain/publish-context.ts";
import { isOfEarlierDriver, parseVolumeId, type VolumeId } from "../../domain/volume-id.ts";
import type { BlockDevice, Target } from "../../host/data-path.ts";
import { checkMountFlags } from "../../mount/flags.ts";
import { normalAddress } from "../../nvme/endpoint.ts";
import { requireVolumeNqn, type VolumeNqn } from "../../nvme/nqn.ts";
import type { NodeContext } from "../context.ts";

/** Longest volume handle in bytes, as on the controller. Our own handles have 40. */
const HANDLE_LIMIT = 256;

/**
 * Checks that the field `volume_id` is set and not too long.
 * @throws fieldMissing, fieldTooLong (INVALID_ARGUMENT)
 */
export function requireVolumeId(volumeId: string): string {
  if (volumeId === "") throw failure("fieldMissing", { field: "volume_id" });
  const bytes = Buffer.byteLength(volumeId);
  if (bytes > HANDLE_LIMIT) throw failure("fieldTooLong", { field: "volume_id", bytes, limit: HANDLE_LIMIT });
  return volumeId;
}

/** Parses a handle. @throws volumeNotFound (NOT_FOUND) for a handle that no volume can have */
export function requireKnownVolume(volumeId: string): VolumeId {
  const parsed = parseVolumeId(volumeId);
  if (parsed === undefined) throw failure("volumeNotFound", { volume: JSON.stringify(volumeId) });
  return parsed;
}

/** The form in which a pod gets a volume. */
export type Presentation =
  | { readonly kind: "block"; readonly readOnly: boolean }
  | {
      readonly kind: "filesystem";
      readonly readOnly: boolean;
      readonly filesystem: Filesystem;
      readonly flags: readonly string[];
    };

/**
 * Checks a capability and translates it for the node.
 * @throws fieldMissing, mountFlagRefused, and the problems of `capabilityProblem` (INVALID_ARGUMENT)
 */
export function presentationOf(capability: Capability | undefined): Presentation {
  if (capability === undefined) throw failure("fieldMissing", { field: "volume_capability" });
  const problem = capabilityProblem(capability);
  if (problem !== undefined) throw problem;
  const { accessMode, accessType, fsType } = capability;
  const readOnly = accessMode.endsWith("_READER_ONLY");
  if (accessType === "block") return { kind: "block", readOnly };
  const filesystem = FILESYSTEMS.find((known) => known === fsType) ?? DEFAULT_FILESYSTEM;
  const flags = checkMountFlags(filesystem, capability.mountFlags, readOnly);
  return { kind: "filesystem", readOnly: readOnly || flags.includes("ro"), filesystem, flags };
}

/** The presentation on an attachment: one that the controller made read-only (PUBLISH_READONLY) is read-only on the node. */
export function attachedAs(presentation: Presentation, { readonly }: PublishContext): Presentation {
  return readonly ? { ...presentation, readOnly: true } : presentation;
}

/** A publish context that belongs to this volume and this node. */
export interface CheckedContext {
  readonly context: PublishContext;
  readonly nqn: VolumeNqn;
  readonly target: Target;
}

/**
 * Reads the publish context and proves that it is for this volume and this node. A volume of the earlier driver may have one of that driver.
 * @throws fieldMissing, fieldInvalid (INVALID_ARGUMENT); nqnForeign, hostIdentityMismatch (FAILED_PRECONDITION);
 *   clusterIdUnknown (UNAVAILABLE)
 */
export function checkContext(
  node: NodeContext,
  volume: VolumeId,
  map: Readonly<Record<string, string>>,
): CheckedContext {
  const isEarlier = isOfEarlierDriver(volume) && isEarlierContext(map);
  const identity = () => hostIdentity(node.clusterId, node.nodeId);
  const context = decodePublishContext(isEarlier ? fromEarlierContext(map, identity().hostNqn) : map);
  const nqn = requireVolumeNqn(node.nqnPrefix, context.nqn, volume);
  const own = identity();
  if (context.hostNqn !== own.hostNqn) {
    throw failure("hostIdentityMismatch", { volume, expected: context.hostNqn, own: own.hostNqn });
  }
  const {
    sizeBytes: _size,
    filesystemState: _state,
    filesystemUuid: _uuid,
    readonly: _readonly,
    ...connection
  } = context;
  const target = { ...connection, ...own };
  return { context, nqn, target };
}

/**
 * Refuses an address that the node's own configuration does not have, if it has any; spellings of one address are equal. A
 * publish context comes through an object of the cluster, and the node connects as root in the machine's network.
 * @throws storageAddressForeign (FAILED_PRECONDITION)
 */
export function requireOwnAddress(node: NodeContext, volume: VolumeId, { address }: PublishContext): void {
  const { storageAddresses: allowed = [] } = node;
  const own = new Set(allowed.map(normalAddress));
  if (own.size > 0 && !own.has(normalAddress(address)))
    throw failure("storageAddressForeign", { volume, address, allowed });
}

/** A checked NodePublishVolume. Paths are canonical. */
export interface PublishJob {
  readonly volume: VolumeId;
  readonly device: BlockDevice;
  readonly staging: string;
  readonly target: string;
  readonly readOnly: boolean;
  /** The access mode allows one target path on the node. */
  readonly singleTarget: boolean;
  readonly signal: AbortSignal | undefined;
}

/** The error for a target that is published with the other access. */
export function publishedDifferently({ volume, target, readOnly }: PublishJob): DriverError {
  const difference = readOnly ? "writable; read-only is asked for" : "read-only; write access is asked for";
  return failure("publishedDifferently", { volume, target, difference });
}
