import type { Target } from "../host/data-path.ts";
import { type Endpoint, endpointText, parseEndpoint, sameEndpoint } from "./endpoint.ts";
import { isEarlierNqn } from "./nqn.ts";
import type { Controller } from "./sysfs.ts";

/** The state of the controllers of one NQN on this node, for a node that wants to use the NQN. */
export type ControllerState =
  /** No controller: connect. */
  | { readonly kind: "absent" }
  /** `right` are live at the right address and for this host; `foreign` are further paths to other addresses. */
  | { readonly kind: "live"; readonly right: readonly Controller[]; readonly foreign: readonly Controller[] }
  /** At the right address but not live: the kernel is connecting or reconnecting it. */
  | { readonly kind: "coming" }
  /** All are being removed: wait, then connect. */
  | { readonly kind: "going" }
  /** Connected for another host NQN or host ID. */
  | { readonly kind: "otherHost"; readonly controller: Controller }
  /** Connected to other addresses only. */
  | { readonly kind: "elsewhere"; readonly foreign: readonly Controller[] };

/** Being removed. Source: Linux, drivers/nvme/host/sysfs.c, nvme_sysfs_show_state. */
const GOING = /^(deleting|dead)/;

/** Whether the kernel is removing a controller. */
export function isGoing({ state }: Pick<Controller, "state">): boolean {
  return GOING.test(state);
}

/**
 * Tells the state of the controllers of one NQN. Several are paths of one subsystem: one that is right and live is enough. A connection of the earlier
 * driver has another host NQN, and is used as it is: its volume may be mounted.
 * @param controllers all of this NQN, and no others
 */
export function controllerState(controllers: readonly Controller[], target: Target): ControllerState {
  if (controllers.length === 0) return { kind: "absent" };
  const present = controllers.filter((controller) => !isGoing(controller));
  if (present.length === 0) return { kind: "going" };
  const other = isEarlierNqn(target.nqn)
    ? undefined
    : present.find((controller) => !isOwn(controller, target));
  if (other !== undefined) return { kind: "otherHost", controller: other };
  const wanted: Endpoint = { address: target.address, port: String(target.port) };
  const right: Controller[] = [];
  const foreign: Controller[] = [];
  let unknown = false;
  for (const controller of present) {
    const endpoint = parseEndpoint(controller.address);
    if (controller.transport !== "tcp" && controller.transport !== "") foreign.push(controller);
    else if (endpoint === undefined) unknown = true;
    else (sameEndpoint(endpoint, wanted) ? right : foreign).push(controller);
  }
  const live = right.filter(({ state }) => state === "live");
  if (live.length > 0) return { kind: "live", right: live, foreign };
  return right.length > 0 || unknown ? { kind: "coming" } : { kind: "elsewhere", foreign };
}

/** Kernels before 5.7 show neither host NQN nor host ID. */
function isOwn({ hostNqn, hostId }: Controller, target: Target): boolean {
  return (
    (hostNqn === "" || hostNqn === target.hostNqn) &&
    (hostId === "" || hostId.toLowerCase() === target.hostId.toLowerCase())
  );
}

/** Controllers in words: `nvme0 live at 192.0.2.1:4420`; `no controller`. */
export function describeControllers(controllers: readonly Controller[]): string {
  if (controllers.length === 0) return "no controller";
  return controllers.map(({ name, state, ...rest }) => `${name} ${state} at ${endpointOf(rest)}`).join(", ");
}

/** The address to which a controller is connected, for messages. */
export function endpointOf({ address, transport }: Pick<Controller, "address" | "transport">): string {
  const endpoint = parseEndpoint(address);
  const text = endpoint === undefined ? address || "an unknown address" : endpointText(endpoint);
  return transport === "tcp" || transport === "" ? text : `${text} (${transport})`;
}
