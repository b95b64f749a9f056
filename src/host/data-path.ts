import type { VolumeId } from "../domain/volume-id.ts";

/** Where and as whom to connect; derived from the publish context and the node's identity. */
export interface Target {
  readonly nqn: string;
  /** Literal IP address of the RDS. */
  readonly address: string;
  readonly port: number;
  readonly hostNqn: string;
  readonly hostId: string;
  /** Seconds; -1 = never give up. */
  readonly ctrlLossTmo: number;
  readonly reconnectDelay: number;
  readonly keepAliveTmo: number;
  /** Seconds; -1 = off. */
  readonly fastIoFailTmo: number;
  /** 0 = the kernel's own number. */
  readonly nrIoQueues: number;
  /** 0 = the kernel's own number. */
  readonly queueSize: number;
}

/** A block device that was proven to belong to an NQN when it was looked up. */
export interface BlockDevice {
  readonly nqn: string;
  /** Kernel name, e.g. `nvme0n1`. */
  readonly name: string;
  /** e.g. `/dev/nvme0n1`. */
  readonly path: string;
  /** `major:minor`, as mountinfo has it. */
  readonly number: string;
  readonly sizeBytes: bigint;
  /** The kernel refuses writes to it on this node. */
  readonly readOnly: boolean;
}

/** A connection of ours that exists on this node, in whatever state. */
export interface Connection {
  readonly nqn: string;
  readonly slot: VolumeId;
  readonly epoch: number;
  /** State of the controller as the kernel spells it: `live`, `connecting`, `resetting`, `deleting`, ... */
  readonly state: string;
  /** undefined while there is no namespace. */
  readonly device: BlockDevice | undefined;
}

/** Whether one of the controllers of a connection is live. */
export function isLive({ state }: Pick<Connection, "state">): boolean {
  return state.split(", ").includes("live");
}

/** Something that holds a device open. */
export interface DeviceUser {
  readonly kind: "process" | "mount" | "holder" | "loop" | "kernel";
  readonly description: string;
}

/**
 * How a node reaches the bytes of a volume. Every method throws when it cannot know; "absent" is answered only when
 * it is proven. No method touches an NQN outside the driver's prefix (nqnForeign).
 */
export interface DataPath {
  readonly kind: "nvme-tcp" | "loop";
  /**
   * Connects, or uses the existing connection once it is live, and returns its device. Idempotent. One to another address
   * is ended and made anew if it is proven that nobody uses the device.
   * @throws connectRefused, subsystemNotOffered, deviceNotReady, namespaceAbsent, connectQueueFull, connectionNotTuned
   *   (UNAVAILABLE); nvmeModuleMissing, connectedAsOtherHost, connectedElsewhere, deviceAmbiguous (FAILED_PRECONDITION)
   */
  connect(target: Target, signal?: AbortSignal): Promise<BlockDevice>;
  /**
   * The device of an NQN; undefined only when it is proven that none is connected.
   * @throws deviceNotReady when there is a connection without a device
   */
  find(nqn: string, signal?: AbortSignal): Promise<BlockDevice | undefined>;
  /**
   * Disconnects exactly this NQN and proves that it is gone; absent is success. The caller has proven before that
   * nothing uses the device.
   * @throws disconnectNotProven
   */
  disconnect(nqn: string, signal?: AbortSignal): Promise<void>;
  /**
   * Lets a connection that waits for its target stop waiting, so that what is blocked on it fails and it goes by itself;
   * one that is live, or absent, is left alone. For connections that can never come back: of an attachment that a newer
   * one has replaced. Waits for the end, bounded; that it has not ended is no error.
   */
  abandon(nqn: string, signal?: AbortSignal): Promise<void>;
  /** Everything that uses the device; empty only when it is proven unused. */
  users(device: BlockDevice, signal?: AbortSignal): Promise<readonly DeviceUser[]>;
  /** Asks the kernel to look at the size again and returns the device as it is then. */
  rescan(device: BlockDevice, signal?: AbortSignal): Promise<BlockDevice>;
  /** All connections of ours, and no others. */
  list(signal?: AbortSignal): Promise<readonly Connection[]>;
  /** Does what the driver itself can do to make the node ready; what it cannot is among the problems. */
  prepare?(): Promise<void>;
  /** What keeps this node from working, in plain words; empty when ready. */
  readinessProblems(): Promise<readonly string[]>;
}
