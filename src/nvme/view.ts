import { failure } from "../domain/errors/driver-error.ts";
import type { BlockDevice } from "../host/data-path.ts";
import { type Controller, type Namespace, readControllers, readNamespaces } from "./sysfs.ts";

/** What this node has of one NQN at one moment. */
export interface View {
  readonly controllers: readonly Controller[];
  readonly namespaces: readonly Namespace[];
}

/** @throws nodeStateUnknown if sysfs cannot be read */
export async function viewOf(sysRoot: string, nqn: string): Promise<View> {
  const controllers = (await readControllers(sysRoot)).filter((controller) => controller.nqn === nqn);
  const namespaces = (await readNamespaces(sysRoot, controllers)).get(nqn) ?? [];
  return { controllers, namespaces };
}

/** The device, if there is one. @throws deviceAmbiguous (FAILED_PRECONDITION) if there are several */
export function singleDevice(nqn: string, namespaces: readonly Namespace[]): BlockDevice | undefined {
  if (namespaces.length <= 1) return namespaces[0]?.device;
  throw failure("deviceAmbiguous", { nqn, devices: namespaces.map(({ device }) => device.path).sort() });
}
