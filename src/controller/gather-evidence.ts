import type { Clock } from "../domain/clock.ts";
import type { Decision, Evidence } from "../migration/decision.ts";
import type { Logger } from "../observability/log.ts";
import type { RdsVolume } from "../rds/volume.ts";
import type { EvidenceSource } from "./evidence.ts";
import { limitAtStart } from "./migration-limit.ts";

/** What a question of the attachment state machine is about. */
export interface EvidenceSubject {
  readonly volume: RdsVolume;
  /** The node that asks for the volume. */
  readonly requester: string;
  readonly signal: AbortSignal;
}

/** Finds out what the state machine asks for. Throws when it cannot be found out. */
export async function gatherEvidence(
  sources: { readonly evidence: EvidenceSource; readonly logger: Logger; readonly clock: Clock },
  { question, holder }: Extract<Decision, { kind: "ask" }>,
  { volume, requester, signal }: EvidenceSubject,
): Promise<Evidence> {
  const { evidence, logger, clock } = sources;
  switch (question) {
    case "holderGone":
      return { holderGone: await evidence.holderGone(volume, holder, signal) };
    case "singleUser":
      return { singleUser: await evidence.singleUser(volume, { holder, requester }, signal) };
    case "allowedSeconds": {
      const window = { target: requester, since: Math.floor(clock.now() / 1_000) };
      return { allowedSeconds: await limitAtStart(evidence, volume, window, logger, signal) };
    }
  }
}
