import type { BlockDevice } from "../../host/data-path.ts";
import { holdersOf } from "../../mount/holders.ts";
import { parseEndpoint } from "../../nvme/endpoint.ts";
import { createLoopDataPath } from "../../nvme/loop.ts";
import { parseVolumeNqn } from "../../nvme/nqn.ts";
import { type Controller, readControllers, readNamespaces } from "../../nvme/sysfs.ts";
import type { DiagnoseContext } from "../context.ts";
import { isThere, textOf } from "./files.ts";

/** One controller of a connection, as sysfs shows it. */
export interface ControllerFacts extends Controller {
  /** Where it is connected to; undefined while the kernel does not say. */
  readonly endpoint: { readonly address: string; readonly port: number } | undefined;
  /** Seconds; -1 = never gives up; undefined where the kernel does not show it. */
  readonly ctrlLossTmo: number | undefined;
}

/** A device of a connection. Size in bytes. */
export interface DeviceFacts extends Pick<BlockDevice, "name" | "path" | "number" | "readOnly"> {
  readonly sizeBytes: number;
  readonly model: string | undefined;
  readonly wwid: string | undefined;
  /** What the kernel has on top of it, in words; undefined where that could not be read. */
  readonly holders?: readonly string[] | undefined;
}

/** One NQN that is connected, or of which something is left. */
export interface ConnectionFacts {
  readonly nqn: string;
  /** Slot and epoch if it is a volume of this driver; undefined for a look-alike. */
  readonly volume: { readonly slot: string; readonly epoch: number } | undefined;
  readonly controllers: readonly ControllerFacts[];
  readonly devices: readonly DeviceFacts[];
  /** The states of its controllers, or `no controller`. */
  readonly state: string;
}

/** Every NVMe connection of ours, and those whose NQN begins like ours. Reads sysfs only, which no device can delay. */
export async function connectionFacts(context: DiagnoseContext): Promise<readonly ConnectionFacts[]> {
  const { system, config } = context;
  const { sysRoot } = system;
  if (config.dataPath === "loop") return await loopConnections(context);
  const controllers = await readControllers(sysRoot);
  const namespaces = await readNamespaces(sysRoot, controllers);
  const connections: ConnectionFacts[] = [];
  for (const nqn of new Set([...controllers.map((controller) => controller.nqn), ...namespaces.keys()])) {
    const volume = parseVolumeNqn(config.nqnPrefix, nqn);
    if (volume === undefined && !nqn.startsWith(config.nqnPrefix)) continue;
    const own = controllers.filter((controller) => controller.nqn === nqn);
    connections.push({
      nqn,
      volume: volume && { slot: volume.slot, epoch: volume.epoch },
      controllers: await Promise.all(own.map((controller) => controllerFacts(sysRoot, controller))),
      devices: await Promise.all(
        (namespaces.get(nqn) ?? []).map(({ device }) => deviceFacts(sysRoot, device)),
      ),
      state:
        own.length === 0 ? "no controller" : [...new Set(own.map(({ state }) => state))].sort().join(", "),
    });
  }
  return connections.toSorted((a, b) => (a.nqn < b.nqn ? -1 : 1));
}

/** Loop devices that stand for connections; a node that has no state yet has none, and gets none here. */
async function loopConnections({ system, config }: DiagnoseContext): Promise<readonly ConnectionFacts[]> {
  const { loop, nqnPrefix } = config;
  if (loop === undefined || !(await isThere(loop.stateDir))) return [];
  const connections = await createLoopDataPath(system, { ...loop, nqnPrefix }).list();
  return await Promise.all(
    connections.map(async ({ nqn, slot, epoch, state, device }): Promise<ConnectionFacts> => {
      const controller = {
        name: "loop",
        nqn,
        state,
        transport: "loop",
        address: "",
        hostNqn: "",
        hostId: "",
      };
      return {
        nqn,
        volume: { slot, epoch },
        controllers: [{ ...controller, endpoint: undefined, ctrlLossTmo: undefined }],
        devices: device === undefined ? [] : [await deviceFacts(system.sysRoot, device)],
        state,
      };
    }),
  );
}

async function controllerFacts(sysRoot: string, controller: Controller): Promise<ControllerFacts> {
  const loss = await textOf(`${sysRoot}/class/nvme/${controller.name}/ctrl_loss_tmo`);
  const endpoint = parseEndpoint(controller.address);
  return {
    ...controller,
    endpoint: endpoint && { address: endpoint.address, port: Number(endpoint.port) },
    ctrlLossTmo: loss === "off" ? -1 : loss !== undefined && /^-?\d+$/.test(loss) ? Number(loss) : undefined,
  };
}

async function deviceFacts(sysRoot: string, device: BlockDevice): Promise<DeviceFacts> {
  const base = `${sysRoot}/dev/block/${device.number}`;
  const [model, wwid, holders] = await Promise.all([
    textOf(`${base}/device/model`),
    textOf(`${base}/wwid`),
    // It may vanish while it is looked at.
    holdersOf(base).catch(() => undefined),
  ]);
  const { name, path, number, readOnly } = device;
  return {
    ...{ name, path, number, sizeBytes: Number(device.sizeBytes), readOnly, model: model?.trim(), wwid },
    holders: holders?.map(({ description }) => description),
  };
}
