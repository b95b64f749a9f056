import type { AccessMode } from "../domain/access-mode.ts";
import type { ClaimView } from "../kubernetes/inspector.ts";
import { isPopulatorClaim } from "../kubernetes/names.ts";
import type { PersistentVolumeView } from "../kubernetes/port.ts";
import { ifKnown } from "./fact.ts";
import { type VolumeFacts, volumeOf } from "./facts.ts";
import { listed } from "./finding.ts";
import { isRecent } from "./grace.ts";
import type { Drift } from "./volume-finding.ts";

/** The PersistentVolume: whether there is one, and its state. */
export function* comparePv(facts: VolumeFacts): Iterable<Drift> {
  const { rds, cluster } = facts;
  const pv = ifKnown(cluster.pv);
  if (pv === undefined) {
    const record = cluster.pv.state === "absent" ? volumeOf(facts)?.record : undefined;
    // Between a volume and its PersistentVolume lie some seconds. One that is attached is reported as that.
    if (record === undefined || isRecent(record.createdAt, facts.now)) return;
    // The PersistentVolume comes when the copy is done.
    if (record.copy !== undefined) return;
    if (record.attachments.length > 0 || ifKnown(cluster.attachments)?.length !== 0) return;
    const sides = { rds: record.name, kubernetes: "no PersistentVolume" };
    yield ["pv-missing", "No PersistentVolume names it", sides];
    return;
  }
  if (cluster.otherPvs.length > 0) {
    const names = listed([pv.name, ...cluster.otherPvs]);
    yield ["pv-ambiguous", `Several PersistentVolumes name it: ${names}`, { kubernetes: names }];
  }
  const side = { absent: "no such disk item", known: "disk item is there", unknown: undefined }[
    rds.disk.state
  ];
  if (pv.deleting) {
    if (pv.deletedAt !== undefined && isRecent(pv.deletedAt / 1_000, facts.now)) return;
    const kubernetes = `${pv.phase}, deletion asked for`;
    yield ["pv-deleting", `PersistentVolume ${pv.name} is being deleted`, { rds: side, kubernetes }];
  } else if (pv.phase === "Released" || pv.phase === "Failed") {
    const text = `PersistentVolume ${pv.name} is ${pv.phase}, with policy ${pv.reclaimPolicy}`;
    yield ["pv-released", text, { rds: side, kubernetes: pv.phase }];
  }
}

/** The claim: in the record, in the PersistentVolume, and itself. */
export function* compareClaim(facts: VolumeFacts): Iterable<Drift> {
  const { cluster } = facts;
  const pv = ifKnown(cluster.pv);
  const bound = pv?.claim;
  if (pv === undefined || bound === undefined) return;
  const name = `${bound.namespace}/${bound.name}`;
  const recorded = volumeOf(facts)?.record.claim;
  const other = recorded === undefined ? name : `${recorded.namespace}/${recorded.name}`;
  // An imported disk changes its claim by design.
  if (other !== name && !isPopulatorClaim(recorded?.name ?? "")) {
    const text = `The record names claim ${other}, the PersistentVolume is bound to ${name}`;
    yield ["claim-ref", text, { rds: other, kubernetes: name }];
  }
  // A claim that is gone leaves the PersistentVolume released, which is reported as that.
  if (cluster.claim.state === "absent" && pv.phase === "Bound" && !pv.deleting) {
    const kubernetes = `${pv.name} is bound to ${name}`;
    yield ["claim-missing", `Claim ${name} does not exist`, { kubernetes }];
  }
  const claim = ifKnown(cluster.claim);
  if (claim !== undefined && pv.phase === "Bound") yield* compareBinding(pv, claim, name);
}

function* compareBinding(pv: PersistentVolumeView, claim: ClaimView, name: string): Iterable<Drift> {
  if (claim.uid !== pv.claim?.uid) {
    const text = `Claim ${name} is another one than PersistentVolume ${pv.name} is bound to`;
    const kubernetes = `bound to UID ${pv.claim?.uid}, the claim has ${claim.uid}`;
    yield ["claim-replaced", text, { kubernetes }];
  } else if (claim.phase === "Lost") {
    yield ["claim-lost", `Claim ${name} is Lost`, { kubernetes: claim.phase }];
  } else if (claim.pvName !== undefined && claim.pvName !== pv.name) {
    const text = `Claim ${name} names PersistentVolume ${claim.pvName}, not ${pv.name}`;
    yield ["claim-replaced", text, { kubernetes: `claim names ${claim.pvName}` }];
  }
}

/** The PersistentVolume's access modes that a CSI access mode may come from. */
function sources(mode: AccessMode): readonly string[] {
  if (mode === "MULTI_NODE_READER_ONLY") return ["ReadOnlyMany"];
  if (mode.startsWith("MULTI_NODE_")) return ["ReadWriteMany"];
  return ["ReadWriteOnce", "ReadWriteOncePod"];
}

/** Access modes and volume mode: of the attachments, and in the PersistentVolume. */
export function* compareMode(facts: VolumeFacts): Iterable<Drift> {
  const pv = ifKnown(facts.cluster.pv);
  if (pv === undefined) return;
  for (const { node, accessMode, accessType } of volumeOf(facts)?.record.attachments ?? []) {
    if (!sources(accessMode).some((mode) => pv.accessModes.includes(mode))) {
      const kubernetes = listed(pv.accessModes);
      const text = `Node ${node} is attached as ${accessMode}, the PersistentVolume has ${kubernetes}`;
      yield ["access-mode", text, { node, rds: accessMode, kubernetes }];
    }
    if ((accessType === "block") !== (pv.volumeMode === "Block")) {
      const rds = accessType === "block" ? "block device" : "filesystem";
      const text = `Node ${node} uses it as ${rds}, the PersistentVolume has volumeMode ${pv.volumeMode}`;
      yield ["volume-mode", text, { node, rds, kubernetes: pv.volumeMode }];
    }
  }
}
