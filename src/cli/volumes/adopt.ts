import { isDeepStrictEqual } from "node:util";
import type { Input } from "../../config/load.ts";
import { requireThisCluster } from "../../domain/cluster-id.ts";
import { failure, isFailure, toDriverError } from "../../domain/errors/driver-error.ts";
import { printable } from "../../domain/printable.ts";
import { counted } from "../../domain/sentence.ts";
import { isOfEarlierDriver } from "../../domain/volume-id.ts";
import { known } from "../../inspect/fact.ts";
import { resolveName, shownName, type VolumeName } from "../../inspect/resolve.ts";
import type { PersistentVolumeView } from "../../kubernetes/port.ts";
import type { Rds } from "../../rds/rds.ts";
import type { Survey } from "../../rds/survey.ts";
import type { ForeignDisk } from "../../rds/volume.ts";
import { type AdoptionPlan, planAdoption } from "../../records/adopt.ts";
import { ExitCode } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { type AdoptionSources, adoptionFacts, recent, requireClusterId } from "./adopt-facts.ts";
import { adoptionText } from "./adopt-text.ts";
import { limitsOf, type Sides, withSides } from "./connect.ts";

export interface AdoptOptions {
  /** undefined: all volumes of the earlier driver that a PersistentVolume of this cluster names. */
  readonly name: VolumeName | undefined;
  /** Write what the plan says. */
  readonly yes: boolean;
  /** Limit for everything, seconds. */
  readonly timeoutSeconds: number;
}

/** A volume with its plan. */
interface Planned {
  readonly found: ForeignDisk;
  readonly plan: AdoptionPlan;
}

/**
 * `rds-csi volumes adopt`: the first records of volumes that the earlier Go driver made. Changes something only with `yes`, and a volume only
 * while disk item, VolumeAttachments and pods still give the plan that was shown. May be interrupted and repeated.
 * @returns problems when a volume of this cluster is left out
 * @throws adoptionRefused, recordKept (FAILED_PRECONDITION) for a volume that is named; orphansOtherCluster
 */
export async function runVolumesAdopt(input: Input, options: AdoptOptions, io: Io): Promise<number> {
  const { timeoutSeconds } = options;
  return withSides(input, { timeoutSeconds, strict: true }, io, (sides) => {
    const limits = limitsOf(sides, timeoutSeconds, io.stop);
    return adopt(sides, options, io, limits.forRds).finally(limits.clear);
  });
}

const NEEDS_CLUSTER =
  "PersistentVolumes, VolumeAttachments and pods are in the cluster; run the command in the controller's pod, or with --orchestrator kubernetes";

async function adopt(
  { config, rds, cluster }: Sides,
  { name, yes }: AdoptOptions,
  io: Io,
  signal: AbortSignal,
): Promise<number> {
  if (cluster.state !== "known") {
    const volume = name === undefined ? {} : { volume: shownName(name) };
    throw failure("adoptionRefused", { ...volume, reason: NEEDS_CLUSTER });
  }
  await requireThisCluster(config.clusterId, cluster.value, signal);
  const survey = await rds.survey(signal);
  const { reader } = cluster.value;
  const sources: AdoptionSources = {
    config: { ...config, clusterId: requireClusterId(config.clusterId) },
    cluster: cluster.value,
    rds,
    pvs: recent((limit) => reader.persistentVolumes(limit)),
    attachments: recent((limit) => reader.volumeAttachments(limit)),
  };
  const pvs = await sources.pvs(signal);
  const snapshots = await rds.earlier.snapshots(signal);
  const one = name === undefined ? undefined : await named(rds, survey, pvs, name, signal);
  if (one === "adopted") {
    io.out("The volume has its record already; nothing to do.\n");
    return ExitCode.ok;
  }
  const candidates = one === undefined ? survey.foreign.filter(isCandidate) : [one];
  const planned: Planned[] = [];
  let left = 0;
  for (const found of candidates) {
    try {
      const plan = planAdoption(await adoptionFacts(sources, found, signal));
      planned.push({ found, plan });
      const pv = pvs.find(({ handle, phase }) => handle === found.id && phase === "Bound");
      io.out(adoptionText(found, pv ?? pvs.find(({ handle }) => handle === found.id), plan));
    } catch (error) {
      if (one !== undefined || !isRefusal(error)) throw error;
      const isOurs = pvs.some(({ handle }) => handle === found.id);
      if (isOurs) left += 1;
      io.out(
        isOurs
          ? `Volume ${found.id} is left alone\n- ${printable(toDriverError(error).summary)}.\n`
          : `Volume ${found.id} is left alone\n- No PersistentVolume of this cluster names it: it may be another cluster's.\n`,
      );
    }
  }
  io.out(summary(survey, snapshots, planned.length, candidates.length - planned.length));
  if (planned.length > 0 && !yes)
    io.out("Nothing was changed. The same command with --yes carries the plan out.\n");
  if (yes) left += await carryOut(rds, sources, planned, io, signal);
  return left > 0 ? ExitCode.problems : ExitCode.ok;
}

