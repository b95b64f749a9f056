import { DriverError } from "../../domain/errors/driver-error.ts";
import { parseVolumeId } from "../../domain/volume-id.ts";
import { withDeadline } from "../../kubernetes/deadline.ts";
import { mountsAt } from "../../mount/mountinfo.ts";
import { mountsOf, type NodeContext } from "../context.ts";
import { kubeletPathOf } from "../kubelet-paths.ts";
import { release } from "../verbs/release.ts";
import { isDead } from "./dead.ts";
import { clearDeadStaging, isBeyondReturn } from "./heal.ts";

/** The result of a clean-up, for the log. */
export interface PruneReport {
  /** Staging paths. */
  readonly unmounted: readonly string[];
  /** NQNs. */
  readonly disconnected: readonly string[];
  /** Each mount and connection that looks like a leftover and stays, with the reason. */
  readonly left: readonly string[];
  /** The time was over, or a state could not be read. */
  readonly incomplete: boolean;
}

/**
 * Clears away leftovers of a crash, a reboot or a force-detach before the first call is served.
 *
 * The rule: only leftovers that the next stage of the volume would have to remove, and only with proof that they are ours.
 *
 * - A mount at a staging path, if its device has vanished *and* kubelet's own record beside it names this driver and a
 *   volume of ours, whose SHA-256 the path carries.
 * - A connection under an NQN of ours (exactly, parseVolumeNqn; look-alikes are foreign) that has no device and whose
 *   controllers are all dead or being deleted.
 * - A connection of an earlier attachment (lower epoch) of a volume of which a later one is connected here, after the
 *   same proof as in unstage that nothing uses it.
 *
 * Everything else stays, as kubelet may still count on it: live connections without a mount (those of a block volume, or of
 * a stage that was cut off), connections that are connecting or resetting, and dead mounts in pods, which end with their pods.
 *
 * Never throws, and gives up after `deadlineMs`: a node that cannot clean up must serve all the same.
 */
export async function prune(node: NodeContext, deadlineMs: number): Promise<PruneReport> {
  const report = {
    unmounted: [] as string[],
    disconnected: [] as string[],
    left: [] as string[],
    incomplete: false,
  };
  const attempt = async (what: string, signal: AbortSignal, work: () => Promise<void>): Promise<void> => {
    if (signal.aborted) return;
    try {
      await work();
    } catch (error) {
      report.incomplete = true;
      node.logger.warn("a leftover could not be looked at or removed", { what, error });
    }
  };
  const work = async (signal: AbortSignal): Promise<void> => {
    await attempt("mounts", signal, () => pruneMounts(node, attempt, report, signal));
    await attempt("connections", signal, () => pruneConnections(node, attempt, report, signal));
  };
  // An error is the end of the time: `work` throws none.
  await withDeadline(node.system.clock, deadlineMs, undefined, work).catch(() => {
    report.incomplete = true;
  });
  const { unmounted, disconnected, left, incomplete } = report;
  const result = { unmounted: [...unmounted], disconnected: [...disconnected], left: [...left], incomplete };
  const level = left.length > 0 || incomplete ? "warn" : "info";
  const cleared = unmounted.length + disconnected.length > 0;
  if (cleared || level === "warn")
    node.logger[level](cleared ? "leftovers cleared" : "leftovers remain", result);
  return result;
}

type Attempt = (what: string, signal: AbortSignal, work: () => Promise<void>) => Promise<void>;
type Report = { readonly [list in "unmounted" | "disconnected" | "left"]: string[] };

async function pruneMounts(
  node: NodeContext,
  attempt: Attempt,
  { unmounted, left }: Report,
  signal: AbortSignal,
): Promise<void> {
  const { driverName } = node;
  if (driverName === undefined) return;
  const mounts = await mountsOf(node);
  for (const path of new Set(mounts.map(({ mountPoint }) => mountPoint))) {
    await attempt(path, signal, async () => {
      const top = mountsAt(mounts, path).at(-1);
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
  { disconnected, left }: Report,
  signal: AbortSignal,
): Promise<void> {
  const connections = await node.dataPath.list(signal);
  for (const connection of connections) {
    const { nqn, slot, epoch, state } = connection;
    const outdated = connections.some((other) => other.slot === slot && other.epoch > epoch);
    if (!outdated && !isBeyondReturn(connection)) continue;
    await attempt(nqn, signal, async () => {
      try {
        await release(node, connection, undefined, signal);
        disconnected.push(nqn);
      } catch (error) {
        left.push(`${nqn} (${state}): ${textOf(error)}`);
        throw error;
      }
    });
  }
}

function textOf(error: unknown): string {
  return error instanceof DriverError ? error.summary : String(error);
}
