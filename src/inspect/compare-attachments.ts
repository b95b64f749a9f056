import { ifKnown } from "./fact.ts";
import { type VolumeFacts, volumeOf } from "./facts.ts";
import { listed } from "./finding.ts";
import { isRecent } from "./grace.ts";
import { type VolumeFinding, volumeFinding } from "./volume-finding.ts";

/** The record's attachments against VolumeAttachments, Nodes and pods. */
export function compareAttachments(facts: VolumeFacts): VolumeFinding[] {
  const found: VolumeFinding[] = [];
  for (const { name, node, attachError, detachError } of ifKnown(facts.cluster.attachments) ?? []) {
    for (const [call, error] of [
      ["attach", attachError],
      ["detach", detachError],
    ] as const) {
      if (error === undefined) continue;
      const text = `The last ${call} of node ${node} failed: ${error.message}`;
      found.push(volumeFinding(facts, "va-error", text, { node, kubernetes: name }));
    }
  }
  switch (facts.cluster.pv.state) {
    case "absent":
      return [...found, ...withoutPv(facts)];
    case "known":
      return [...found, ...withVolumeAttachments(facts), ...withPods(facts)];
    default:
      // Neither VolumeAttachments, claim nor pods are known to be the volume's, nor its nodes to be of this cluster.
      return found;
  }
}

/** Who is attached, and was not so just now. */
function settled(facts: VolumeFacts): readonly string[] {
  const all = volumeOf(facts)?.record.attachments ?? [];
  return all.filter(({ since }) => !isRecent(since, facts.now)).map(({ node }) => node);
}

/** Kubernetes needs the PersistentVolume to detach: without it the node keeps the volume. */
function withoutPv(facts: VolumeFacts): VolumeFinding[] {
  const attachments = ifKnown(facts.cluster.attachments);
  if (attachments === undefined) return [];
  const nodes = new Set([...settled(facts), ...attachments.map(({ node }) => node)]);
  return [...nodes].map((node) => {
    const left = attachments.find((each) => each.node === node);
    const text =
      left === undefined
        ? `It is attached to ${node}, and no PersistentVolume of this cluster names it: another cluster has the same cluster id, or the PersistentVolume was deleted by force`
        : `It is attached to ${node}: VolumeAttachment ${left.name} is there, but its PersistentVolume ${left.pvName} is gone, so that Kubernetes cannot detach it; make the PersistentVolume ${left.pvName} with volumeHandle ${facts.handle} and policy Retain again`;
    const kubernetes = left === undefined ? "no PersistentVolume" : `VolumeAttachment ${left.name}`;
    return volumeFinding(facts, "attachment-without-pv", text, { node, kubernetes });
  });
}

function withVolumeAttachments(facts: VolumeFacts): VolumeFinding[] {
  const recorded = volumeOf(facts)?.record.attachments.map(({ node }) => node);
  const nodes = ifKnown(facts.cluster.nodes);
  if (recorded === undefined) return [];
  const gone = nodes === undefined ? [] : recorded.filter((node) => !nodes.includes(node));
  const found = gone.map((node) => {
    const sides = { node, rds: `attached to ${node}`, kubernetes: "no such Node" };
    return volumeFinding(facts, "node-gone", `It is attached to ${node}, and there is no such Node`, sides);
  });
  const attachments = ifKnown(facts.cluster.attachments);
  if (attachments === undefined) return found;
  for (const node of settled(facts)) {
    if (gone.includes(node) || attachments.some((each) => each.node === node)) continue;
    const sides = { node, rds: `attached to ${node}`, kubernetes: "no VolumeAttachment" };
    const text = `It is attached to ${node}, which has no VolumeAttachment for it`;
    found.push(volumeFinding(facts, "attachment-without-va", text, sides));
  }
  for (const { node, attached, deleting } of attachments) {
    // Being attached or detached: the call is on its way.
    if (!attached || deleting || recorded.includes(node)) continue;
    const sides = { node, rds: `attached to ${listed(recorded)}`, kubernetes: `VolumeAttachment of ${node}` };
    const text = `Node ${node} has a VolumeAttachment, but the volume is not attached to it according to the record`;
    found.push(volumeFinding(facts, "va-without-attachment", text, sides));
  }
  return found;
}

function withPods(facts: VolumeFacts): VolumeFinding[] {
  const pods = ifKnown(facts.cluster.pods);
  const recorded = volumeOf(facts)?.record.attachments.map(({ node }) => node);
  if (pods === undefined || recorded === undefined) return [];
  const found: VolumeFinding[] = [];
  for (const { namespace, name, node, phase } of pods) {
    // A pod that has not started waits for its attachment.
    if (phase !== "Running" || node === undefined || recorded.includes(node)) continue;
    const pod = `${namespace}/${name}`;
    const sides = { node, rds: `attached to ${listed(recorded)}`, kubernetes: `pod ${pod} on ${node}` };
    const text = `Pod ${pod} runs on ${node}, which is not attached`;
    found.push(volumeFinding(facts, "pod-without-attachment", text, sides));
  }
  for (const node of settled(facts)) {
    if (pods.some((pod) => pod.node === node)) continue;
    const used = listed([...new Set(pods.flatMap((pod) => pod.node ?? []))], "no node");
    const sides = { node, rds: `attached to ${node}`, kubernetes: `pods on ${used}` };
    const text = `It is attached to ${node}, where no pod uses the claim`;
    found.push(volumeFinding(facts, "attachment-without-pod", text, sides));
  }
  return found;
}
