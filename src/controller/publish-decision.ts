import type { Clock } from "../domain/clock.ts";
import { failure } from "../domain/errors/driver-error.ts";
import type { VolumeRecord } from "../domain/record/volume-record.ts";
import { isPopulatorClaim } from "../kubernetes/names.ts";
import type { Decision, Evidence, PublishRequest } from "../migration/decision.ts";
import { decidePublish } from "../migration/publish.ts";
import { withRevision } from "../migration/revision.ts";
import type { Logger } from "../observability/log.ts";
import { unfinished } from "../rds/copy.ts";
import type { Rds } from "../rds/rds.ts";
import type { RdsVolume } from "../rds/volume.ts";
import type { EvidenceSource } from "./evidence.ts";
import { limitAtStart } from "./migration-limit.ts";
import type { FinalDecision } from "./record-change.ts";

/** Where evidence comes from, and the limit of volumes per node. */
export interface PublishSources {
  readonly rds: Pick<Rds, "hasVolumes">;
  readonly evidence: EvidenceSource;
  readonly logger: Logger;
  readonly clock: Pick<Clock, "now">;
  /** Most volumes that one node may have; 0 means no limit and saves the count. */
  readonly maxVolumesPerNode: number;
}

/**
 * Decides whether a node gets a volume: asks the state machine, and answers its questions until it has decided. The limit of volumes
 * per node costs one RouterOS command.
 * @throws nodeLimitReached (RESOURCE_EXHAUSTED), and the errors of the evidence
 */
export async function decideWithEvidence(
  sources: PublishSources,
  volume: RdsVolume,
  request: PublishRequest,
  signal: AbortSignal,
): Promise<FinalDecision> {
  if (volume.disk.size === undefined)
    return { kind: "refuse", error: failure("volumeNotReady", { volume: volume.id }) };
  const error = unfinished(volume);
  if (error !== undefined) return { kind: "refuse", error };
  let evidence: Evidence = {};
  for (;;) {
    const decision = decidePublish(volume.record, request, secondsNow(sources), evidence);
    if (decision.kind === "refuse") return decision;
    if (decision.kind === "accept") {
      if (decision.record !== volume.record) await requireRoom(sources, request.node, signal);
      const settled = withRevision(volume.record, decision);
      return { ...settled, record: await withPresentClaim(sources, volume, settled.record, signal) };
    }
    evidence = { ...evidence, ...(await gather(sources, decision, volume, request.node, signal)) };
  }
}

/** After an import of CDI the PersistentVolume is bound to another claim than the one that the volume was made for. */
async function withPresentClaim(
  { evidence }: PublishSources,
  volume: RdsVolume,
  record: VolumeRecord,
  signal: AbortSignal,
): Promise<VolumeRecord> {
  if (!isPopulatorClaim(record.claim?.name ?? "")) return record;
  const { namespace, name } = (await evidence.presentClaim?.(volume, signal)) ?? {};
  return namespace === undefined || name === undefined ? record : { ...record, claim: { namespace, name } };
}

/** Answers a question of the state machine. */
async function gather(
  sources: PublishSources,
  { question, holder }: Extract<Decision, { kind: "ask" }>,
  volume: RdsVolume,
  requester: string,
  signal: AbortSignal,
): Promise<Evidence> {
  const { evidence, logger } = sources;
  switch (question) {
    case "holderGone":
      return { holderGone: await evidence.holderGone(volume, holder, signal) };
    case "singleUser":
      return { singleUser: await evidence.singleUser(volume, { holder, requester }, signal) };
    case "allowedSeconds": {
      const window = { target: requester, since: secondsNow(sources) };
      return { allowedSeconds: await limitAtStart(evidence, volume, window, logger, signal) };
    }
  }
}

function secondsNow({ clock }: PublishSources): number {
  return Math.floor(clock.now() / 1_000);
}

async function requireRoom(
  { rds, maxVolumesPerNode: limit }: PublishSources,
  node: string,
  signal: AbortSignal,
): Promise<void> {
  if (limit === 0) return;
  if (await rds.hasVolumes(node, limit, signal)) throw failure("nodeLimitReached", { node, limit });
}
