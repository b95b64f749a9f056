import { readdir } from "node:fs/promises";
import { failure } from "../domain/errors/driver-error.ts";
import { readAttribute, readBlockDevice } from "../host/block-device.ts";
import type { BlockDevice } from "../host/data-path.ts";
import { exists, readIfPresent } from "../host/files.ts";

/** An NVMe controller as /sys/class/nvme shows it. */
export interface Controller {
  /** e.g. `nvme0`. */
  readonly name: string;
  readonly nqn: string;
  /** `live`, `connecting`, `resetting`, `new`, `deleting`, `deleting (no IO)`, `dead`. */
  readonly state: string;
  readonly transport: string;
  /** e.g. `traddr=192.0.2.1,trsvcid=4420,src_addr=192.0.2.7`; `src_addr` only while live. */
  readonly address: string;
  /** Empty if the kernel does not show it. */
  readonly hostNqn: string;
  /** Empty if the kernel does not show it. */
  readonly hostId: string;
}

/** A usable namespace. The hidden path devices `nvmeXcYnZ` do not count. */
export interface Namespace {
  readonly device: BlockDevice;
  /** The controller that it belongs to; undefined with multipath, where it belongs to the subsystem. */
  readonly controller: string | undefined;
}

const NAMESPACE = /^nvme\d+n\d+$/;
const CONTROLLER = /^nvme\d+$/;

/**
 * All NVMe controllers. One that vanishes while it is read is left out.
 * @throws nodeStateUnknown if sysfs cannot be read
 */
export async function readControllers(sysRoot: string): Promise<readonly Controller[]> {
  const controllers: Controller[] = [];
  for (const name of await listClass(sysRoot, "nvme")) {
    if (!CONTROLLER.test(name)) continue;
    const base = `${sysRoot}/class/nvme/${name}`;
    const [nqn, state, transport, address, hostNqn, hostId] = await Promise.all(
      ["subsysnqn", "state", "transport", "address", "hostnqn", "hostid"].map((attribute) =>
        readAttribute(`${base}/${attribute}`),
      ),
    );
    if (nqn === undefined || state === undefined) continue;
    controllers.push({
      name,
      nqn,
      state,
      transport: transport ?? "",
      address: address ?? "",
      hostNqn: hostNqn ?? "",
      hostId: hostId ?? "",
    });
  }
  return controllers;
}

/**
 * The devices of every subsystem by NQN, found by its `subsysnqn` alone: with multipath below the subsystem, else below its
 * controllers. No name is derived from another: numbers differ after a reconnect beside a stale mount.
 * @throws nodeStateUnknown if sysfs cannot be read
 */
export async function readNamespaces(
  sysRoot: string,
  controllers: readonly Controller[],
): Promise<ReadonlyMap<string, readonly Namespace[]>> {
  const places: { directory: string; nqn: string; controller: string | undefined }[] = controllers.map(
    ({ name, nqn }) => ({ directory: `${sysRoot}/class/nvme/${name}`, nqn, controller: name }),
  );
  for (const name of await listClass(sysRoot, "nvme-subsystem")) {
    const directory = `${sysRoot}/class/nvme-subsystem/${name}`;
    const nqn = await readAttribute(`${directory}/subsysnqn`);
    if (nqn !== undefined) places.push({ directory, nqn, controller: undefined });
  }
  const found = new Map<string, Namespace[]>();
  for (const { directory, nqn, controller } of places) {
    for (const name of await listDirectory(directory)) {
      if (!NAMESPACE.test(name)) continue;
      const device = await readBlockDevice(`${directory}/${name}`, name, nqn);
      if (device !== undefined) found.set(nqn, [...(found.get(nqn) ?? []), { device, controller }]);
    }
  }
  return found;
}

/**
 * Names of the controllers that belong to a subsystem. A controller that never identified itself belongs to none;
 * nvme-cli walks the subsystems and cannot find it.
 * @throws nodeStateUnknown if sysfs cannot be read
 */
export async function controllersWithSubsystem(sysRoot: string): Promise<ReadonlySet<string>> {
  const names = new Set<string>();
  for (const subsystem of await listClass(sysRoot, "nvme-subsystem")) {
    const entries = await listDirectory(`${sysRoot}/class/nvme-subsystem/${subsystem}`);
    for (const name of entries) if (CONTROLLER.test(name)) names.add(name);
  }
  return names;
}

/** Entries of a sysfs class. None if sysfs is there without the class: its kernel module is not loaded. */
async function listClass(sysRoot: string, name: string): Promise<readonly string[]> {
  const entries = await listDirectory(`${sysRoot}/class/${name}`);
  if (entries.length > 0 || (await exists(`${sysRoot}/class`))) return entries;
  const detail = `${sysRoot}/class is missing`;
  throw failure("nodeStateUnknown", { what: "the NVMe controllers", detail });
}

/** Entries of a directory; none if it does not exist. */
async function listDirectory(path: string): Promise<readonly string[]> {
  return (await readIfPresent(path, () => readdir(path), ["ENOENT"])) ?? [];
}

/** The controllers and namespaces that this node has of one NQN at one moment. */
export interface SubsystemState {
  readonly controllers: readonly Controller[];
  readonly namespaces: readonly Namespace[];
}

/** Reads the state of one NQN. @throws nodeStateUnknown if sysfs cannot be read */
export async function subsystemState(sysRoot: string, nqn: string): Promise<SubsystemState> {
  const controllers = (await readControllers(sysRoot)).filter((controller) => controller.nqn === nqn);
  const namespaces = (await readNamespaces(sysRoot, controllers)).get(nqn) ?? [];
  return { controllers, namespaces };
}

/** The device, if there is one. @throws deviceAmbiguous (FAILED_PRECONDITION) if there are several */
export function singleDevice(nqn: string, namespaces: readonly Namespace[]): BlockDevice | undefined {
  if (namespaces.length <= 1) return namespaces[0]?.device;
  throw failure("deviceAmbiguous", { nqn, devices: namespaces.map(({ device }) => device.path).sort() });
}
