import type { PublishContext } from "../domain/publish-context.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { StoragePort } from "./reach.ts";

/** The address and the identity of a connect, from the publish context and the node's identity. */
export interface Target
  extends Omit<PublishContext, "sizeBytes" | "filesystemState" | "filesystemUuid" | "readonly"> {
  readonly hostId: string;
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

/** A connection of ours that exists on this node, in any state. */
export interface Connection {
  readonly nqn: string;
  readonly slot: VolumeId;
  readonly epoch: number;
  /** State of the controller as the kernel spells it: `live`, `connecting`, `resetting`, `deleting`, ... */
  readonly state: string;
  /** undefined while there is no namespace. */
  readonly device: BlockDevice | undefined;
  /** Where its controllers are connected to, or try to; left out where that is not known. */
  readonly ports?: readonly StoragePort[];
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
 * The way of a node to the bytes of a volume. Every method throws when a state is unknown; the answer "absent" is proven. No
 * method touches an NQN outside the driver's prefix (nqnForeign).
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
   * Ends the wait of a connection for its target, so that I/O which is blocked on it fails and the kernel removes it. A live
   * connection is left alone; an absent one is success. For connections that can never come back, because a newer attachment
   * has replaced theirs. Waits until the connection has ended, at most one reconnect. A timeout is not an error.
   */
  abandon(nqn: string, signal?: AbortSignal): Promise<void>;
  /** Everything that uses the device; empty only when it is proven unused. */
  users(device: BlockDevice, signal?: AbortSignal): Promise<readonly DeviceUser[]>;
  /** Asks the kernel to look at the size again and returns the device as it is then. */
  rescan(device: BlockDevice, signal?: AbortSignal): Promise<BlockDevice>;
  /** All connections of ours, and no others. */
  list(signal?: AbortSignal): Promise<readonly Connection[]>;
  /** Makes the node ready as far as the driver can. Never throws: a failure is among the readiness problems. */
  prepare?(): Promise<void>;
  /** The reasons for which this node cannot work, in plain words; empty when ready. */
  readinessProblems(): Promise<readonly string[]>;
}