/** Volumes of the earlier driver without a usable record; those of other clusters have one that says so. */
function isCandidate({ id, cause }: ForeignDisk): boolean {
  return isOfEarlierDriver(id) && cause !== "other-cluster";
}

async function named(
  rds: Rds,
  survey: Survey,
  pvs: readonly PersistentVolumeView[],
  name: VolumeName,
  signal: AbortSignal,
): Promise<ForeignDisk | "adopted"> {
  const resolved = resolveName(
    name,
    { address: rds.address, survey: known(survey), pvs: known(pvs) },
    undefined,
    true,
  );
  if (resolved.state === "unknown") throw resolved.error;
  const id = resolved.value;
  const found = survey.foreign.find((each) => each.id === id);
  if (found !== undefined) return found;
  return survey.volumes.some((each) => each.id === id) ? "adopted" : rds.conversions.absent(id, signal);
}

/** @returns how many were not written */
async function carryOut(
  rds: Rds,
  sources: AdoptionSources,
  planned: readonly Planned[],
  io: Io,
  signal: AbortSignal,
): Promise<number> {
  let failed = 0;
  for (const { found, plan } of planned) {
    try {
      await write(rds, sources, found, plan, signal);
      io.out(`Volume ${found.id} is adopted.\n`);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      failed += 1;
      io.out(`Volume ${found.id} is not adopted\n- ${printable(toDriverError(error).summary)}.\n`);
    }
  }
  return failed;
}

/** Looks at both sides once more, and writes what was shown. */
async function write(
  rds: Rds,
  sources: AdoptionSources,
  { id, disk: shown }: ForeignDisk,
  plan: AdoptionPlan,
  signal: AbortSignal,
): Promise<void> {
  const refuse = (reason: string): never => {
    throw failure("adoptionRefused", { volume: id, reason });
  };
  const now = await rds.find(id, signal);
  if (now?.kind !== "foreign") return refuse("its disk item was changed since the plan was shown");
  const { disk } = now.foreign;
  const again = planAdoption(await adoptionFacts(sources, now.foreign, signal));
  if (disk.comment !== shown.comment || !isSamePlan(plan, again))
    refuse("it was attached, detached or changed since the plan was shown; repeat the command");
  const { record } = again;
  const result = await rds.write({ id, record, disk }, record, "adopt", signal, "change");
  if (result.kind !== "written") refuse("its disk item was changed meanwhile; repeat the command");
}

/** Whether two plans of a volume differ in their times only. */
function isSamePlan(a: AdoptionPlan, b: AdoptionPlan): boolean {
  const timeless = ({ record, switchesOff }: AdoptionPlan) => ({
    ...record,
    switchesOff,
    createdAt: 0,
    epoch: 0,
    attachments: record.attachments.map((each) => ({ ...each, since: 0 })),
    migration: record.migration && { ...record.migration, since: 0 },
  });
  return isDeepStrictEqual(timeless(a), timeless(b));
}

function isRefusal(error: unknown): boolean {
  return ["adoptionRefused", "recordKept", "recordTooLarge", "notVerified"].some((id) =>
    isFailure(error, id as "adoptionRefused"),
  );
}

function summary(survey: Survey, snapshots: number, planned: number, left: number): string {
  const adopted = survey.volumes.filter(({ id }) => isOfEarlierDriver(id)).length;
  const parts = [
    `${counted(planned, "volume", "volumes")} to adopt`,
    `${left} left alone`,
    `${adopted} adopted before`,
    ...(snapshots > 0
      ? [
          `${counted(snapshots, "snapshot", "snapshots")} of the earlier driver, which no driver uses any more`,
        ]
      : []),
  ];
  return `${parts.join("; ")}.\n`;
}
