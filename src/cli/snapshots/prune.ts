import { hostname } from "node:os";
import { type Input, loadPruneConfig } from "../../config/load.ts";
import { systemClock } from "../../domain/clock.ts";
import { failure } from "../../domain/errors/driver-error.ts";
import { printable } from "../../domain/printable.ts";
import type { SnapshotObjects, VolumeSnapshotView } from "../../kubernetes/volume-snapshots.ts";
import { loggerFor } from "../../observability/logger.ts";
import { limitOf } from "../../routeros/transport/limit.ts";
import { ExitCode } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { jsonText } from "../machine-text.ts";
import { openKubernetes } from "../open-kubernetes.ts";
import { isoTime, shortAge, tableLines } from "../volumes/text.ts";
import { clocksApart, isChosen, type Pruned, type PruneRules, prunePlan } from "./prune-plan.ts";

export interface PruneOptions extends PruneRules {
  /** Default: that of the service account, or of the kubeconfig's context. */
  readonly namespace: string | undefined;
  /** Of labels. */
  readonly selector: string | undefined;
  readonly output: "table" | "json";
  /** Delete the VolumeSnapshots of the plan. */
  readonly yes: boolean;
  /** Limit for everything, seconds. */
  readonly timeoutSeconds: number;
}

/**
 * `rds-csi snapshots prune`: the retention of scheduled snapshots. It deletes VolumeSnapshots of one namespace, only with `yes`, and asks
 * Kubernetes alone: what a deletion means on the RDS is up to external-snapshotter and the class.
 * @throws pruneNeedsCluster, snapshotsNotServed, pruneClocksDiffer once the rest is done (FAILED_PRECONDITION); the kubernetes* errors
 */
export async function runSnapshotsPrune(input: Input, options: PruneOptions, io: Io): Promise<number> {
  const config = await loadPruneConfig(input);
  if (config.orchestrator === "none")
    throw failure("pruneNeedsCluster", { reason: "--orchestrator is none" });
  const cluster = await openKubernetes(config, {
    instance: hostname(),
    logger: loggerFor(config, "snapshots"),
  });
  const { timeoutSeconds: seconds, output } = options;
  const reason = `no answer within ${seconds} s`;
  const late = failure("kubernetesUnavailable", { verb: "read", resource: "VolumeSnapshots", reason });
  const limit = limitOf({ whyNoAnswer: () => late }, seconds, io.stop);
  try {
    const namespace = options.namespace ?? cluster.namespace ?? "default";
    const now = systemClock.now();
    const plan = await planOf(cluster.snapshots, namespace, options, now, limit.signal);
    const shown = output === "json" ? jsonResult(namespace, options.yes, io) : textResult(namespace, now, io);
    shown.plan(plan);
    for (const each of plan.filter(({ action }) => options.yes && action === "delete").toReversed())
      shown.done(each, await cluster.snapshots.delete(each.snapshot, limit.signal));
    shown.end(plan, options.yes);
    refuseDoubts(plan);
    return ExitCode.ok;
  } finally {
    limit.clear();
    await cluster.close(0);
  }
}

/** The plan, in which only snapshots of this driver are deleted. */
async function planOf(
  objects: SnapshotObjects,
  namespace: string,
  { selector, ...rules }: PruneOptions,
  now: number,
  signal: AbortSignal,
): Promise<Pruned[]> {
  const found = await objects.inNamespace(namespace, selector, signal);
  if (found === undefined) throw failure("snapshotsNotServed", {});
  // Each content is a request of its own.
  const chosen = found.filter((each) => isChosen(each, rules));
  const known = await Promise.all(
    chosen.map(async (each) => ({ ...each, problem: await problemOf(each, objects, signal) })),
  );
  return prunePlan(known, rules, now);
}

/** Why a ready snapshot is no backup of this driver, so that it neither counts nor goes; undefined: it is one, or is not ready. */
async function problemOf(
  { ready, content }: VolumeSnapshotView,
  objects: SnapshotObjects,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (!ready) return undefined;
  const isOurs = content === undefined ? undefined : await objects.isOurContent(content, signal);
  if (isOurs === undefined) return "its VolumeSnapshotContent, which names the driver, is gone";
  return isOurs ? undefined : "it is of another driver";
}

