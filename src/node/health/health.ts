import { isFailure, toDriverError } from "../../domain/errors/driver-error.ts";
import type { VolumeId } from "../../domain/volume-id.ts";
import { readAttribute } from "../../host/block-device.ts";
import { type BlockDevice, type Connection, isLive } from "../../host/data-path.ts";
import type { ConditionCause } from "../../inspect/health.ts";
import type { Mount } from "../../mount/mountinfo.ts";
import { statPath } from "../../mount/stat.ts";
import { writabilityOf } from "../../mount/writable.ts";
import type { NodeContext } from "../context.ts";
import { isDead, isDeadNode } from "./dead.ts";

/** One reason for which the condition of a volume (CSI, VolumeCondition) is abnormal. */
export interface AbnormalCondition {
  readonly cause: ConditionCause;
  /** For people: the cause and the remedy. */
  readonly message: string;
}

/** A volume whose condition is to be found out. */
export interface ConditionSubject {
  readonly volume: VolumeId;
  readonly connections: readonly Connection[];
  /** The mounts that are this volume's, dead ones included. */
  readonly mounts: readonly Mount[];
}

/** A filesystem that has not answered is left alone for so long: every look may leave a process behind. */
const HUNG_PAUSE_MS = 300_000;
const hungUntil = new WeakMap<NodeContext, Map<string, number>>();

/**
 * The condition of a volume: each reason for which it is abnormal, none if it is normal. Sysfs and the mount table answer
 * all questions but the last, and no device can delay them. Whether the filesystem answers is asked by a child process with
 * a deadline, and only while the connection is live.
 * Causes: lab recordings of lost, resetting and given-up connections; kernel documentation, ABI/testing/sysfs-fs-ext4.
 * @throws nodeStateUnknown, cancelled
 */
export async function abnormalConditions(
  node: NodeContext,
  subject: ConditionSubject,
  signal?: AbortSignal,
): Promise<readonly AbnormalCondition[]> {
  const newest = Math.max(...subject.connections.map(({ epoch }) => epoch));
  const current = subject.connections.filter(({ epoch }) => epoch === newest);
  const devices = current.flatMap(({ device }) => device ?? []);
  const conditions = [...current.flatMap(connectionCondition)];
  const vanished: Mount[] = [];
  const mounted: Mount[] = [];
  for (const mount of subject.mounts) {
    if ((await isDead(node, mount)) || (await isDeadNode(node, mount, signal))) vanished.push(mount);
    else if (!mount.device.startsWith("0:")) mounted.push(mount);
  }
  if (vanished.length > 0) conditions.push(vanishedCondition(vanished));
  for (const mount of mounted) {
    const device = devices.find(({ number }) => number === mount.device);
    if (device === undefined) conditions.push(otherDevice(mount, devices));
    else conditions.push(...(await filesystemConditions(node, mount, device)));
  }
  const [first] = mounted;
  if (conditions.length === 0 && first !== undefined) {
    conditions.push(...(await notAnswering(node, first.mountPoint, signal)));
  }
  return conditions.filter(
    ({ message }, index) => conditions.findIndex((other) => other.message === message) === index,
  );
}

/** The message of a VolumeCondition. */
export function conditionMessage(conditions: readonly AbnormalCondition[]): string {
  return conditions.map(({ message }) => message).join("; ") || "the volume is connected and answers";
}

/** Whether a look at its filesystem could hang. */
export function mayHang(conditions: readonly AbnormalCondition[]): boolean {
  const harmless: readonly ConditionCause[] = ["filesystem-errors", "read-only", "not-mounted"];
  return conditions.some(({ cause }) => !harmless.includes(cause));
}

function connectionCondition(connection: Connection): readonly AbnormalCondition[] {
  const { nqn, state, device } = connection;
  if (!isLive(connection)) {
    const message = `the NVMe connection to ${nqn} is not live (${state}); I/O waits until it is back`;
    return [{ cause: "not-live", message }];
  }
  if (device !== undefined) return [];
  const message = `the NVMe connection to ${nqn} has no namespace: it is not exported, or was replaced`;
  return [{ cause: "no-namespace", message }];
}

function vanishedCondition(mounts: readonly Mount[]): AbnormalCondition {
  const sources = [
    ...new Set(mounts.map(({ source, root, fsType }) => (fsType === "devtmpfs" ? root : source))),
  ];
  const paths = mounts.map(({ mountPoint }) => mountPoint).join(", ");
  const message = `the device ${sources.join(", ")} has vanished and only mounts are left (${paths}); delete the pods that use it on this node, their replacements get a fresh mount`;
  return { cause: "device-vanished", message };
}

function otherDevice(mount: Mount, devices: readonly BlockDevice[]): AbnormalCondition {
  const wanted = devices.map(({ path }) => path).join(", ") || "not connected";
  const message = `${mount.mountPoint} is mounted from ${mount.source}, but the volume is ${wanted}`;
  return { cause: "other-device", message };
}

async function filesystemConditions(
  node: NodeContext,
  mount: Mount,
  device: BlockDevice,
): Promise<readonly AbnormalCondition[]> {
  const conditions: AbnormalCondition[] = [];
  if (writabilityOf(mount) === "failed") {
    const message = `the filesystem on ${device.path} went read-only after an error; end its pods on this node, so that it is mounted and checked anew`;
    conditions.push({ cause: "read-only", message });
  }
  const counter = `${node.system.sysRoot}/fs/ext4/${device.name}/errors_count`;
  const count = mount.fsType === "ext4" ? Number((await readAttribute(counter)) ?? 0) : 0;
  if (count > 0) {
    const message = `the kernel has counted ${count} errors in the ext4 on ${device.path}; it is checked at its next mount`;
    conditions.push({ cause: "filesystem-errors", message });
  }
  return conditions;
}

async function notAnswering(
  node: NodeContext,
  path: string,
  signal?: AbortSignal,
): Promise<readonly AbnormalCondition[]> {
  const hung = hungUntil.get(node) ?? new Map<string, number>();
  hungUntil.set(node, hung);
  const condition = (detail: string): readonly AbnormalCondition[] => [
    { cause: "not-answering", message: `the filesystem at ${path} does not answer: ${detail}` },
  ];
  const until = hung.get(path) ?? 0;
  const now = node.system.clock.monotonic();
  if (until > now) return condition("it hung a moment ago and is left alone for some minutes");
  hung.delete(path);
  try {
    await statPath(node.system.exec, path, signal);
    return [];
  } catch (error) {
    if (signal?.aborted) throw error;
    if (isFailure(error, "deadlineExceeded")) hung.set(path, now + HUNG_PAUSE_MS);
    return condition(toDriverError(error).summary);
  }
}
