import type { AttachmentView } from "../kubernetes/port.ts";
import { ifKnown } from "./fact.ts";
import { type VolumeFacts, volumeOf } from "./facts.ts";
import { listed } from "./finding.ts";
import { isRecent } from "./grace.ts";
import type { Drift } from "./volume-finding.ts";

/** The record's attachments against VolumeAttachments, Nodes and pods. */
export function* compareAttachments(facts: VolumeFacts): Iterable<Drift> {
  for (const each of ifKnown(facts.cluster.attachments) ?? []) {
    const { name, node, attachError, detachError } = each;
    for (const [call, error] of [
      ["attach", isBeforeAdoption(each) ? undefined : attachError],
      ["detach", detachError],
    ] as const) {
      if (error === undefined) continue;
      const text = `The last ${call} of node ${node} failed: ${error.message}`;
      yield ["va-error", text, { node, kubernetes: name }];
    }
  }
  const { state } = facts.cluster.pv;
  // Unknown: neither VolumeAttachments, claim nor pods are known to be the volume's, nor its nodes to be of this cluster.
  if (state === "absent") yield* withoutPv(facts);
  if (state === "known") yield* withVolumeAttachments(facts);
  if (state === "known") yield* withPods(facts);
}

/**
 * Whether its node was refused although another driver had attached it, before the volume was adopted: external-attacher asks once more at its start,
 * and keeps the refusal for as long as the VolumeAttachment lives. A volume that is not adopted yet has a finding of its own.
 */
function isBeforeAdoption({ attached, attachError }: AttachmentView): boolean {
  return attached && / is not adopted: /.test(attachError?.message ?? "");
}

/** Who is attached, and was not so just now. */
function settled(facts: VolumeFacts): readonly string[] {
  const all = volumeOf(facts)?.record.attachments ?? [];
  return all.filter(({ since }) => !isRecent(since, facts.now)).map(({ node }) => node);
}

/** Kubernetes needs the PersistentVolume to detach: without it the node keeps the volume. */
function* withoutPv(facts: VolumeFacts): Iterable<Drift> {
  const attachments = ifKnown(facts.cluster.attachments);
  if (attachments === undefined) return;
  for (const node of new Set([...settled(facts), ...attachments.map((each) => each.node)])) {
    const left = attachments.find((each) => each.node === node);
    const text =
      left === undefined
        ? `It is attached to ${node}, and no PersistentVolume of this cluster names it: another cluster has the same cluster id, or the PersistentVolume was deleted by force`
        : `It is attached to ${node}: VolumeAttachment ${left.name} is there, but its PersistentVolume ${left.pvName} is gone, so that Kubernetes cannot detach it; make the PersistentVolume ${left.pvName} with volumeHandle ${facts.handle} and policy Retain again`;
    const kubernetes = left === undefined ? "no PersistentVolume" : `VolumeAttachment ${left.name}`;
    yield ["attachment-without-pv", text, { node, kubernetes }];
  }
}

function* withVolumeAttachments(facts: VolumeFacts): Iterable<Drift> {
  const recorded = volumeOf(facts)?.record.attachments.map(({ node }) => node);
  const nodes = ifKnown(facts.cluster.nodes);
  if (recorded === undefined) return;
  const gone = nodes === undefined ? [] : recorded.filter((node) => !nodes.includes(node));
  for (const node of gone) {
    const sides = { node, rds: `attached to ${node}`, kubernetes: "no such Node" };
    yield ["node-gone", `It is attached to ${node}, and there is no such Node`, sides];
  }
  const attachments = ifKnown(facts.cluster.attachments);
  if (attachments === undefined) return;
  for (const node of settled(facts)) {
    if (gone.includes(node) || attachments.some((each) => each.node === node)) continue;
    const sides = { node, rds: `attached to ${node}`, kubernetes: "no VolumeAttachment" };
    yield ["attachment-without-va", `It is attached to ${node}, which has no VolumeAttachment for it`, sides];
  }
  for (const { node, attached, deleting } of attachments) {
    // Being attached or detached: the call is on its way.
    if (!attached || deleting || recorded.includes(node)) continue;
    const sides = { node, rds: `attached to ${listed(recorded)}`, kubernetes: `VolumeAttachment of ${node}` };
    const text = `Node ${node} has a VolumeAttachment, but the volume is not attached to it according to the record`;
    yield ["va-without-attachment", text, sides];
  }
}

function* withPods(facts: VolumeFacts): Iterable<Drift> {
  const pods = ifKnown(facts.cluster.pods);
  const recorded = volumeOf(facts)?.record.attachments.map(({ node }) => node);
  if (pods === undefined || recorded === undefined) return;
  for (const { namespace, name, node, phase } of pods) {
    // A pod that has not started waits for its attachment.
    if (phase !== "Running" || node === undefined || recorded.includes(node)) continue;
    const pod = `${namespace}/${name}`;
    const sides = { node, rds: `attached to ${listed(recorded)}`, kubernetes: `pod ${pod} on ${node}` };
    yield ["pod-without-attachment", `Pod ${pod} runs on ${node}, which is not attached`, sides];
  }
  for (const node of settled(facts)) {
    if (pods.some((pod) => pod.node === node)) continue;
    const used = listed([...new Set(pods.flatMap((pod) => pod.node ?? []))], "no node");
    const sides = { node, rds: `attached to ${node}`, kubernetes: `pods on ${used}` };
    yield ["attachment-without-pod", `It is attached to ${node}, where no pod uses the claim`, sides];
  }
}
