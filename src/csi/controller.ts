import { create } from "@bufbuild/protobuf";
import type { AttachmentService } from "../controller/attachments.ts";
import type { ContentSource } from "../controller/content-source.ts";
import type { ExpansionService } from "../controller/expansion.ts";
import type { ModifyService } from "../controller/modify.ts";
import type { SnapshotService } from "../controller/snapshots.ts";
import type { VolumeInfo, VolumeService } from "../controller/volumes.ts";
import type { CapacityRange } from "../domain/capacity-range.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { encodePublishContext } from "../domain/publish-context.ts";
import { parseSnapshotId } from "../domain/snapshot-id.ts";
import { parseVolumeId } from "../domain/volume-id.ts";
import type { VolumePage } from "../rds/page.ts";
import { type BoundService, service } from "./bridge.ts";
import {
  capabilitiesFromWire,
  capabilityFromWire,
  listedCapabilitiesFromWire,
  optionalCapabilityFromWire,
} from "./capability.ts";
import { readVolumeId, requireField, requireVolumeId } from "./fields.ts";
import {
  Controller,
  type CreateVolumeRequest,
  type ListVolumesResponse,
  ListVolumesResponseSchema,
  ControllerServiceCapability_RPC_Type as Rpc,
  type CapacityRange as WireRange,
} from "./gen/csi_pb.ts";
import { afterToken, tokenAfter } from "./pages.ts";
import { snapshotCalls } from "./snapshots.ts";

/** Capabilities of the Controller service; each is implemented in full. */
export const CONTROLLER_CAPABILITIES = [
  Rpc.CREATE_DELETE_VOLUME,
  Rpc.PUBLISH_UNPUBLISH_VOLUME,
  Rpc.LIST_VOLUMES,
  Rpc.LIST_VOLUMES_PUBLISHED_NODES,
  Rpc.GET_CAPACITY,
  Rpc.PUBLISH_READONLY,
  Rpc.EXPAND_VOLUME,
  Rpc.CREATE_DELETE_SNAPSHOT,
  Rpc.LIST_SNAPSHOTS,
  Rpc.GET_SNAPSHOT,
  Rpc.CLONE_VOLUME,
  Rpc.SINGLE_NODE_MULTI_WRITER,
  Rpc.MODIFY_VOLUME,
] as const;

/** The services behind the Controller RPCs. */
export interface ControllerServices {
  readonly volumes: VolumeService;
  readonly snapshots: SnapshotService;
  readonly attachments: AttachmentService;
  readonly expansions: ExpansionService;
  readonly modifications: ModifyService;
}

/**
 * The CSI Controller service: reads the request, calls the service, writes the answer. Required fields are
 * checked in the specification's order, before anything is looked up.
 */
