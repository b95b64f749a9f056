import type { Input, VolumesConfig } from "../../config/load.ts";
import { systemClock } from "../../domain/clock.ts";
import { requireThisCluster } from "../../domain/cluster-id.ts";
import { failure } from "../../domain/errors/driver-error.ts";
import type { VolumeId } from "../../domain/volume-id.ts";
import { type Fact, ifKnown, isUnanswered, known, lookUp } from "../../inspect/fact.ts";
import { resolveName, type VolumeName } from "../../inspect/resolve.ts";
import type { Kubernetes } from "../../kubernetes/create.ts";
import type { Rds } from "../../rds/rds.ts";
import type { ForeignDisk, RdsVolume } from "../../rds/volume.ts";
import { decodeCopy, type RecordCopy, shardOf } from "../../records/copy.ts";
import { planRebuild, planRestore, requireReplaceable } from "../../records/plan.ts";
import type { PlanFacts } from "../../records/rebuild.ts";
import { ExitCode } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { recordsPrefix } from "../open-kubernetes.ts";
import { limitsOf, type Sides, withSides } from "./connect.ts";
import { planText, recordDocument, recordText } from "./record-text.ts";

export interface RecordOptions {
  readonly name: VolumeName;
  readonly output: "text" | "json";
  /** undefined: the record is only shown. */
  readonly action: "restore" | "rebuild" | undefined;
  /** Write what the plan says. */
  readonly yes: boolean;
  /** Also if the present record can be read. */
  readonly replaceReadable: boolean;
  /** Limit for everything, seconds. */
  readonly timeoutSeconds: number;
}

/**
 * `rds-csi volumes record`: shows the record of a volume, and puts it back from the kept copy or from the cluster. Writes only
 * with `yes`, only the comment, and only if it is still the one that was shown.
 */
export async function runVolumesRecord(input: Input, options: RecordOptions, io: Io): Promise<number> {
  const { timeoutSeconds } = options;
  return withSides(input, { timeoutSeconds, strict: true }, io, (sides) => {
    const limits = limitsOf(sides, timeoutSeconds, io.stop);
    return showOrReplace(sides, options, io, limits.forRds).finally(limits.clear);
  });
}

async function showOrReplace(
  sides: Sides,
  options: RecordOptions,
  io: Io,
  signal: AbortSignal,
): Promise<number> {
  const { config, rds, cluster } = sides;
  const { name, action, output } = options;
  const survey = await rds.survey(signal);
  const ask = <T>(of: (opened: Kubernetes) => Promise<T>): Promise<Fact<T>> | Fact<T> =>
    cluster.state === "known" ? lookUp(signal, async () => known(await of(cluster.value))) : cluster;
  const pvs = await ask(({ reader }) => reader.persistentVolumes(signal));
  const sources = { address: rds.address, survey: known(survey), pvs };
  // A record is only replaced for a volume that is named in full.
  const named = resolveName(name, sources, undefined, action !== undefined);
  // The survey answered, so that it was the cluster that did not.
  if (named.state === "unknown") throw named.error;
  const handle = named.value;
  const found = [...survey.volumes, ...survey.foreign].find(({ id }) => id === handle);
  if (found === undefined) return rds.conversions.absent(handle, signal);
  const copy = await ask((opened) => readCopy(opened, config, handle, signal));
  if (action === undefined) {
    const shown = { found, copy };
    const document = `${JSON.stringify(recordDocument(shown), undefined, 2)}\n`;
    io.out(
      output === "json" ? document : recordText(shown, cluster.state === "known" || isUnanswered(cluster)),
    );
    return isUnusable(found) ? ExitCode.problems : ExitCode.ok;
  }
  if (cluster.state !== "known") throw failure("recordKept", { volume: handle, reason: NEEDS_CLUSTER });
  if (copy.state === "unknown") throw copy.error;
  await requireThisCluster(config.clusterId, cluster.value, signal);
  const facts = await gatherFacts(sides, cluster.value, found, ifKnown(copy), signal);
  return act(facts, rds, found, options, io, signal);
}

const NEEDS_CLUSTER =
  "copies, PersistentVolumes and VolumeAttachments are in the cluster; run the command in the controller's pod, or with --orchestrator kubernetes";

async function act(
  facts: PlanFacts,
  rds: Rds,
  found: RdsVolume | ForeignDisk,
  { action, yes, replaceReadable }: RecordOptions,
  io: Io,
  signal: AbortSignal,
): Promise<number> {
  const { handle, disk } = facts;
  requireReplaceable(facts, replaceReadable);
  const plan = action === "restore" ? planRestore(facts) : planRebuild(facts);
  io.out(planText(found, plan));
  if (plan.comment === disk.comment) {
    io.out("The record is that already; nothing to do.\n");
    return ExitCode.ok;
  }
  if (!yes) {
    io.out("Nothing was changed. The same command with --yes writes the new comment.\n");
    return ExitCode.ok;
  }
  const { record } = plan;
  const result = await rds.write({ id: handle, record, disk }, record, "leave", signal);
  if (result.kind !== "written") {
    const reason =
      result.kind === "absent"
        ? "the disk item is gone"
        : "its comment is not the one any more that is shown above";
    throw failure("recordKept", { volume: handle, reason });
  }
  io.out("Written. The driver goes on with it at its next look, within a minute.\n");
  return ExitCode.ok;
}

/** @throws as ClusterInspector: what is not known is not left out, a record depends on it */
async function gatherFacts(
  { rds, config: { clusterId } }: Sides,
  { inspector, reader }: Kubernetes,
  { id: handle, disk }: RdsVolume | ForeignDisk,
  copy: RecordCopy | undefined,
  signal: AbortSignal,
): Promise<PlanFacts> {
  if (clusterId === undefined) throw failure("clusterIdUnknown", { reason: "nothing names it" });
  const pvs = (await reader.persistentVolumes(signal)).filter((pv) => pv.handle === handle);
  const names = new Set(pvs.map(({ name }) => name));
  const all = await reader.volumeAttachments(signal);
  const className = pvs[0]?.storageClass;
  const storageClass = className === undefined ? undefined : await inspector.storageClass(className, signal);
  return {
    handle,
    disk,
    clusterId,
    now: Math.floor(systemClock.now() / 1_000),
    copy,
    pvs,
    attachments: all.filter(({ pvName }) => pvName !== undefined && names.has(pvName)),
    storageClass,
    exportIsRight: (volume) => rds.exportIsRight(volume),
  };
}

/** The copy of a volume's record in the cluster. */
export async function readCopy(
  cluster: Kubernetes,
  { leaseNamespace, driverName }: VolumesConfig,
  handle: VolumeId,
  signal: AbortSignal,
): Promise<RecordCopy | undefined> {
  const shard = shardOf(handle);
  const namespace = leaseNamespace ?? cluster.namespace ?? "default";
  if (shard === undefined) return undefined;
  const stored = await cluster.shards(namespace, recordsPrefix(driverName)).read(shard, signal);
  return decodeCopy(stored?.data[handle] ?? "");
}

/** Whether the item may be a volume of ours whose record is lost. */
export function isUnusable(found: RdsVolume | ForeignDisk): boolean {
  return "cause" in found && found.cause !== "other-cluster";
}
