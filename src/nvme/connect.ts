import { access } from "node:fs/promises";
import { failure } from "../domain/errors/driver-error.ts";
import type { BlockDevice, Target } from "../host/data-path.ts";
import type { NodeSystem } from "../host/system.ts";
import { blockUsers } from "../mount/users.ts";
import { connectFailure } from "./connect-failure.ts";
import type { ConnectOutcome } from "./connect-metrics.ts";
import type { ConnectQueue } from "./connect-queue.ts";
import { endpointText } from "./endpoint.ts";
import { describeControllers, endpointOf, isGoing, judge } from "./judge.ts";
import type { Controller } from "./sysfs.ts";
import { tuneController } from "./tune.ts";
import { singleDevice, type View, viewOf } from "./view.ts";

export interface ConnectDeps {
  readonly system: NodeSystem;
  readonly queue: ConnectQueue;
  /** Called when an `nvme connect` has ended. */
  readonly onConnect: (outcome: ConnectOutcome) => void;
  /** How long a connection may take to become live, in milliseconds. */
  readonly readyMs: number;
  /** Disconnects exactly this NQN and proves that it is gone. */
  readonly disconnect: (nqn: string, signal?: AbortSignal) => Promise<void>;
  /** Asks the kernel to scan a live controller for namespaces. */
  readonly scan: (controller: string, signal?: AbortSignal) => Promise<void>;
}

const CONNECT_DEADLINE_MS = 30_000;
const POLL_MS = 100;
/** A live controller without namespace is scanned after this time, and given up after the second. */
const SCAN_AFTER_MS = 3_000;
const NAMESPACE_MS = 10_000;
/** "Already connected" while sysfs has nothing is a race that ends; the bound is against one that does not. */
const MAX_CONNECTS = 3;

/**
 * Makes the function that connects a target, or uses the connection that exists: only if it is live, to the right address
 * and port, for this host. What else may be there is waited for (the kernel is connecting or removing it), moved (another
 * address, and proven unused) or refused. The target's timeouts are set and verified on whatever is used.
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
      const now = await viewOf(sysRoot, nqn);
      const verdict = judge(now.controllers, target);
      if (verdict.kind !== "live") bareSince = undefined;
      switch (verdict.kind) {
        case "otherHost":
          throw failure("connectedAsOtherHost", { nqn, ...hosts(verdict.controller, target) });
        case "elsewhere":
          if (moved) throw elsewhere(target, verdict.foreign, ["somebody connects it there again and again"]);
          await moveAway(deps, target, now, verdict.foreign, signal);
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
          if (verdict.foreign.length > 0 && !reported) {
            reported = true;
            const paths = describeControllers(verdict.foreign);
            logger.warn("also connected to another address", { nqn, wanted: endpointText(target), paths });
          }
          // Without multipath, a controller that is being removed still shows its own device for a moment.
          if (now.namespaces.length > 1 && now.controllers.some(isGoing)) break;
          const device = deviceOf(nqn, now, verdict.right);
          if (device !== undefined) {
            for (const { name } of verdict.right) await tuneController(system, name, target);
            return device;
          }
          bareSince ??= clock.monotonic();
          const bare = clock.monotonic() - bareSince;
          if (bare >= NAMESPACE_MS) {
            const controllers = describeControllers(verdict.right);
            throw failure("namespaceAbsent", { nqn, controllers, seconds: Math.round(bare / 1000) });
          }
          if (bare >= SCAN_AFTER_MS && !scanned) {
            scanned = true;
            for (const { name } of verdict.right) await tryScan(deps, name, signal);
          }
          break;
        }
        case "coming":
        case "going":
          break;
      }
      const waited = clock.monotonic() - since;
      if (waited >= readyMs) {
        const state = describeControllers(now.controllers);
        throw failure("deviceNotReady", { nqn, state, seconds: Math.round(waited / 1000) });
      }
      await clock.sleep(POLL_MS, signal);
    }
  };
}

/** Whether a rescan helped is seen by its effect. */
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

/** Runs `nvme connect` in its turn; false if the kernel has the connection already. */
async function runConnect(deps: ConnectDeps, target: Target, signal?: AbortSignal): Promise<boolean> {
  const { system, queue, onConnect } = deps;
  const args = connectArguments(target);
  return await queue.run(
    `connecting ${target.nqn}`,
    async () => {
      system.logger.info("connecting", { nqn: target.nqn, address: endpointText(target) });
      let outcome: ConnectOutcome = "failed";
      try {
        const command = { program: "nvme" as const, args, deadlineMs: CONNECT_DEADLINE_MS, signal };
        const result = await system.exec(command);
        if (result.code !== 0) {
          const error = connectFailure(result, target, await exists(`${system.sysRoot}/module/nvme_tcp`));
          if (error !== undefined) throw error;
        }
        outcome = result.code === 0 ? "ok" : "existing";
        return result.code === 0;
      } finally {
        onConnect(outcome);
      }
    },
    signal,
  );
}

/** Everything explicit: without host NQN and ID, nvme-cli takes them from files or invents them. */
function connectArguments(target: Target): readonly string[] {
  const args = ["connect", "--transport=tcp", `--traddr=${target.address}`, `--trsvcid=${target.port}`];
  args.push(`--nqn=${target.nqn}`, `--hostnqn=${target.hostNqn}`, `--hostid=${target.hostId}`);
  args.push(`--ctrl-loss-tmo=${target.ctrlLossTmo}`, `--reconnect-delay=${target.reconnectDelay}`);
  args.push(`--keep-alive-tmo=${target.keepAliveTmo}`);
  if (target.nrIoQueues > 0) args.push(`--nr-io-queues=${target.nrIoQueues}`);
  if (target.queueSize > 0) args.push(`--queue-size=${target.queueSize}`);
  return args;
}

/**
 * Ends a connection to an address that the volume is not at (any more), if it is proven that nobody uses it.
 * @throws connectedElsewhere, deviceAmbiguous (FAILED_PRECONDITION), nodeStateUnknown, disconnectNotProven (UNAVAILABLE)
 */
async function moveAway(
  { system, disconnect }: ConnectDeps,
  target: Target,
  { namespaces }: View,
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
function deviceOf(nqn: string, view: View, right: readonly Controller[]): BlockDevice | undefined {
  singleDevice(nqn, view.namespaces);
  const names = new Set(right.map(({ name }) => name));
  return view.namespaces.find(({ controller }) => controller === undefined || names.has(controller))?.device;
}

function hosts(controller: Controller, own: Target): { host: string; own: string } {
  const text = ({ hostNqn, hostId }: { hostNqn: string; hostId: string }) => `${hostNqn} (host ID ${hostId})`;
  return { host: text(controller), own: text(own) };
}

/** Whether a path exists. */
export async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