export function controllerService({
  volumes,
  snapshots,
  attachments,
  expansions,
  modifications,
}: ControllerServices): BoundService {
  return service(Controller, {
    ...snapshotCalls(snapshots),

    controllerGetCapabilities: async () => ({
      capabilities: CONTROLLER_CAPABILITIES.map((type) => ({
        type: { case: "rpc", value: { type } } as const,
      })),
    }),

    createVolume: async (request, { signal }) => {
      const volume = await volumes.create({
        name: request.name,
        range: rangeFrom(request.capacityRange),
        capabilities: capabilitiesFromWire(request.volumeCapabilities),
        parameters: request.parameters,
        mutableParameters: request.mutableParameters,
        source: contentSourceOf(request),
        signal,
      });
      return { volume: wireVolume(volume) };
    },

    deleteVolume: async (request, { signal }) => {
      const id = readVolumeId(request.volumeId);
      if (id !== undefined) await volumes.delete(id, signal);
      return {};
    },

    controllerPublishVolume: async (request, { signal }) => {
      requireField("volume_id", request.volumeId);
      requireField("node_id", request.nodeId);
      const capability = capabilityFromWire(request.volumeCapability);
      const context = await attachments.publish({
        volumeId: requireVolumeId(request.volumeId),
        nodeId: request.nodeId,
        capability,
        readonly: request.readonly,
        signal,
      });
      return { publishContext: encodePublishContext(context) };
    },

    controllerUnpublishVolume: async (request, { signal }) => {
      const id = readVolumeId(request.volumeId);
      if (id !== undefined) await attachments.unpublish(id, request.nodeId, signal);
      return {};
    },

    controllerExpandVolume: async (request, { signal }) => {
      requireField("volume_id", request.volumeId);
      const range = rangeFrom(request.capacityRange);
      if (range.requiredBytes === 0n && range.limitBytes === 0n)
        throw failure("fieldMissing", { field: "capacity_range" });
      const { sizeBytes, nodeExpansionRequired } = await expansions.expand({
        volumeId: requireVolumeId(request.volumeId),
        range,
        capability: optionalCapabilityFromWire(request.volumeCapability),
        signal,
      });
      return { capacityBytes: sizeBytes, nodeExpansionRequired };
    },

    controllerModifyVolume: async ({ volumeId, mutableParameters }, { signal }) => {
      await modifications.modify({ volumeId: requireVolumeId(volumeId), mutableParameters, signal });
      return {};
    },

    validateVolumeCapabilities: async (request, { signal }) => {
      requireField("volume_id", request.volumeId);
      const capabilities = capabilitiesFromWire(request.volumeCapabilities);
      const id = requireVolumeId(request.volumeId);
      const { volumeContext, volumeCapabilities, parameters, mutableParameters } = request;
      const asked = { capabilities, parameters, mutableParameters };
      const problem = await volumes.validate(id, asked, signal);
      if (problem !== undefined) return { message: problem };
      return { confirmed: { volumeContext, volumeCapabilities, parameters, mutableParameters } };
    },

    listVolumes: async (request, { signal }) => {
      const { maxEntries, startingToken } = request;
      if (maxEntries < 0) {
        throw failure("fieldInvalid", { field: "max_entries", reason: `${maxEntries} is negative` });
      }
      // A token is checked before the RDS is asked, so a bad one gives the same answer at any time.
      const after = afterToken(startingToken);
      return wirePage(await volumes.list(signal, { after, most: maxEntries }));
    },

    getCapacity: async (request, { signal }) => {
      const capabilities = listedCapabilitiesFromWire(request.volumeCapabilities);
      const capacity = await volumes.capacity(capabilities, request.parameters, signal);
      return {
        availableCapacity: capacity.availableBytes,
        maximumVolumeSize: capacity.maximumVolumeBytes,
        minimumVolumeSize: capacity.minimumVolumeBytes,
      };
    },
  });
}

function rangeFrom(range: WireRange | undefined): CapacityRange {
  return { requiredBytes: range?.requiredBytes ?? 0n, limitBytes: range?.limitBytes ?? 0n };
}

/** @throws contentSourceUnsupported, fieldMissing (INVALID_ARGUMENT); snapshotNotFound, volumeNotFound (NOT_FOUND) for a handle without the form of ours */
function contentSourceOf({ volumeContentSource }: CreateVolumeRequest): ContentSource | undefined {
  if (volumeContentSource === undefined) return undefined;
  const { type } = volumeContentSource;
  if (type.case === "snapshot") {
    const { snapshotId } = type.value;
    requireField("volume_content_source.snapshot.snapshot_id", snapshotId);
    const id = parseSnapshotId(snapshotId);
    if (id === undefined) throw failure("snapshotNotFound", { snapshot: JSON.stringify(snapshotId) });
    return { kind: "snapshot", id };
  }
  if (type.case === "volume") {
    const { volumeId } = type.value;
    requireField("volume_content_source.volume.volume_id", volumeId);
    const id = parseVolumeId(volumeId);
    if (id === undefined) throw failure("volumeNotFound", { volume: JSON.stringify(volumeId) });
    return { kind: "volume", id };
  }
  throw failure("contentSourceUnsupported", { kind: type.case ?? "unknown" });
}

/** Messages of pages that several callers share: a long one is made once. */
const wirePages = new WeakMap<VolumePage<VolumeInfo>, ListVolumesResponse>();

function wirePage(page: VolumePage<VolumeInfo>): ListVolumesResponse {
  const known = wirePages.get(page);
  if (known !== undefined) return known;
  const { entries, isCut } = page;
  const last = entries.at(-1);
  const message = create(ListVolumesResponseSchema, {
    entries: entries.map((volume) => ({
      volume: wireVolume(volume),
      status: { publishedNodeIds: [...volume.nodes] },
    })),
    nextToken: isCut && last !== undefined ? tokenAfter(last.id) : "",
  });
  wirePages.set(page, message);
  return message;
}

function wireVolume({ id, sizeBytes, source }: VolumeInfo) {
  return {
    volumeId: id,
    capacityBytes: sizeBytes,
    ...(source === undefined ? {} : { contentSource: { type: wireSource(source) } }),
  };
}

function wireSource(handle: string) {
  return parseSnapshotId(handle) === undefined
    ? ({ case: "volume", value: { volumeId: handle } } as const)
    : ({ case: "snapshot", value: { snapshotId: handle } } as const);
}
