import { hostIdentity } from "../domain/host-identity.ts";
import { exportIsRight, needsHosts, standingExport } from "../rds/export.ts";
import type { RdsVolume } from "../rds/volume.ts";
import { ifKnown } from "./fact.ts";
import { type VolumeFacts, volumeOf } from "./facts.ts";
import { isRecent } from "./grace.ts";
import { type VolumeFinding, volumeFinding } from "./volume-finding.ts";

/** The export against the record. */
export function compareExport(facts: VolumeFacts): VolumeFinding[] {
  const volume = volumeOf(facts);
  if (volume === undefined || exportIsRight(facts.installation, volume)) return [];
  const { record, disk } = volume;
  if (record.attachments.length === 0) {
    const port = disk.port === undefined ? "" : `:${disk.port}`;
    const rds = `exported as ${disk.nqn}${port}, no attachments`;
    return [volumeFinding(facts, "exported-unattached", "It is exported, but attached to no node", { rds })];
  }
  if (disk.exported) return differences(facts, volume);
  const since = record.reExportSince;
  const sides = { rds: "nvme-tcp-export=no" };
  if (since === undefined) {
    const text = "It is attached according to its record, but not exported as it should be";
    return [volumeFinding(facts, "not-exported", text, sides)];
  }
  if (isRecent(since, facts.now)) return [];
  const text = "An expansion switched its export off and has not switched it on again";
  return [volumeFinding(facts, "re-export-interrupted", text, sides)];
}

function differences(facts: VolumeFacts, volume: RdsVolume): VolumeFinding[] {
  const { disk } = volume;
  const wanted = standingExport(facts.installation, volume);
  const found: VolumeFinding[] = [];
  if (disk.nqn !== wanted.nqn) {
    const text = `It is exported as ${disk.nqn || "no NQN"}, its attachments were given ${wanted.nqn}`;
    const rds = `export ${disk.nqn || "none"}, record ${wanted.nqn}`;
    found.push(volumeFinding(facts, "export-nqn", text, { rds }));
  }
  if (disk.port !== wanted.port) {
    const text = `It is exported on port ${disk.port ?? "none"}, not ${wanted.port}`;
    found.push(volumeFinding(facts, "export-port", text, { rds: String(disk.port ?? "none") }));
  }
  if (needsHosts(disk, wanted)) {
    const [is, should] = [disk.allowHost || "any host", wanted.allowHost || "any host"];
    const text = `The export allows ${is}, its attachments ask for ${should}`;
    found.push(volumeFinding(facts, "allowed-hosts", text, { rds: `allowed ${is}, wanted ${should}` }));
  }
  return found;
}

/** The publish contexts of nodes against the export and the record. */
export function comparePublishContext(facts: VolumeFacts): VolumeFinding[] {
  const volume = volumeOf(facts);
  if (volume === undefined) return [];
  const { record, disk } = volume;
  const found: VolumeFinding[] = [];
  for (const { node, attached, metadata } of ifKnown(facts.cluster.attachments) ?? []) {
    if (!attached) continue;
    const { nqn, port, hostNqn } = metadata;
    const context = `The publish context of node ${node} has`;
    // An export that is off is reported as that.
    if (disk.exported && nqn !== undefined && nqn !== disk.nqn) {
      const sides = { node, rds: disk.nqn || "none", kubernetes: nqn };
      const text = `${context} NQN ${nqn}, the export ${disk.nqn || "none"}`;
      found.push(volumeFinding(facts, "attached-nqn", text, sides));
    }
    if (disk.exported && port !== undefined && port !== String(disk.port)) {
      const sides = { node, rds: String(disk.port ?? "none"), kubernetes: port };
      found.push(
        volumeFinding(facts, "attached-port", `${context} port ${port}, the export ${sides.rds}`, sides),
      );
    }
    const recorded = record.attachments.find((each) => each.node === node)?.hostNqn;
    if (hostNqn !== undefined && recorded !== undefined && hostNqn !== recorded) {
      const sides = { node, rds: recorded, kubernetes: hostNqn };
      const text = `${context} host NQN ${hostNqn}, the record ${recorded}`;
      found.push(volumeFinding(facts, "attached-host-nqn", text, sides));
    }
  }
  const { clusterId } = facts.installation;
  if (clusterId === undefined) return found;
  for (const { node, hostNqn } of record.attachments) {
    const derived = hostIdentity(clusterId, node).hostNqn;
    if (hostNqn === derived) continue;
    const text = `The record has host NQN ${hostNqn || "none"} for node ${node}, which should be ${derived}`;
    found.push(volumeFinding(facts, "record-host-nqn", text, { node, rds: hostNqn || "none" }));
  }
  return found;
}
