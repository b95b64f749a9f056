import { attachmentDrift } from "../controller/drift.ts";
import { drift, type VolumeDrift } from "./drift.ts";
import { ifKnown } from "./fact.ts";
import type { VolumeFacts } from "./facts.ts";
import { isRecent, listed, volumeOf } from "./sides.ts";

/** The record's attachments against VolumeAttachments, Nodes and pods. */
export function compareAttachments(facts: VolumeFacts): VolumeDrift[] {
  const { cluster, now } = facts;
  const found: VolumeDrift[] = [];
  for (const { name, node, attachError, detachError } of ifKnown(cluster.attachments) ?? []) {
    for (const [what, error] of [
      ["attach", attachError],
      ["detach", detachError],
    ] as const) {
      if (error === undefined) continue;
      const text = `The last ${what} of node ${node} failed: ${error.message}`;
      found.push(drift("va-error", { text, node, kubernetes: name }));
    }
  }
  if (cluster.pv.state === "absent") found.push(...withoutPv(facts));
  const volume = volumeOf(facts);
  if (volume === undefined) return found;
  const nodes = ifKnown(cluster.nodes);
  const recorded = volume.record.attachments;
  const gone = nodes === undefined ? [] : recorded.filter(({ node }) => !nodes.includes(node));
  for (const { node } of gone) {
    const text = `It is attached to ${node}, and there is no such Node`;
    found.push(drift("node-gone", { text, node, rds: `attached to ${node}`, kubernetes: "no such Node" }));
  }
  return [
    ...found,
    ...withVolumeAttachments(
      facts,
      gone.map(({ node }) => node),
    ),
    ...withPods(facts, now),
  ];
}

/** Kubernetes needs the PersistentVolume to detach: without it the node keeps the volume. */
function withoutPv({ cluster }: VolumeFacts): VolumeDrift[] {
  return (ifKnown(cluster.attachments) ?? []).map(({ name, node, pvName }) => {
    const text = `VolumeAttachment ${name} of ${node} is there, but its PersistentVolume ${pvName} is gone: it cannot be detached`;
    return drift("va-without-pv", { text, node, kubernetes: `VolumeAttachment ${name}` });
  });
}

function withVolumeAttachments(facts: VolumeFacts, gone: readonly string[]): VolumeDrift[] {
  const volume = volumeOf(facts);
  const attachments = ifKnown(facts.cluster.attachments);
  if (volume === undefined || attachments === undefined || facts.cluster.pv.state === "unknown") return [];
  const pv = ifKnown(facts.cluster.pv);
  // The attachments are those of this volume's PersistentVolumes, also of further ones with its handle.
  const names = new Set(attachments.flatMap(({ pvName }) => pvName ?? []));
  const persistentVolumes = pv === undefined ? [] : [...names, pv.name].map((name) => ({ ...pv, name }));
  const recorded = volume.record.attachments;
  return attachmentDrift(volume, { attachments, persistentVolumes }).flatMap(({ kind, node, text }) => {
    const since = recorded.find((each) => each.node === node)?.since;
    if (node === undefined || gone.includes(node)) return [];
    if (kind === "attachment-without-va") {
      if (since !== undefined && isRecent(since, facts.now)) return [];
      return [drift(kind, { text, node, rds: `attached to ${node}`, kubernetes: "no VolumeAttachment" })];
    }
    const rds = `attached to ${listed(recorded.map((each) => each.node))}`;
    return kind === "va-without-attachment"
      ? [drift(kind, { text, node, rds, kubernetes: `VolumeAttachment of ${node}` })]
      : [];
  });
}

function withPods(facts: VolumeFacts, now: number): VolumeDrift[] {
  // Without the PersistentVolume the claim is not known, nor who uses it.
  const pods = facts.cluster.pv.state !== "known" ? undefined : ifKnown(facts.cluster.pods);
  const recorded = volumeOf(facts)?.record.attachments;
  if (pods === undefined || recorded === undefined) return [];
  const found: VolumeDrift[] = [];
  for (const { namespace, name, node, phase } of pods) {
    // A pod that has not started waits for its attachment.
    if (phase !== "Running" || node === undefined || recorded.some((each) => each.node === node)) continue;
    const pod = `${namespace}/${name}`;
    const text = `Pod ${pod} runs on ${node}, which is not attached`;
    const rds = `attached to ${listed(recorded.map((each) => each.node))}`;
    found.push(drift("pod-without-attachment", { text, node, rds, kubernetes: `pod ${pod} on ${node}` }));
  }
  for (const { node, since } of recorded) {
    if (isRecent(since, now) || pods.some((pod) => pod.node === node)) continue;
    const text = `It is attached to ${node}, where no pod uses the claim`;
    const kubernetes = `pods on ${listed([...new Set(pods.flatMap((pod) => pod.node ?? []))], "no node")}`;
    found.push(drift("attachment-without-pod", { text, node, rds: `attached to ${node}`, kubernetes }));
  }
  return found;
}
