/**
 * The questions of the driver to Kubernetes, in its own terms. Every lookup answers found or absent, or throws: unknown is
 * never reported as absent. Times are milliseconds since the Unix epoch.
 */

/** A PersistentVolumeClaim. */
export interface ClaimRef {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** A VolumeAttachment of this driver. */
export interface AttachmentView {
  readonly name: string;
  readonly node: string;
  /** Undefined for inline volumes, which have no PersistentVolume. */
  readonly pvName: string | undefined;
  /** status.attached: the last ControllerPublishVolume succeeded. */
  readonly attached: boolean;
  /** Detaching has been asked for. */
  readonly deleting: boolean;
  /** status.attachmentMetadata: the publish context of the node; empty before it is attached. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Messages of the last attach and the last detach that failed; undefined: none is shown. */
  readonly attachError: AttachErrorView | undefined;
  readonly detachError: AttachErrorView | undefined;
  readonly createdAt?: number | undefined;
}

/** An error that a VolumeAttachment shows. */
export interface AttachErrorView {
  readonly message: string;
  /** RFC 3339; undefined when it has none. */
  readonly time: string | undefined;
}

/** A PersistentVolume of this driver. */
export interface PersistentVolumeView {
  readonly name: string;
  /** spec.csi.volumeHandle */
  readonly handle: string;
  /** The bound claim; undefined before it is bound. */
  readonly claim: ClaimRef | undefined;
  readonly storageClass: string | undefined;
  /** As the API spells them: ReadWriteOnce, ReadWriteMany, ReadOnlyMany, ReadWriteOncePod. */
  readonly accessModes: readonly string[];
  readonly volumeMode: "Block" | "Filesystem";
  /** Pending, Available, Bound, Released or Failed. */
  readonly phase: string;
  readonly deleting: boolean;
  /** spec.capacity in bytes; undefined when it is no quantity. */
  readonly capacityBytes: bigint | undefined;
  /** Delete or Retain. */
  readonly reclaimPolicy: string;
  readonly createdAt?: number | undefined;
  /** When its deletion was asked for. */
  readonly deletedAt?: number | undefined;
  /** spec.csi.readOnly */
  readonly readOnly?: boolean | undefined;
  /** spec.csi.fsType; undefined: the driver's default. */
  readonly fsType?: string | undefined;
  /** spec.csi.volumeAttributes: the volume context of its CreateVolume. */
  readonly attributes?: Readonly<Record<string, string>> | undefined;
}

export interface OwnerView {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  /** Whether this is the managing controller. */
  readonly controller: boolean;
}

export interface PodView {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Undefined until it is scheduled. */
  readonly node: string | undefined;
  /** Pending, Running, Succeeded, Failed or Unknown. */
  readonly phase: string;
  readonly terminating: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly owners: readonly OwnerView[];
}

/** status.migrationState of a VirtualMachineInstance; members are absent as long as KubeVirt has not set them. */
export interface MigrationStateView {
  readonly targetNode: string | undefined;
  readonly ended: number | undefined;
  /** PreCopy, PostCopy or Paused. */
  readonly mode: string | undefined;
  /** The configuration that KubeVirt applies, policies included. Written when the target pod is ready; until then that of the previous migration. */
  readonly configuration: MigrationConfigView | undefined;
}

/** A volume that a storage migration copies from one claim to another (status.migratedVolumes). */
export interface MigratedVolumeView {
  /** Names of its claims in the namespace of the VirtualMachineInstance: source and destination. */
  readonly claims: readonly string[];
  /** The copied bytes: the smaller of request and capacity of the source. */
  readonly bytes: bigint | undefined;
}

/** A VirtualMachineInstance (kubevirt.io/v1). */
export interface VmiView {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  /** Where the guest runs: the target as soon as a migration has succeeded. */
  readonly node: string | undefined;
  readonly phase: string;
  /** Guest memory in bytes by the specification; a migration that applies hot-plugged memory has the new size there. */
  readonly memoryBytes: bigint | undefined;
  /** Empty unless a storage migration runs. */
  readonly migratedVolumes: readonly MigratedVolumeView[];
  readonly migrationState: MigrationStateView | undefined;
}

/** A VirtualMachineInstanceMigration (kubevirt.io/v1). */
export interface MigrationView {
  readonly name: string;
  readonly uid: string;
  /**
   * Pending, Scheduling, Scheduled, PreparingTarget, TargetReady, WaitingForSync, Synchronizing, Running, Succeeded or Failed;
   * "" when new.
   */
  readonly phase: string;
  readonly created: number;
  /** Of its own status.migrationState; absent until the target pod is ready. */
  readonly targetNode: string | undefined;
  /** Name of the target launcher pod. */
  readonly targetPod: string | undefined;
  readonly started: number | undefined;
  /** When it became Succeeded or Failed. */
  readonly completed: number | undefined;
  readonly failureReason: string | undefined;
}

/** How long KubeVirt lets a migration take, as far as it is set. */
export interface MigrationConfigView {
  /** Seconds per decimal GB, in spite of the name; 0 means no limit. */
  readonly completionTimeoutPerGiB: number | undefined;
  readonly allowPostCopy: boolean;
  readonly allowWorkloadDisruption: boolean;
}

/**
 * Read access to the cluster. All methods throw kubernetesUnavailable, kubernetesForbidden, kubernetesUnauthenticated or
 * kubernetesUntrusted when they cannot find out; cancelled when the signal aborts.
 */
export interface ClusterReader {
  /** Whether a Node object of this name exists. "No" is always confirmed by the API server itself. */
  nodeExists(name: string, signal: AbortSignal): Promise<boolean>;
  /** Names of all Node objects. */
  nodes(signal: AbortSignal): Promise<readonly string[]>;
  /** The VolumeAttachments of this driver. */
  volumeAttachments(signal: AbortSignal): Promise<readonly AttachmentView[]>;
  /** The PersistentVolumes of this driver. */
  persistentVolumes(signal: AbortSignal): Promise<readonly PersistentVolumeView[]>;
  /**
   * The PersistentVolume of a volume handle: the bound one, if there are several.
   * @throws persistentVolumeAmbiguous if several are bound
   */
  persistentVolumeByHandle(handle: string, signal: AbortSignal): Promise<PersistentVolumeView | undefined>;
  /** The pods that have not ended and use the claim in any volume, generic ephemeral volumes included. */
  podsUsingClaim(
    claim: Pick<ClaimRef, "namespace" | "name">,
    signal: AbortSignal,
  ): Promise<readonly PodView[]>;
  pod(namespace: string, name: string, signal: AbortSignal): Promise<PodView | undefined>;
  /** UID of a PersistentVolumeClaim; undefined when the API server confirms that there is none of this name. */
  claimUid(claim: Pick<ClaimRef, "namespace" | "name">, signal: AbortSignal): Promise<string | undefined>;
  /** Undefined when the object or KubeVirt's CRD is absent. */
  virtualMachineInstance(namespace: string, name: string, signal: AbortSignal): Promise<VmiView | undefined>;
  /** The migrations of a VirtualMachineInstance, oldest first; undefined when the CRD is absent. */
  migrationsOf(
    namespace: string,
    vmiName: string,
    signal: AbortSignal,
  ): Promise<readonly MigrationView[] | undefined>;
  /** The migration settings of the KubeVirt object. Undefined when there is none, or it may not be read. */
  migrationConfig(signal: AbortSignal): Promise<MigrationConfigView | undefined>;
}

/** Something that happened to a claim. */
export interface ClaimEvent {
  readonly type: "Normal" | "Warning";
  /** UpperCamelCase, at most 128 characters, from a fixed set. */
  readonly reason: string;
  /** At most 1024 bytes are kept. */
  readonly message: string;
}

/**
 * The destination of events. Posting never fails and never waits for the network: events are queued. An event that cannot be
 * delivered is logged and dropped.
 */
export interface EventSink {
  /** Reports on a claim. */
  post(event: ClaimEvent & { readonly claim: ClaimRef }): void;
  /** Reports on the claim behind a volume handle, found through the PersistentVolume's claimRef. */
  postForVolume(handle: string, event: ClaimEvent): void;
}
