import { parseVolumeId } from "../../domain/volume-id.ts";
import { type Mount, readMounts } from "../../mount/mountinfo.ts";
import { writabilityOf } from "../../mount/writable.ts";
import { kubeletPathOf } from "../../node/kubelet-paths.ts";
import type { DiagnoseContext } from "../context.ts";
import type { ConnectionFacts } from "./connections.ts";
import { isThere, namesIn, textOf } from "./files.ts";

/** A mount, or the bind mount of a device node, that belongs to a volume. Of a device node the number of the device is not looked at. */
export interface VolumeMount extends Pick<Mount, "device" | "source" | "fsType"> {
  readonly path: string;
  /** undefined: no record of kubelet says whose it is; it was found by its device. */
  readonly role: "staging" | "publish" | undefined;
  readonly readOnly: boolean;
  /** The filesystem itself refuses writes, although the mount does not. */
  readonly wentReadOnly: boolean;
  /** It is the bind mount of a device node (a published block volume). */
  readonly deviceNode: boolean;
  /** The device has vanished. */
  readonly dead: boolean;
  /** Errors that the kernel has counted in an ext4. */
  readonly errors: number;
  /** Mounts at this path. */
  readonly layers: number;
  /** Handle of the volume, or undefined where nothing tells it. */
  readonly volume: string | undefined;
}

/** What kubelet's own records beside our paths say. */
export interface StagingRecord {
  readonly path: string;
  readonly volume: string;
  /** Whether something is mounted there. */
  readonly mounted: boolean;
}

export interface MountFacts {
  readonly mounts: readonly VolumeMount[];
  readonly staging: readonly StagingRecord[];
}

/**
 * The mounts of volumes: those whose device is a connection's, and those at paths that kubelet's record names ours. Reads the
 * mount table, sysfs and kubelet's directory on the node's own disk; never the mounted filesystems.
 */
export async function mountFacts(
  { system, config }: DiagnoseContext,
  connections: readonly ConnectionFacts[],
): Promise<MountFacts> {
  const table = await readMounts(`${system.procRoot}/self/mountinfo`);
  const slotOf = new Map<string, string>();
  const nodeOf = new Map<string, string>();
  for (const { volume, devices } of connections) {
    if (volume === undefined) continue;
    for (const { number, name } of devices) {
      slotOf.set(number, volume.slot);
      nodeOf.set(`/${name}`, volume.slot);
    }
  }
  const mounts: VolumeMount[] = [];
  for (const path of new Set(table.map(({ mountPoint }) => mountPoint))) {
    const layers = table.filter(({ mountPoint }) => mountPoint === path);
    const top = layers.at(-1);
    if (top === undefined) continue;
    const owner = await kubeletPathOf(path, config.driverName).catch(() => undefined);
    const deviceNode = top.fsType === "devtmpfs" && top.root !== "/";
    const byDevice = deviceNode ? nodeOf.get(top.root) : slotOf.get(top.device);
    const owned = owner === undefined ? undefined : parseVolumeId(owner.handle);
    const volume = owned ?? byDevice ?? volumeInPath(path, config.kubeletDir);
    if (volume === undefined) continue;
    // A node of a volume that leads to another volume's device is left of its own, which has vanished.
    const astray = deviceNode && owned !== undefined && byDevice !== undefined && owned !== byDevice;
    const dead = astray || (await isDead(system.sysRoot, top, deviceNode));
    if (byDevice === undefined && owned === undefined && !dead) continue;
    mounts.push({
      path,
      role: owner?.role,
      device: top.device,
      source: top.source,
      fsType: top.fsType,
      readOnly: top.options.includes("ro"),
      wentReadOnly: writabilityOf(top) === "failed",
      deviceNode,
      dead,
      errors: await errorsOf(system.sysRoot, top),
      layers: layers.length,
      volume,
    });
  }
  return { mounts, staging: await stagingRecords(config, table) };
}

/** The handle in a path below kubelet's directory, for mounts that no record of kubelet names: only a hint. */
function volumeInPath(path: string, kubeletDir: string): string | undefined {
  if (!path.startsWith(`${kubeletDir}/`)) return undefined;
  return path.split("/").find((part) => parseVolumeId(part) !== undefined);
}

async function isDead(sysRoot: string, mount: Mount, deviceNode: boolean): Promise<boolean> {
  if (deviceNode) return mount.root.endsWith("//deleted");
  return !mount.device.startsWith("0:") && !(await isThere(`${sysRoot}/dev/block/${mount.device}`));
}

async function errorsOf(sysRoot: string, mount: Mount): Promise<number> {
  if (mount.fsType !== "ext4") return 0;
  const name = mount.source.slice(mount.source.lastIndexOf("/") + 1);
  return Number((await textOf(`${sysRoot}/fs/ext4/${name}/errors_count`)) ?? 0) || 0;
}

async function stagingRecords(
  { kubeletDir, driverName }: DiagnoseContext["config"],
  table: readonly Mount[],
): Promise<readonly StagingRecord[]> {
  const records: StagingRecord[] = [];
  const base = `${kubeletDir}/plugins/kubernetes.io/csi`;
  for (const name of await namesIn(`${base}/${driverName}`)) {
    const path = `${base}/${driverName}/${name}/globalmount`;
    const owner = await kubeletPathOf(path, driverName).catch(() => undefined);
    if (owner === undefined) continue;
    const mounted = table.some(({ mountPoint }) => mountPoint === path);
    records.push({ path, volume: owner.handle, mounted });
  }
  return records;
}
