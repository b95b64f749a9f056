import { failure } from "../domain/errors/driver-error.ts";
import type { BlockDevice, Target } from "../host/data-path.ts";
import { blockUsers } from "../mount/users.ts";
import { type ConnectCommandDeps, runConnect } from "./connect-command.ts";
import { controllerState, describeControllers, endpointOf, isGoing } from "./controller-state.ts";
import { endpointText } from "./endpoint.ts";
import { type Controller, type SubsystemState, singleDevice, subsystemState } from "./sysfs.ts";
import { tuneController } from "./tune.ts";

export interface ConnectDeps extends ConnectCommandDeps {
  /** How long a connection may take to become live, in milliseconds. */
  readonly readyMs: number;
  /** Disconnects exactly this NQN and proves that it is gone. */
  readonly disconnect: (nqn: string, signal?: AbortSignal) => Promise<void>;
  /** Asks the kernel to scan a live controller for namespaces. */
  readonly scan: (controller: string, signal?: AbortSignal) => Promise<void>;
}

const POLL_MS = 100;
/** A live controller without namespace is scanned after this time. */
const SCAN_AFTER_MS = 3_000;
/** A live controller without namespace is given up after this time. */
const NAMESPACE_MS = 10_000;
/** nvme-cli may say "already connected" for a moment while sysfs shows no controller. This bounds the repetitions. */
const MAX_CONNECTS = 3;

/**
 * Makes the function that connects a target. A connection that exists is used only if it is live, to the right address
 * and port, for this host. One that the kernel is connecting or removing is waited for; one to another address is moved if
 * it is proven unused; any other is refused. The target's timeouts are set and verified on the connection that is used.
 * @returns a function that throws connectedAsOtherHost, connectedElsewhere, deviceAmbiguous, nvmeModuleMissing
 *   (FAILED_PRECONDITION); connectRefused, subsystemNotOffered, deviceNotReady, namespaceAbsent, connectQueueFull,
 *   connectionNotTuned, nodeStateUnknown (UNAVAILABLE)
 */
export function createConnect(deps: ConnectDeps) {
  const { system, readyMs } = deps;
  const { clock, sysRoot, logger } = system;

  return async (target: Target, signal?: AbortSignal): Promise<BlockDevice> => {
    const { nqn } = target;
    let since = clock.monotonic();
    /** Since when a live controller has had no namespace. */
    let bareSince: number | undefined;
    let [connects, connected, moved, scanned, reported] = [0, false, false, false, false];
    for (;;) {
      const now = await subsystemState(sysRoot, nqn);
      const state = controllerState(now.controllers, target);
      if (state.kind !== "live") bareSince = undefined;
      switch (state.kind) {
        case "otherHost":
          throw failure("connectedAsOtherHost", { nqn, ...hosts(state.controller, target) });
        case "elsewhere":
          if (moved) throw elsewhere(target, state.foreign, ["somebody connects it there again and again"]);
          await moveAway(deps, target, now, state.foreign, signal);
          [moved, connected, since] = [true, false, clock.monotonic()];
          continue;
        case "absent":
          if (connected || connects === MAX_CONNECTS) break;
          connects += 1;
          connected = await runConnect(deps, target, signal);
          since = clock.monotonic();
          if (connected) continue;
          break;
        case "live": {
          if (state.foreign.length > 0 && !reported) {
            reported = true;
            const paths = describeControllers(state.foreign);
            logger.warn("also connected to another address", { nqn, wanted: endpointText(target), paths });
          }
          // Without multipath, a controller that is being removed still shows its own device for a moment.
          if (now.namespaces.length > 1 && now.controllers.some(isGoing)) break;
          const device = deviceOf(nqn, now, state.right);
          if (device !== undefined) {
            for (const { name } of state.right) await tuneController(system, name, target);
            return device;
          }
          bareSince ??= clock.monotonic();
          const bare = clock.monotonic() - bareSince;
          if (bare >= NAMESPACE_MS) {
            const controllers = describeControllers(state.right);
            throw failure("namespaceAbsent", { nqn, controllers, seconds: Math.round(bare / 1000) });
          }
          if (bare >= SCAN_AFTER_MS && !scanned) {
            scanned = true;
            for (const { name } of state.right) await tryScan(deps, name, signal);
          }
          break;
        }
        case "coming":
        case "going":
          break;
      }
      const waited = clock.monotonic() - since;
      if (waited >= readyMs) {
        const found = describeControllers(now.controllers);
        throw failure("deviceNotReady", { nqn, state: found, seconds: Math.round(waited / 1000) });
      }
      await clock.sleep(POLL_MS, signal);
    }
  };
}

/** Scans; a failure is only logged, as the namespace shows whether the scan helped. */
async function tryScan(
  { system, scan }: ConnectDeps,
  controller: string,
  signal?: AbortSignal,
): Promise<void> {
  try {
    await scan(controller, signal);
  } catch (error) {
    signal?.throwIfAborted();
    system.logger.warn("a rescan failed", { controller, error });
  }
}

/**
 * Ends a connection to another address than the volume's, if it is proven that nobody uses it.
 * @throws connectedElsewhere, deviceAmbiguous (FAILED_PRECONDITION), nodeStateUnknown, disconnectNotProven (UNAVAILABLE)
 */
async function moveAway(
  { system, disconnect }: ConnectDeps,
  target: Target,
  { namespaces }: SubsystemState,
  foreign: readonly Controller[],
  signal?: AbortSignal,
): Promise<void> {
  const { nqn } = target;
  const controllers = describeControllers(foreign);
  const wanted = endpointText(target);
  system.logger.warn("connected to another address than the volume has", { nqn, wanted, controllers });
  const device = singleDevice(nqn, namespaces);
  const users = device === undefined ? [] : await blockUsers(system, device, "refuse", signal);
  if (users.length > 0) {
    throw elsewhere(
      target,
      foreign,
      users.map(({ description }) => description),
    );
  }
  system.logger.info("disconnecting, as nobody uses it", { nqn, controllers, device: device?.path });
  await disconnect(nqn, signal);
}

function elsewhere(target: Target, foreign: readonly Controller[], users: readonly string[]): Error {
  const found = foreign.map(endpointOf).join(", ");
  return failure("connectedElsewhere", { nqn: target.nqn, found, wanted: endpointText(target), users });
}

/** The device behind the right controllers; without multipath, that of another controller does not count. */
function deviceOf(
  nqn: string,
  { namespaces }: SubsystemState,
  right: readonly Controller[],
): BlockDevice | undefined {
  singleDevice(nqn, namespaces);
  const names = new Set(right.map(({ name }) => name));
  return namespaces.find(({ controller }) => controller === undefined || names.has(controller))?.device;
}

function hosts(controller: Controller, own: Target): { host: string; own: string } {
  const text = ({ hostNqn, hostId }: { hostNqn: string; hostId: string }) => `${hostNqn} (host ID ${hostId})`;
  return { host: text(controller), own: text(own) };
}
