import { DriverError, failure } from "../../domain/errors/driver-error.ts";
import { parseVolumeId } from "../../domain/volume-id.ts";
import { kubeletPathOf } from "../kubelet-paths.ts";
import type { NodeContext } from "../types.ts";
import { mountsOf, release } from "../verbs/release.ts";
import { isDead } from "./dead.ts";
import { clearDeadStaging, isBeyondReturn } from "./heal.ts";

/** What a clean-up did, for the log. */
export interface PruneReport {
  /** Staging paths. */
  readonly unmounted: readonly string[];
  /** NQNs. */
  readonly disconnected: readonly string[];
  /** What looks like a leftover and stays, each with its reason. */
  readonly left: readonly string[];
  /** The time was over, or something could not be found out. */
  readonly incomplete: boolean;
}

/**
 * Clears away leftovers of a crash, a reboot or a force-detach before the first call is served.
 *
 * The rule: only what the next stage of the volume would have to remove anyway, and only with proof that it is ours.
 *
 * - A mount at a staging path, if its device has vanished *and* kubelet's own record beside it names this driver and a
 *   volume of ours, whose SHA-256 the path carries.
 * - A connection under an NQN of ours (exactly, parseVolumeNqn; look-alikes are foreign) that has no device and whose
 *   controllers are all dead or being deleted.
 * - A connection of an earlier attachment (lower epoch) of a volume of which a later one is connected here, after the
 *   same proof as in unstage that nothing uses it.
 *
 * Everything else stays, as kubelet may still count on it: live connections without a mount (a block volume looks like
 * that, and so does a stage that was cut off), connections that are connecting or resetting, and dead mounts in pods,
 * which end with their pods. What is striking is named in the report.
 *
 * Never throws, and gives up after `deadlineMs`: a node that cannot clean up must serve all the same.
 */
export async function prune(node: NodeContext, deadlineMs: number): Promise<PruneReport> {
  const unmounted: string[] = [];
  const disconnected: string[] = [];
  const left: string[] = [];
  let incomplete = false;
  const stop = new AbortController();
  const { clock } = node.system;
  const attempt = async (what: string, work: () => Promise<void>): Promise<void> => {
    if (stop.signal.aborted) return;
    try {
      await work();
    } catch (error) {
      incomplete = true;
      node.logger.warn("a leftover could not be looked at or removed", { what, error });
    }
  };
  const work = async (): Promise<void> => {
    await attempt("mounts", () => pruneMounts(node, attempt, unmounted, left, stop.signal));
    await attempt("connections", () => pruneConnections(node, attempt, disconnected, left, stop.signal));
  };
  const done = new AbortController();
  const limit = clock.sleep(deadlineMs, done.signal).then(
    () => {
      incomplete = true;
      stop.abort(failure("deadlineExceeded", { what: "clearing leftovers", seconds: deadlineMs / 1000 }));
    },
    () => {},
  );
  await Promise.race([work(), limit]);
  done.abort();
  const report = { unmounted: [...unmounted], disconnected: [...disconnected], left: [...left], incomplete };
  const cleared = unmounted.length + disconnected.length > 0;
  const remain = left.length > 0 || incomplete;
  if (cleared || remain)
    node.logger[remain ? "warn" : "info"](cleared ? "leftovers cleared" : "leftovers remain", report);
  return report;
}

type Attempt = (what: string, work: () => Promise<void>) => Promise<void>;

async function pruneMounts(
  node: NodeContext,
  attempt: Attempt,
  unmounted: string[],
  left: string[],
  signal: AbortSignal,
): Promise<void> {
  const { driverName } = node;
  if (driverName === undefined) return;
  const mounts = await mountsOf(node);
  for (const path of new Set(mounts.map(({ mountPoint }) => mountPoint))) {
    await attempt(path, async () => {
      const top = mounts.findLast(({ mountPoint }) => mountPoint === path);
      if (top === undefined || !(await isDead(node, top))) return;
      const owner = await kubeletPathOf(path, driverName);
      if (owner === undefined) return;
      const volume = parseVolumeId(owner.handle);
      if (volume === undefined || owner.role !== "staging") {
        left.push(`${path}: its device has vanished; it ends with its pod (volume ${owner.handle})`);
        return;
      }
      await clearDeadStaging(node, volume, path, signal);
      unmounted.push(path);
    });
  }
}

async function pruneConnections(
  node: NodeContext,
  attempt: Attempt,
  disconnected: string[],
  left: string[],
  signal: AbortSignal,
): Promise<void> {
  const connections = await node.dataPath.list(signal);
  for (const connection of connections) {
    const { nqn, slot, epoch, state } = connection;
    const outdated = connections.some((other) => other.slot === slot && other.epoch > epoch);
    if (!outdated && !isBeyondReturn(connection)) continue;
    await attempt(nqn, async () => {
      try {
        await release(node, connection, undefined, signal);
        disconnected.push(nqn);
      } catch (error) {
        left.push(`${nqn} (${state}): ${error instanceof DriverError ? error.summary : String(error)}`);
        throw error;
      }
    });
  }
}
