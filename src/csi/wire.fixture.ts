/**
 * The CSI wire facts (specifications 1.12 and 1.13), one line per service, message and enum: `number name: type`, with the marks
 * `[secret]` and `[alpha]`. A second record of what `proto/csi.proto` says, kept apart from it so that a test can compare.
 */
export const WIRE_FACTS = `
service Identity: GetPluginInfo, GetPluginCapabilities, Probe
service Controller: CreateVolume, DeleteVolume, ControllerPublishVolume, ControllerUnpublishVolume, ValidateVolumeCapabilities, ListVolumes, ControllerListVolumeHealth [alpha], ControllerGetVolumeHealth [alpha], GetCapacity, ControllerGetCapabilities, CreateSnapshot, DeleteSnapshot, ListSnapshots, GetSnapshot [alpha], ControllerExpandVolume, ControllerGetVolume [alpha], ControllerModifyVolume
service GroupController: GroupControllerGetCapabilities, CreateVolumeGroupSnapshot, DeleteVolumeGroupSnapshot, GetVolumeGroupSnapshot
service SnapshotMetadata: GetMetadataAllocated (server stream), GetMetadataDelta (server stream)
service Node: NodeStageVolume, NodeUnstageVolume, NodePublishVolume, NodeUnpublishVolume, NodeGetVolumeStats, NodeExpandVolume, NodeGetCapabilities, NodeGetInfo, NodeGetVolumeHealth [alpha], NodeGetStorageHealth [alpha]
message GetPluginInfoRequest: (empty)
message GetPluginInfoResponse: 1 name: string; 2 vendor_version: string; 3 manifest: map<string,string>
message GetPluginCapabilitiesRequest: (empty)
message GetPluginCapabilitiesResponse: 1 capabilities: repeated PluginCapability
message PluginCapability: 1 service: Service (oneof type); 2 volume_expansion: VolumeExpansion (oneof type)
message PluginCapability.Service: 1 type: Type
enum PluginCapability.Service.Type: 0 UNKNOWN, 1 CONTROLLER_SERVICE, 2 VOLUME_ACCESSIBILITY_CONSTRAINTS, 3 GROUP_CONTROLLER_SERVICE, 4 SNAPSHOT_METADATA_SERVICE [alpha], 5 SNAPSHOT_ACCESSIBILITY_CONSTRAINTS [alpha]
message PluginCapability.VolumeExpansion: 1 type: Type
enum PluginCapability.VolumeExpansion.Type: 0 UNKNOWN, 1 ONLINE, 2 OFFLINE
message ProbeRequest: (empty)
message ProbeResponse: 1 ready: .google.protobuf.BoolValue
message CreateVolumeRequest: 1 name: string; 2 capacity_range: CapacityRange; 3 volume_capabilities: repeated VolumeCapability; 4 parameters: map<string,string>; 5 secrets: map<string,string> [secret]; 6 volume_content_source: VolumeContentSource; 7 accessibility_requirements: TopologyRequirement; 8 mutable_parameters: map<string,string>
message VolumeContentSource: 1 snapshot: SnapshotSource (oneof type); 2 volume: VolumeSource (oneof type)
message VolumeContentSource.SnapshotSource: 1 snapshot_id: string
message VolumeContentSource.VolumeSource: 1 volume_id: string
message CreateVolumeResponse: 1 volume: Volume
message VolumeCapability: 1 block: BlockVolume (oneof access_type); 2 mount: MountVolume (oneof access_type); 3 access_mode: AccessMode
message VolumeCapability.BlockVolume: (empty)
message VolumeCapability.MountVolume: 1 fs_type: string; 2 mount_flags: repeated string; 3 volume_mount_group: string
message VolumeCapability.AccessMode: 1 mode: Mode
enum VolumeCapability.AccessMode.Mode: 0 UNKNOWN, 1 SINGLE_NODE_WRITER, 2 SINGLE_NODE_READER_ONLY, 3 MULTI_NODE_READER_ONLY, 4 MULTI_NODE_SINGLE_WRITER, 5 MULTI_NODE_MULTI_WRITER, 6 SINGLE_NODE_SINGLE_WRITER [alpha], 7 SINGLE_NODE_MULTI_WRITER [alpha]
message CapacityRange: 1 required_bytes: int64; 2 limit_bytes: int64
message Volume: 1 capacity_bytes: int64; 2 volume_id: string; 3 volume_context: map<string,string>; 4 content_source: VolumeContentSource; 5 accessible_topology: repeated Topology
message TopologyRequirement: 1 requisite: repeated Topology; 2 preferred: repeated Topology
message Topology: 1 segments: map<string,string>
message DeleteVolumeRequest: 1 volume_id: string; 2 secrets: map<string,string> [secret]
message DeleteVolumeResponse: (empty)
message ControllerPublishVolumeRequest: 1 volume_id: string; 2 node_id: string; 3 volume_capability: VolumeCapability; 4 readonly: bool; 5 secrets: map<string,string> [secret]; 6 volume_context: map<string,string>
message ControllerPublishVolumeResponse: 1 publish_context: map<string,string>
message ControllerUnpublishVolumeRequest: 1 volume_id: string; 2 node_id: string; 3 secrets: map<string,string> [secret]
message ControllerUnpublishVolumeResponse: (empty)
message ValidateVolumeCapabilitiesRequest: 1 volume_id: string; 2 volume_context: map<string,string>; 3 volume_capabilities: repeated VolumeCapability; 4 parameters: map<string,string>; 5 secrets: map<string,string> [secret]; 6 mutable_parameters: map<string,string>
message ValidateVolumeCapabilitiesResponse: 1 confirmed: Confirmed; 2 message: string
message ValidateVolumeCapabilitiesResponse.Confirmed: 1 volume_context: map<string,string>; 2 volume_capabilities: repeated VolumeCapability; 3 parameters: map<string,string>; 4 mutable_parameters: map<string,string>
message ListVolumesRequest: 1 max_entries: int32; 2 starting_token: string
message ListVolumesResponse: 1 entries: repeated Entry; 2 next_token: string
message ListVolumesResponse.VolumeStatus: 1 published_node_ids: repeated string; 2 volume_condition: VolumeCondition [alpha]
message ListVolumesResponse.Entry: 1 volume: Volume; 2 status: VolumeStatus
message ControllerGetVolumeRequest [alpha]: 1 volume_id: string
message ControllerGetVolumeResponse [alpha]: 1 volume: Volume; 2 status: VolumeStatus
message ControllerGetVolumeResponse.VolumeStatus: 1 published_node_ids: repeated string; 2 volume_condition: VolumeCondition
message ControllerModifyVolumeRequest: 1 volume_id: string; 2 secrets: map<string,string> [secret]; 3 mutable_parameters: map<string,string>
message ControllerModifyVolumeResponse: (empty)
message GetCapacityRequest: 1 volume_capabilities: repeated VolumeCapability; 2 parameters: map<string,string>; 3 accessible_topology: Topology
message GetCapacityResponse: 1 available_capacity: int64; 2 maximum_volume_size: google.protobuf.Int64Value; 3 minimum_volume_size: google.protobuf.Int64Value [alpha]
message ControllerGetCapabilitiesRequest: (empty)
message ControllerGetCapabilitiesResponse: 1 capabilities: repeated ControllerServiceCapability
message ControllerServiceCapability: 1 rpc: RPC (oneof type)
message ControllerServiceCapability.RPC: 1 type: Type
enum ControllerServiceCapability.RPC.Type: 0 UNKNOWN, 1 CREATE_DELETE_VOLUME, 2 PUBLISH_UNPUBLISH_VOLUME, 3 LIST_VOLUMES, 4 GET_CAPACITY, 5 CREATE_DELETE_SNAPSHOT, 6 LIST_SNAPSHOTS, 7 CLONE_VOLUME, 8 PUBLISH_READONLY, 9 EXPAND_VOLUME, 10 LIST_VOLUMES_PUBLISHED_NODES, 11 VOLUME_CONDITION [alpha], 12 GET_VOLUME [alpha], 13 SINGLE_NODE_MULTI_WRITER [alpha], 14 MODIFY_VOLUME, 15 GET_SNAPSHOT [alpha], 16 GET_VOLUME_HEALTH [alpha], 17 LIST_VOLUME_HEALTH [alpha]
message CreateSnapshotRequest: 1 source_volume_id: string; 2 name: string; 3 secrets: map<string,string> [secret]; 4 parameters: map<string,string>; 5 accessibility_requirements: TopologyRequirement [alpha]
message CreateSnapshotResponse: 1 snapshot: Snapshot
message Snapshot: 1 size_bytes: int64; 2 snapshot_id: string; 3 source_volume_id: string; 4 creation_time: .google.protobuf.Timestamp; 5 ready_to_use: bool; 6 group_snapshot_id: string; 7 accessible_topology: repeated Topology [alpha]
message DeleteSnapshotRequest: 1 snapshot_id: string; 2 secrets: map<string,string> [secret]
message DeleteSnapshotResponse: (empty)
message ListSnapshotsRequest: 1 max_entries: int32; 2 starting_token: string; 3 source_volume_id: string; 4 snapshot_id: string; 5 secrets: map<string,string> [secret]
message ListSnapshotsResponse: 1 entries: repeated Entry; 2 next_token: string
message ListSnapshotsResponse.Entry: 1 snapshot: Snapshot
message GetSnapshotRequest [alpha]: 1 snapshot_id: string; 2 secrets: map<string,string> [secret]
message GetSnapshotResponse [alpha]: 1 snapshot: Snapshot
message ControllerExpandVolumeRequest: 1 volume_id: string; 2 capacity_range: CapacityRange; 3 secrets: map<string,string> [secret]; 4 volume_capability: VolumeCapability
message ControllerExpandVolumeResponse: 1 capacity_bytes: int64; 2 node_expansion_required: bool
message NodeStageVolumeRequest: 1 volume_id: string; 2 publish_context: map<string,string>; 3 staging_target_path: string; 4 volume_capability: VolumeCapability; 5 secrets: map<string,string> [secret]; 6 volume_context: map<string,string>
message NodeStageVolumeResponse: (empty)
message NodeUnstageVolumeRequest: 1 volume_id: string; 2 staging_target_path: string
message NodeUnstageVolumeResponse: (empty)
message NodePublishVolumeRequest: 1 volume_id: string; 2 publish_context: map<string,string>; 3 staging_target_path: string; 4 target_path: string; 5 volume_capability: VolumeCapability; 6 readonly: bool; 7 secrets: map<string,string> [secret]; 8 volume_context: map<string,string>
message NodePublishVolumeResponse: (empty)
message NodeUnpublishVolumeRequest: 1 volume_id: string; 2 target_path: string
message NodeUnpublishVolumeResponse: (empty)
message NodeGetVolumeStatsRequest: 1 volume_id: string; 2 volume_path: string; 3 staging_target_path: string
message NodeGetVolumeStatsResponse: 1 usage: repeated VolumeUsage; 2 volume_condition: VolumeCondition [alpha]
message VolumeUsage: 1 available: int64; 2 total: int64; 3 used: int64; 4 unit: Unit
enum VolumeUsage.Unit: 0 UNKNOWN, 1 BYTES, 2 INODES
message VolumeCondition [alpha]: 1 abnormal: bool; 2 message: string
message NodeGetCapabilitiesRequest: (empty)
message NodeGetCapabilitiesResponse: 1 capabilities: repeated NodeServiceCapability
message NodeServiceCapability: 1 rpc: RPC (oneof type)
message NodeServiceCapability.RPC: 1 type: Type
enum NodeServiceCapability.RPC.Type: 0 UNKNOWN, 1 STAGE_UNSTAGE_VOLUME, 2 GET_VOLUME_STATS, 3 EXPAND_VOLUME, 4 VOLUME_CONDITION [alpha], 5 SINGLE_NODE_MULTI_WRITER [alpha], 6 VOLUME_MOUNT_GROUP, 7 GET_VOLUME_HEALTH [alpha], 8 GET_STORAGE_HEALTH [alpha]
message NodeGetInfoRequest: (empty)
message NodeGetInfoResponse: 1 node_id: string; 2 max_volumes_per_node: int64; 3 accessible_topology: Topology
message NodeExpandVolumeRequest: 1 volume_id: string; 2 volume_path: string; 3 capacity_range: CapacityRange; 4 staging_target_path: string; 5 volume_capability: VolumeCapability; 6 secrets: map<string,string> [secret alpha]
message NodeExpandVolumeResponse: 1 capacity_bytes: int64
message GroupControllerGetCapabilitiesRequest: (empty)
message GroupControllerGetCapabilitiesResponse: 1 capabilities: repeated GroupControllerServiceCapability
message GroupControllerServiceCapability: 1 rpc: RPC (oneof type)
message GroupControllerServiceCapability.RPC: 1 type: Type
enum GroupControllerServiceCapability.RPC.Type: 0 UNKNOWN, 1 CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT
message CreateVolumeGroupSnapshotRequest: 1 name: string; 2 source_volume_ids: repeated string; 3 secrets: map<string,string> [secret]; 4 parameters: map<string,string>
message CreateVolumeGroupSnapshotResponse: 1 group_snapshot: VolumeGroupSnapshot
message VolumeGroupSnapshot: 1 group_snapshot_id: string; 2 snapshots: repeated Snapshot; 3 creation_time: .google.protobuf.Timestamp; 4 ready_to_use: bool
message DeleteVolumeGroupSnapshotRequest: 1 group_snapshot_id: string; 2 snapshot_ids: repeated string; 3 secrets: map<string,string> [secret]
message DeleteVolumeGroupSnapshotResponse: (empty)
message GetVolumeGroupSnapshotRequest: 1 group_snapshot_id: string; 2 snapshot_ids: repeated string; 3 secrets: map<string,string> [secret]
message GetVolumeGroupSnapshotResponse: 1 group_snapshot: VolumeGroupSnapshot
message BlockMetadata: 1 byte_offset: int64; 2 size_bytes: int64
enum BlockMetadataType: 0 UNKNOWN, 1 FIXED_LENGTH, 2 VARIABLE_LENGTH
message GetMetadataAllocatedRequest: 1 snapshot_id: string; 2 starting_offset: int64; 3 max_results: int32; 4 secrets: map<string,string> [secret]
message GetMetadataAllocatedResponse: 1 block_metadata_type: BlockMetadataType; 2 volume_capacity_bytes: int64; 3 block_metadata: repeated BlockMetadata
message GetMetadataDeltaRequest: 1 base_snapshot_id: string; 2 target_snapshot_id: string; 3 starting_offset: int64; 4 max_results: int32; 5 secrets: map<string,string> [secret]
message GetMetadataDeltaResponse: 1 block_metadata_type: BlockMetadataType; 2 volume_capacity_bytes: int64; 3 block_metadata: repeated BlockMetadata
message ControllerListVolumeHealthRequest [alpha]: 1 max_entries: int32; 2 starting_token: string; 3 secrets: map<string,string> [secret]
message ControllerListVolumeHealthResponse [alpha]: 1 entries: repeated VolumeHealth; 2 next_token: string
message ControllerGetVolumeHealthRequest [alpha]: 1 volume_id: string; 2 secrets: map<string,string> [secret]
message ControllerGetVolumeHealthResponse [alpha]: 1 volume_health: VolumeHealth
message NodeGetVolumeHealthRequest [alpha]: 1 volume_id: string; 2 volume_publish_path: string; 3 staging_target_path: string
message NodeGetVolumeHealthResponse [alpha]: 1 volume_health: VolumeHealth
message NodeGetStorageHealthRequest [alpha]: 1 secrets: map<string,string> [secret]
message NodeGetStorageHealthResponse [alpha]: 1 backend_health: repeated StorageBackendHealth
message VolumeHealth [alpha]: 1 volume_id: string; 2 health_statuses: repeated VolumeHealthEntry
message VolumeHealth.VolumeHealthEntry: 1 status: VolumeHealthErrorType; 2 reason: string; 3 message: string
enum VolumeHealthErrorType: 0 UNKNOWN_VOLUME_HEALTH_TYPE, 1 DEGRADED, 2 INACCESSIBLE, 3 DATA_LOSS
message NodeGetStorageHealthResponse.StorageBackendHealth: 1 status: StorageHealthErrorType; 2 reason: string; 3 message: string; 4 volume_capability: VolumeCapability
enum StorageHealthErrorType: 0 UNKNOWN_STORAGE_HEALTH_ERROR_TYPE, 1 STORAGE_DEGRADED, 2 STORAGE_UNREACHABLE
`;
