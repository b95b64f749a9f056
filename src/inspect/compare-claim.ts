import type { AccessMode } from "../domain/access-mode.ts";
import { drift, type VolumeDrift } from "./drift.ts";
import { ifKnown } from "./fact.ts";
import type { ClaimFacts, PvFacts, VolumeFacts } from "./facts.ts";
import { isRecent, listed, volumeOf } from "./sides.ts";

/** Whether volume and PersistentVolume are both there, and in what state. */
export function compareExistence(facts: VolumeFacts): VolumeDrift[] {
  const { rds, cluster, handle } = facts;
  const pv = ifKnown(cluster.pv);
  const onRds = rds.disk.state;
  const found: VolumeDrift[] = [];
  if (pv !== undefined && onRds === "absent" && !pv.deleting) {
    const text = `PersistentVolume ${pv.name} names ${handle}, which is not on the RDS`;
    found.push(drift("volume-missing", { text, rds: "no such disk item", kubernetes: pv.name }));
  }
  if (cluster.pv.state === "absent") {
    const volume = volumeOf(facts);
    // Between the volume and its PersistentVolume lie some seconds.
    if (volume !== undefined && !isRecent(volume.record.createdAt, facts.now)) {
      const text = "No PersistentVolume names it";
      const rds = volume.record.name;
      found.push(drift("pv-missing", { text, rds, kubernetes: "no PersistentVolume" }));
    }
  }
  if (pv === undefined) return found;
  if (cluster.otherPvs.length > 0) {
    const names = listed([pv.name, ...cluster.otherPvs]);
    found.push(
      drift("pv-ambiguous", { text: `Several PersistentVolumes name it: ${names}`, kubernetes: names }),
    );
  }
  const exists =
    onRds === "absent" ? "no such disk item" : onRds === "known" ? "disk item is there" : undefined;
  if (pv.deleting) {
    const text = `PersistentVolume ${pv.name} is being deleted`;
    found.push(drift("pv-deleting", { text, rds: exists, kubernetes: `${pv.phase}, deletion asked for` }));
  } else if (pv.phase === "Released" || pv.phase === "Failed") {
    const text = `PersistentVolume ${pv.name} is ${pv.phase}, with policy ${pv.reclaimPolicy}`;
    found.push(drift("pv-released", { text, rds: exists, kubernetes: pv.phase }));
  }
  return found;
}

/** The claim: in the record, in the PersistentVolume, and itself. */
export function compareClaim(facts: VolumeFacts): VolumeDrift[] {
  const { cluster } = facts;
  const pv = ifKnown(cluster.pv);
  const bound = pv?.claim;
  if (pv === undefined || bound === undefined) return [];
  const found: VolumeDrift[] = [];
  const name = `${bound.namespace}/${bound.name}`;
  const recorded = volumeOf(facts)?.record.claim;
  if (recorded !== undefined) {
    const other = `${recorded.namespace}/${recorded.name}`;
    if (other !== name) {
      const text = `The record names claim ${other}, the PersistentVolume is bound to ${name}`;
      found.push(drift("claim-ref", { text, rds: other, kubernetes: name }));
    }
  }
  // A claim that is gone leaves the PersistentVolume released, which is reported as that.
  if (cluster.claim.state === "absent" && pv.phase === "Bound" && !pv.deleting) {
    const text = `Claim ${name} does not exist`;
    found.push(drift("claim-missing", { text, kubernetes: `${pv.name} is bound to ${name}` }));
  }
  const claim = ifKnown(cluster.claim);
  if (claim !== undefined && pv.phase === "Bound") found.push(...compareBinding(pv, claim, name));
  return found;
}

function compareBinding(pv: PvFacts, claim: ClaimFacts, name: string): VolumeDrift[] {
  if (claim.uid !== pv.claim?.uid) {
    const text = `Claim ${name} is another one than PersistentVolume ${pv.name} is bound to`;
    const kubernetes = `bound to UID ${pv.claim?.uid}, the claim has ${claim.uid}`;
    return [drift("claim-replaced", { text, kubernetes })];
  }
  if (claim.phase === "Lost")
    return [drift("claim-lost", { text: `Claim ${name} is Lost`, kubernetes: claim.phase })];
  if (claim.pvName === undefined || claim.pvName === pv.name) return [];
  const text = `Claim ${name} names PersistentVolume ${claim.pvName}, not ${pv.name}`;
  return [drift("claim-replaced", { text, kubernetes: `claim names ${claim.pvName}` })];
}

/** The PersistentVolume's access modes that a CSI access mode may come from. */
function sources(mode: AccessMode): readonly string[] {
  if (mode === "MULTI_NODE_READER_ONLY") return ["ReadOnlyMany"];
  if (mode.startsWith("MULTI_NODE_")) return ["ReadWriteMany"];
  return ["ReadWriteOnce", "ReadWriteOncePod"];
}

/** Access modes and volume mode: as nodes are attached, and in the PersistentVolume. */
export function compareMode(facts: VolumeFacts): VolumeDrift[] {
  const pv = ifKnown(facts.cluster.pv);
  if (pv === undefined) return [];
  return (volumeOf(facts)?.record.attachments ?? []).flatMap(({ node, accessMode, accessType }) => {
    const found: VolumeDrift[] = [];
    if (!sources(accessMode).some((mode) => pv.accessModes.includes(mode))) {
      const kubernetes = listed(pv.accessModes);
      const text = `Node ${node} is attached as ${accessMode}, the PersistentVolume has ${kubernetes}`;
      found.push(drift("access-mode", { text, node, rds: accessMode, kubernetes }));
    }
    if ((accessType === "block") !== (pv.volumeMode === "Block")) {
      const rds = accessType === "block" ? "block device" : "filesystem";
      const text = `Node ${node} uses it as ${rds}, the PersistentVolume has volumeMode ${pv.volumeMode}`;
      found.push(drift("volume-mode", { text, node, rds, kubernetes: pv.volumeMode }));
    }
    return found;
  });
}
