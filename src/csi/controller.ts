import { create } from "@bufbuild/protobuf";
import type { AttachmentService } from "../controller/attachments.ts";
import type { ContentSource } from "../controller/content-source.ts";
import type { ExpansionService } from "../controller/expansion.ts";
import type { ModifyService } from "../controller/modify.ts";
import type { SnapshotService } from "../controller/snapshots.ts";
import type { VolumeHealth, VolumeHealthService } from "../controller/volume-health.ts";
import { infoOf, type ListedInfo, type VolumeInfo, type VolumeService } from "../controller/volumes.ts";
import type { CapacityRange } from "../domain/capacity-range.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { encodePublishContext } from "../domain/publish-context.ts";
import { parseSnapshotHandle } from "../domain/snapshot-id.ts";
import { parseVolumeId, type VolumeId } from "../domain/volume-id.ts";
import { conditionOf } from "../inspect/health.ts";
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
  type ControllerListVolumeHealthRequest,
  type CreateVolumeRequest,
  type ListVolumesRequest,
  type ListVolumesResponse,
  ListVolumesResponseSchema,
  ControllerServiceCapability_RPC_Type as Rpc,
  type CapacityRange as WireRange,
} from "./gen/csi_pb.ts";
import { type HealthDialect, hasCondition, hasHealthRpcs, wireCondition, wireHealth } from "./health.ts";
import { afterToken, tokenAfter } from "./pages.ts";
import type { RpcHandlers } from "./rpc.ts";
import { snapshotCalls } from "./snapshots.ts";

/** Capabilities of the Controller service in every dialect of health; each is implemented in full. */
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
  Rpc.GET_VOLUME,
] as const;

/** The answer of ControllerGetCapabilities. */
export function controllerCapabilities(dialect: HealthDialect): readonly Rpc[] {
  return [
    ...CONTROLLER_CAPABILITIES,
    ...(hasCondition(dialect) ? [Rpc.VOLUME_CONDITION] : []),
    ...(hasHealthRpcs(dialect) ? [Rpc.GET_VOLUME_HEALTH, Rpc.LIST_VOLUME_HEALTH] : []),
  ];
}

/** The services behind the Controller RPCs. */
export interface ControllerServices {
  readonly volumes: VolumeService;
  readonly snapshots: SnapshotService;
  readonly attachments: AttachmentService;
  readonly expansions: ExpansionService;
  readonly modifications: ModifyService;
  readonly health: VolumeHealthService;
  /** Default: that of CSI up to 1.12. */
  readonly healthDialect?: HealthDialect;
}

/**
 * The CSI Controller service: reads the request, calls the service, writes the answer. Required fields are
 * checked in the specification's order, before anything is looked up.
 */
export function controllerService(services: ControllerServices): BoundService {
  const { volumes, snapshots, attachments, expansions, modifications } = services;
  const { health, healthDialect = "csi-1.12" } = services;
  return service(Controller, {
    ...snapshotCalls(snapshots),

    controllerGetCapabilities: async () => ({
      capabilities: controllerCapabilities(healthDialect).map((type) => ({
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
      return wirePage(await volumes.list(signal, pageOf(request)), healthDialect);
    },

    controllerGetVolume: async (request, { signal }) => {
      const found = await health.volume(requireVolumeId(request.volumeId), signal);
      return wireEntry({ ...infoOf(found.volume), health: found.health }, healthDialect);
    },

    ...(hasHealthRpcs(healthDialect) && healthHandlers(health)),

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

/** The RPCs of CSI 1.13 about health. */
function healthHandlers(health: VolumeHealthService): RpcHandlers<typeof Controller> {
  const wired = ({ id, health }: VolumeHealth) => wireHealth(id, health);
  return {
    controllerListVolumeHealth: async (request, { signal }) => {
      const { entries, isCut } = await health.list(signal, pageOf(request));
      return { entries: entries.map(wired), nextToken: nextToken(entries, isCut) };
    },

    controllerGetVolumeHealth: async (request, { signal }) => {
      return { volumeHealth: wired(await health.health(requireVolumeId(request.volumeId), signal)) };
    },
  };
}

/** @throws fieldInvalid (INVALID_ARGUMENT), tokenInvalid (ABORTED) before the RDS is asked: a bad page gives the same answer at any time */
function pageOf({ maxEntries, startingToken }: ListVolumesRequest | ControllerListVolumeHealthRequest) {
  if (maxEntries < 0) {
    throw failure("fieldInvalid", { field: "max_entries", reason: `${maxEntries} is negative` });
  }
  return { after: afterToken(startingToken), most: maxEntries };
}

function nextToken(entries: readonly { readonly id: VolumeId }[], isCut: boolean): string {
  const last = entries.at(-1);
  return isCut && last !== undefined ? tokenAfter(last.id) : "";
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
    const id = parseSnapshotHandle(snapshotId);
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
const wirePages = new WeakMap<VolumePage<ListedInfo>, ListVolumesResponse>();

function wirePage(page: VolumePage<ListedInfo>, dialect: HealthDialect): ListVolumesResponse {
  const known = wirePages.get(page);
  if (known !== undefined) return known;
  const { entries, isCut } = page;
  const message = create(ListVolumesResponseSchema, {
    entries: entries.map((volume) => wireEntry(volume, dialect)),
    nextToken: nextToken(entries, isCut),
  });
  wirePages.set(page, message);
  return message;
}

/** A volume with its nodes and its condition, as ListVolumes and ControllerGetVolume have it. */
function wireEntry(volume: ListedInfo, dialect: HealthDialect) {
  const volumeCondition = wireCondition(dialect, conditionOf(volume.health));
  const status = { publishedNodeIds: [...volume.nodes], ...(volumeCondition && { volumeCondition }) };
  return { volume: wireVolume(volume), status };
}

function wireVolume({ id, sizeBytes, source }: VolumeInfo) {
  return {
    volumeId: id,
    capacityBytes: sizeBytes,
    ...(source === undefined ? {} : { contentSource: { type: wireSource(source) } }),
  };
}

function wireSource(handle: string) {
  return parseSnapshotHandle(handle) === undefined
    ? ({ case: "volume", value: { volumeId: handle } } as const)
    : ({ case: "snapshot", value: { snapshotId: handle } } as const);
}