/** @throws pruneClocksDiffer */
function refuseDoubts(plan: readonly Pruned[]): void {
  const apart = clocksApart(plan);
  if (apart.length === 0) return;
  const kept = plan.filter(({ inDoubt }) => inDoubt).map(({ snapshot }) => nameOf(snapshot));
  const times = apart.map((each) => {
    const [created, cut] = [each.createdAt, each.cutAt].map((ms) => isoTime(ms / 1_000));
    return `${nameOf(each)} (created ${created} by Kubernetes, cut ${cut} by the RDS)`;
  });
  throw failure("pruneClocksDiffer", { kept, apart: times });
}

type Deletion = Awaited<ReturnType<SnapshotObjects["delete"]>>;

/** How a run is shown. */
interface Result {
  plan(plan: readonly Pruned[]): void;
  done(pruned: Pruned, how: Deletion): void;
  end(plan: readonly Pruned[], yes: boolean): void;
}

const DONE: Readonly<Record<Deletion, string>> = {
  deleted: "deleted",
  absent: "was gone already",
  replaced: "was made anew meanwhile, and is kept",
};

function textResult(namespace: string, now: number, io: Io): Result {
  return {
    plan: (plan) => {
      const listed = plan.filter(({ action, isOdd }) => action === "delete" || isOdd);
      const age = ({ snapshot: { createdAt } }: Pruned): string =>
        createdAt === undefined ? "-" : shortAge((now - createdAt) / 1_000);
      const column = (title: string, cell: (each: Pruned) => string) => ({
        title,
        cells: listed.map((each) => printable(cell(each))),
      });
      const columns = [
        column("PLAN", ({ action }) => action),
        column("VOLUMESNAPSHOT", ({ snapshot }) => snapshot.name),
        column("CLAIM", ({ snapshot }) => snapshot.claim ?? "-"),
        column("AGE", age),
        column("REASON", ({ why }) => why),
      ];
      const count = plan.filter(({ action }) => action === "delete").length;
      const of = (amount: number, noun: string): string => `${amount} ${noun}${amount === 1 ? "" : "s"}`;
      const claims = of(new Set(plan.map(({ snapshot }) => snapshot.claim)).size, "claim");
      const table = listed.length === 0 ? [] : [...tableLines(columns, undefined), ""];
      const sum = `${of(plan.length, "VolumeSnapshot")} of ${claims} in namespace ${namespace}: ${count} to delete, ${plan.length - count} to keep.`;
      io.out([...table, printable(sum), ""].join("\n"));
    },
    done: ({ snapshot }, how) => io.out(printable(`${nameOf(snapshot)}: ${DONE[how]}`).concat("\n")),
    end: (plan, yes) => {
      if (!yes && plan.some(({ action }) => action === "delete"))
        io.out("Nothing was changed. The same command with --yes deletes them.\n");
    },
  };
}

function jsonResult(namespace: string, yes: boolean, io: Io): Result {
  const done = new Map<Pruned, Deletion>();
  return {
    plan: () => {},
    done: (pruned, how) => void done.set(pruned, how),
    end: (plan) => {
      const items = plan.map((pruned) => {
        const { snapshot, action, why } = pruned;
        const { name, claim } = snapshot;
        const [createdAt, cutAt] = [snapshot.createdAt, snapshot.cutAt].map((ms) =>
          ms === undefined ? null : isoTime(ms / 1_000),
        );
        return { name, claim, createdAt, cutAt, action, why, outcome: done.get(pruned) ?? null };
      });
      const head = { apiVersion: "rds-csi/v1", kind: "SnapshotPrune", namespace, carriedOut: yes };
      io.out(`${jsonText({ ...head, items }, 2)}\n`);
    },
  };
}

function nameOf({ namespace, name }: VolumeSnapshotView): string {
  return `${namespace}/${name}`;
}
