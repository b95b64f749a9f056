import { NEW_RECORD } from "../../test/support/records.ts";
import type { VolumeRecord } from "../domain/record/volume-record.ts";
import type { Decision, Evidence, PublishRequest } from "./decision.ts";
import { decidePublish } from "./publish.ts";

export const empty: VolumeRecord = { ...NEW_RECORD, createdAt: 0 };

export const ask = (node: string, over: Partial<PublishRequest> = {}): PublishRequest => ({
  volume: "csi-1",
  node,
  hostNqn: `nqn.2014-08.org.nvmexpress:uuid:${node}`,
  accessMode: "SINGLE_NODE_WRITER",
  accessType: "mount",
  readonly: false,
  filesystem: "ext4",
  by: "me",
  ...over,
});

export const shared = {
  accessMode: "MULTI_NODE_MULTI_WRITER",
  accessType: "block",
  filesystem: undefined,
} as const;

export const proven: Evidence = { singleUser: { kind: "proven" } };

export function accepted(decision: Decision): Extract<Decision, { kind: "accept" }> {
  if (decision.kind !== "accept") throw new Error(`expected accept, got ${JSON.stringify(decision)}`);
  return decision;
}

export function refusal(decision: Decision): string {
  if (decision.kind !== "refuse") throw new Error(`expected refuse, got ${decision.kind}`);
  return `${decision.error.id}: ${decision.error.summary}`;
}

export const publish = (
  record: VolumeRecord,
  request: PublishRequest,
  now = 1_000,
  evidence: Evidence = {},
) => decidePublish(record, request, now, evidence);

export const sharedOnA = accepted(publish(empty, ask("a", shared))).record;

export const pair = accepted(publish(sharedOnA, ask("b", shared), 2_000, proven)).record;
