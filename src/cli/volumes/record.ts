import { type Input, loadVolumesConfig, type VolumesConfig } from "../../config/load.ts";
import { systemClock } from "../../domain/clock.ts";
import { failure } from "../../domain/errors/driver-error.ts";
import type { VolumeId } from "../../domain/volume-id.ts";
import { known, unknown } from "../../inspect/fact.ts";
import { listPersistentVolumes } from "../../inspect/gather-cluster.ts";
import { lookUp } from "../../inspect/look-up.ts";
import { resolveName, type VolumeName } from "../../inspect/resolve.ts";
import type { Kubernetes } from "../../kubernetes/create.ts";
import type { Rds } from "../../rds/rds.ts";
import type { ForeignDisk, RdsVolume } from "../../rds/volume.ts";
import { decodeCopy, type RecordCopy, shardOf } from "../../records/copy.ts";
import { type PlanFacts, planRebuild, planRestore, requireReplaceable } from "../../records/plan.ts";
import { limitOf } from "../../routeros/transport/limit.ts";
import { ExitCode } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { loggerFor } from "../logging.ts";
import { recordsPrefix } from "../open-kubernetes.ts";
import { openCluster, openRds, within, withKnownCluster } from "./connect.ts";
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
  const loaded = await loadVolumesConfig(input);
  const logger = loggerFor(loaded, "volumes");
  const { timeoutSeconds } = options;
  const config = await withKnownCluster(loaded, logger, within(timeoutSeconds, io.stop));
  const { rds, transport } = openRds(config, logger, timeoutSeconds);
  const limit = limitOf(transport, timeoutSeconds, io.stop);
  const { signal } = limit;
  const cluster = await openCluster(config, logger);
  try {
    const survey = await rds.survey(signal);
    const pvs = await listPersistentVolumes(cluster, "--orchestrator is none", signal);
    const handle = resolveName(options.name, { address: rds.address, survey: known(survey), pvs });
    const found = [...survey.volumes, ...survey.foreign].find(({ id }) => id === handle);
    if (found === undefined) throw failure("volumeNotFound", { volume: handle });
    const copy =
      cluster === undefined
        ? unknown("--orchestrator is none")
        : await lookUp(signal, async () => known(await readCopy(cluster, config, handle, signal)));
    if (options.action === undefined) {
      const shown = { found, copy };
      io.out(
        options.output === "json"
          ? `${JSON.stringify(recordDocument(shown), undefined, 2)}\n`
          : recordText(shown),
      );
      return isUnusable(found) ? ExitCode.problems : ExitCode.ok;
    }
    if (cluster === undefined) throw failure("recordKept", { volume: handle, reason: NEEDS_CLUSTER });
    const kept = await readCopy(cluster, config, handle, signal);
    const facts = await gatherFacts({ rds, cluster, config, found, copy: kept }, signal);
    return await act(facts, rds, found, options, io, signal);
  } finally {
    limit.clear();
    await Promise.all([transport.close(), cluster?.close(0)]);
  }
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

interface Sources {
  readonly rds: Rds;
  readonly cluster: Kubernetes;
  readonly config: VolumesConfig & { readonly clusterId: string };
  readonly found: RdsVolume | ForeignDisk;
  readonly copy: RecordCopy | undefined;
}

/** @throws as ClusterInspector: what is not known is not left out, a record depends on it */
async function gatherFacts(
  { rds, cluster, config, found, copy }: Sources,
  signal: AbortSignal,
): Promise<PlanFacts> {
  const { inspector } = cluster;
  const pvs = (await inspector.persistentVolumes(signal)).filter(({ handle }) => handle === found.id);
  const names = new Set(pvs.map(({ name }) => name));
  const all = await inspector.volumeAttachments(signal);
  const className = pvs[0]?.storageClass;
  const storageClass = className === undefined ? undefined : await inspector.storageClass(className, signal);
  return {
    handle: found.id,
    disk: found.disk,
    clusterId: config.clusterId,
    now: Math.floor(systemClock.now() / 1_000),
    copy,
    pvs,
    attachments: all.filter(({ pvName }) => pvName !== undefined && names.has(pvName)),
    storageClass,
    exportIsRight: (volume) => rds.exportIsRight(volume),
  };
}

async function readCopy(
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
