import { isFailure, toDriverError } from "../../domain/errors/driver-error.ts";
import type { VolumeId } from "../../domain/volume-id.ts";
import { readAttribute } from "../../host/block-device.ts";
import type { BlockDevice, Connection } from "../../host/data-path.ts";
import type { Mount } from "../../mount/mountinfo.ts";
import { statPath } from "../../mount/stat.ts";
import { writabilityOf } from "../../mount/writable.ts";
import type { NodeContext } from "../context.ts";
import { isDead, isDeadNode } from "./dead.ts";

/** Why a volume is abnormal on this node. */
export type HealthCause =
  | "device-vanished"
  | "no-namespace"
  | "not-live"
  | "other-device"
  | "not-mounted"
  | "filesystem-errors"
  | "read-only"
  | "not-answering";

export interface Trouble {
  readonly cause: HealthCause;
  /** For people: what is wrong, and what helps. */
  readonly message: string;
}

/** What is known of a volume on this node. */
export interface HealthSubject {
  readonly volume: VolumeId;
  readonly connections: readonly Connection[];
  /** The mounts that are this volume's, dead ones included. */
  readonly mounts: readonly Mount[];
}

/** After a filesystem has not answered it is left alone for so long: every look may leave a process behind. */
const HUNG_PAUSE_MS = 300_000;
const hungUntil = new WeakMap<NodeContext, Map<string, number>>();

/**
 * What is wrong with a volume; nothing if it is well. Everything but the last question is answered by sysfs and the
 * mount table, which no device can delay; whether a filesystem answers is asked by a child process with a deadline, and
 * only while the connection is live.
 * Causes: lab recordings of lost, resetting and given-up connections; kernel documentation, ABI/testing/sysfs-fs-ext4.
 * @throws nodeStateUnknown, cancelled
 */
export async function troublesOf(
  node: NodeContext,
  subject: HealthSubject,
  signal?: AbortSignal,
): Promise<readonly Trouble[]> {
  const newest = Math.max(...subject.connections.map(({ epoch }) => epoch));
  const current = subject.connections.filter(({ epoch }) => epoch === newest);
  const devices = current.flatMap(({ device }) => device ?? []);
  const troubles = [...current.flatMap(connectionTrouble)];
  const vanished: Mount[] = [];
  const mounted: Mount[] = [];
  for (const mount of subject.mounts) {
    if ((await isDead(node, mount)) || (await isDeadNode(node, mount, signal))) vanished.push(mount);
    else if (!mount.device.startsWith("0:")) mounted.push(mount);
  }
  if (vanished.length > 0) troubles.push(vanishedTrouble(vanished));
  for (const mount of mounted) {
    const device = devices.find(({ number }) => number === mount.device);
    if (device === undefined) troubles.push(otherDevice(mount, devices));
    else troubles.push(...(await filesystemTroubles(node, mount, device)));
  }
  const [first] = mounted;
  if (troubles.length === 0 && first !== undefined) {
    troubles.push(...(await notAnswering(node, first.mountPoint, signal)));
  }
  return troubles.filter(
    ({ message }, index) => troubles.findIndex((other) => other.message === message) === index,
  );
}

/** One text for all troubles; for a volume that is well, a text that says so. */
export function describeTroubles(troubles: readonly Trouble[]): string {
  return troubles.map(({ message }) => message).join("; ") || "the volume is connected and answers";
}

/** Whether a look at its filesystem could hang. */
export function mayHang(troubles: readonly Trouble[]): boolean {
  const harmless: readonly HealthCause[] = ["filesystem-errors", "read-only", "not-mounted"];
  return troubles.some(({ cause }) => !harmless.includes(cause));
}

/** Whether one of the controllers of a connection is live. */
export function isLive({ state }: Connection): boolean {
  return state.split(", ").includes("live");
}

function connectionTrouble(connection: Connection): readonly Trouble[] {
  const { nqn, state, device } = connection;
  if (!isLive(connection)) {
    const message = `the NVMe connection to ${nqn} is not live (${state}); I/O waits until it is back`;
    return [{ cause: "not-live", message }];
  }
  if (device !== undefined) return [];
  const message = `the NVMe connection to ${nqn} has no namespace: it is not exported, or was replaced`;
  return [{ cause: "no-namespace", message }];
}

function vanishedTrouble(mounts: readonly Mount[]): Trouble {
  const sources = [
    ...new Set(mounts.map(({ source, root, fsType }) => (fsType === "devtmpfs" ? root : source))),
  ];
  const paths = mounts.map(({ mountPoint }) => mountPoint).join(", ");
  const message = `the device ${sources.join(", ")} has vanished and only mounts are left (${paths}); delete the pods that use it on this node, their replacements get a fresh mount`;
  return { cause: "device-vanished", message };
}

function otherDevice(mount: Mount, devices: readonly BlockDevice[]): Trouble {
  const wanted = devices.map(({ path }) => path).join(", ") || "not connected";
  const message = `${mount.mountPoint} is mounted from ${mount.source}, but the volume is ${wanted}`;
  return { cause: "other-device", message };
}

async function filesystemTroubles(
  node: NodeContext,
  mount: Mount,
  device: BlockDevice,
): Promise<readonly Trouble[]> {
  const troubles: Trouble[] = [];
  if (writabilityOf(mount) === "failed") {
    const message = `the filesystem on ${device.path} went read-only after an error; end its pods on this node, so that it is mounted and checked anew`;
    troubles.push({ cause: "read-only", message });
  }
  const counter = `${node.system.sysRoot}/fs/ext4/${device.name}/errors_count`;
  const count = mount.fsType === "ext4" ? Number((await readAttribute(counter)) ?? 0) : 0;
  if (count > 0) {
    const message = `the kernel has counted ${count} errors in the ext4 on ${device.path}; it is checked at its next mount`;
    troubles.push({ cause: "filesystem-errors", message });
  }
  return troubles;
}

async function notAnswering(
  node: NodeContext,
  path: string,
  signal?: AbortSignal,
): Promise<readonly Trouble[]> {
  const hung = hungUntil.get(node) ?? new Map<string, number>();
  hungUntil.set(node, hung);
  const trouble = (detail: string): readonly Trouble[] => [
    { cause: "not-answering", message: `the filesystem at ${path} does not answer: ${detail}` },
  ];
  const until = hung.get(path) ?? 0;
  const now = node.system.clock.monotonic();
  if (until > now) return trouble("it hung a moment ago and is left alone for some minutes");
  hung.delete(path);
  try {
    await statPath(node.system.exec, path, signal);
    return [];
  } catch (error) {
    if (signal?.aborted) throw error;
    if (isFailure(error, "deadlineExceeded")) hung.set(path, now + HUNG_PAUSE_MS);
    return trouble(toDriverError(error).summary);
  }
}
