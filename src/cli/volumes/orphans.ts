import type { Input } from "../../config/load.ts";
import { keptBecause, removeOrphan } from "../../controller/remove-orphan.ts";
import { type Clock, systemClock } from "../../domain/clock.ts";
import { requireThisCluster } from "../../domain/cluster-id.ts";
import { failure } from "../../domain/errors/driver-error.ts";
import { decodeRecord } from "../../domain/record/record-codec.ts";
import { known, lookUp, valueOr } from "../../inspect/fact.ts";
import { findOrphans } from "../../inspect/find-orphans.ts";
import type { Orphan, OrphanKind } from "../../inspect/orphan.ts";
import type { Kubernetes } from "../../kubernetes/create.ts";
import { decodeShard, SHARDS } from "../../records/copy.ts";
import { ExitCode } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { recordsPrefix } from "../open-kubernetes.ts";
import { type Limits, limitsOf, type Sides, withSides } from "./connect.ts";
import { deletionPlan, type PlannedOrphan } from "./orphans-plan.ts";
import { type OrphanFormat, orphansDocument, orphansText } from "./orphans-text.ts";

export interface OrphansOptions {
  readonly output: OrphanFormat;
  /** Empty: every kind. */
  readonly kinds: readonly OrphanKind[];
  /** Only those that are known to be older; undefined: of every age. */
  readonly olderThanSeconds: number | undefined;
  /** undefined: they are only listed. No names: all of which the record proves whose they are. */
  readonly deletion: { readonly names: readonly string[]; readonly yes: boolean } | undefined;
  /** Limit for the list, and for each deletion, seconds. */
  readonly timeoutSeconds: number;
}

/**
 * `rds-csi volumes orphans`: reads both sides; deletes the orphans of its plan with `yes` only.
 * @throws orphansNeedCluster, orphansOtherCluster, orphanUnknown; orphansKept (FAILED_PRECONDITION) once the rest is done; the failures of both sides
 */
export async function runVolumesOrphans(
  input: Input,
  options: OrphansOptions,
  io: Io,
  clock: Clock = systemClock,
): Promise<number> {
  const { timeoutSeconds } = options;
  return withSides(input, { timeoutSeconds, strict: true }, io, async (sides) => {
    const { cluster } = sides;
    if (cluster.state !== "known") {
      const reason = cluster.state === "unknown" ? cluster.reason : "there is none";
      throw failure("orphansNeedCluster", { reason });
    }
    return listOrDelete(sides, cluster.value, options, io, clock);
  });
}

async function listOrDelete(
  sides: Sides,
  cluster: Kubernetes,
  options: OrphansOptions,
  io: Io,
  clock: Clock,
): Promise<number> {
  const { kinds, olderThanSeconds = Number.NEGATIVE_INFINITY, deletion, output, timeoutSeconds } = options;
  const within = async <T>(work: (limits: Limits) => Promise<T>): Promise<T> => {
    const limits = limitsOf(sides, timeoutSeconds, io.stop);
    return work(limits).finally(limits.clear);
  };
  const now = clock.now();
  const all = await within(async (limits) => {
    await requireThisCluster(sides.config.clusterId, cluster, limits.forCluster);
    return look(sides, cluster, limits, clock);
  });
  const isOld = ({ since }: Orphan): boolean =>
    olderThanSeconds === Number.NEGATIVE_INFINITY ||
    (since !== undefined && now / 1_000 - since > olderThanSeconds);
  const chosen = all.filter((each) => (kinds.length === 0 || kinds.includes(each.kind)) && isOld(each));
  const plan = deletion && deletionPlan(chosen, deletion.names);
  const shown: readonly PlannedOrphan[] = plan ?? chosen.map((orphan) => ({ orphan }));
  const isText = output === "table" || output === "wide";
  const screen = { now, width: io.columns, colour: io.colour, wide: output === "wide" };
  if (isText) io.out(orphansText(shown, { ...screen, total: all.length, deletion }));
  const kept: string[] = [];
  const outcomes = new Map<Orphan, string>();
  for (const { orphan, action } of deletion?.yes === true ? shown : []) {
    if (action !== "delete") {
      // Somebody has asked for it by name.
      if (deletion?.names.includes(orphan.name)) kept.push(`${orphan.name}: ${orphan.why}`);
      continue;
    }
    const outcome = await within((limits) => deleteOne(sides, cluster, orphan, limits, clock));
    outcomes.set(orphan, outcome);
    if (outcome !== DELETED) kept.push(`${orphan.name}: ${outcome}`);
    if (isText)
      io.out(`${orphan.kind} ${orphan.name}: ${outcome === DELETED ? outcome : `kept: ${outcome}`}\n`);
    io.stop.throwIfAborted();
  }
  if (!isText) io.out(orphansDocument(shown, output, { total: all.length, deletion, outcomes }));
  if (kept.length > 0) throw failure("orphansKept", { kept });
  return ExitCode.ok;
}

const DELETED = "deleted";

/** @returns `deleted`, or why not */
async function deleteOne(
  sides: Sides,
  cluster: Kubernetes,
  orphan: Orphan,
  limits: Limits,
  clock: Clock,
): Promise<string> {
  const { rds, config } = sides;
  const removal = {
    ...{ rds, clock, names: cluster.names, layout: layoutOf(config) },
    ...{ forRds: limits.forRds, forCluster: limits.forCluster },
    look: () => look(sides, cluster, limits, clock),
  };
  try {
    await removeOrphan(removal, orphan);
    return DELETED;
  } catch (error) {
    return keptBecause(error);
  }
}

async function look(
  { rds, config }: Sides,
  cluster: Kubernetes,
  { forRds, forCluster }: Limits,
  clock: Clock,
): Promise<readonly Orphan[]> {
  const { clusterId } = config;
  if (clusterId === undefined) throw failure("clusterIdUnknown", { reason: "nothing names it" });
  return findOrphans({
    ...{ rds, clusterId, layout: layoutOf(config), names: cluster.names, reader: cluster.reader, clock },
    kept: (signal) => keptRecords(cluster, { ...config, clusterId }, signal),
    ...{ forRds, forCluster },
  });
}

const layoutOf = ({ pool, directory }: Sides["config"]) => ({ pool, directory });

/** The handles of the records of which the controller has kept copies. A shard that cannot be read proves nothing. */
async function keptRecords(
  cluster: Kubernetes,
  { leaseNamespace, driverName, clusterId }: Sides["config"],
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const namespace = leaseNamespace ?? cluster.namespace ?? "default";
  const store = cluster.shards(namespace, recordsPrefix(driverName));
  const shards = await Promise.all(
    SHARDS.map((shard) => lookUp(signal, async () => known(await store.read(shard, signal)))),
  );
  const copies = shards.flatMap((shard) => [...decodeShard(valueOr(shard, undefined)?.data ?? {})]);
  const ours = copies.filter(([, { comment }]) => {
    const decoded = decodeRecord(comment);
    return decoded.kind === "record" && decoded.record.cluster === clusterId;
  });
  return new Set(ours.map(([handle]) => handle));
}
