import { exportDrift } from "../controller/drift.ts";
import { hostIdentity } from "../domain/host-identity.ts";
import { exportIsRight, needsHosts, standingExport } from "../rds/export.ts";
import { drift, type VolumeDrift } from "./drift.ts";
import { ifKnown } from "./fact.ts";
import type { VolumeFacts } from "./facts.ts";
import { isRecent, volumeOf } from "./sides.ts";

/** The export against the record. */
export function compareExport(facts: VolumeFacts): VolumeDrift[] {
  const { installation, now } = facts;
  const volume = volumeOf(facts);
  if (volume === undefined) return [];
  const { record, disk } = volume;
  const port = disk.port === undefined ? "" : `:${disk.port}`;
  return exportDrift({ exportIsRight: (each) => exportIsRight(installation, each) }, volume).flatMap(
    ({ kind, text }) => {
      if (kind === "exported-unattached")
        return [drift(kind, { text, rds: `exported as ${disk.nqn}${port}, no attachments` })];
      if (!disk.exported) {
        const since = record.reExportSince;
        if (since === undefined) return [drift("not-exported", { text, rds: "nvme-tcp-export=no" })];
        // An expansion is at it.
        if (isRecent(since, now)) return [];
        const interrupted = "An expansion switched its export off and has not switched it on again";
        return [drift("re-export-interrupted", { text: interrupted, rds: "nvme-tcp-export=no" })];
      }
      return differences(facts, volume);
    },
  );
}

function differences({ installation }: VolumeFacts, volume: NonNullable<ReturnType<typeof volumeOf>>) {
  const { disk } = volume;
  const wanted = standingExport(installation, volume);
  const found: VolumeDrift[] = [];
  if (disk.nqn !== wanted.nqn) {
    const text = `It is exported as ${disk.nqn || "no NQN"}, its attachments were given ${wanted.nqn}`;
    found.push(drift("export-nqn", { text, rds: `export ${disk.nqn || "none"}, record ${wanted.nqn}` }));
  }
  if (disk.port !== wanted.port) {
    const text = `It is exported on port ${disk.port ?? "none"}, not ${wanted.port}`;
    found.push(drift("export-port", { text, rds: String(disk.port ?? "none") }));
  }
  if (needsHosts(disk, wanted)) {
    const [is, should] = [disk.allowHost || "any host", wanted.allowHost || "any host"];
    const text = `The export allows ${is}, its attachments ask for ${should}`;
    found.push(drift("allowed-hosts", { text, rds: `allowed ${is}, wanted ${should}` }));
  }
  return found;
}

/** What nodes were told against the export and the record. */
export function compareTold(facts: VolumeFacts): VolumeDrift[] {
  const volume = volumeOf(facts);
  if (volume === undefined) return [];
  const { record, disk } = volume;
  const found: VolumeDrift[] = [];
  for (const { node, attached, metadata } of ifKnown(facts.cluster.attachments) ?? []) {
    if (!attached) continue;
    const { nqn, port, hostNqn } = metadata;
    // What is not exported is reported as that.
    if (disk.exported && nqn !== undefined && nqn !== disk.nqn) {
      const text = `Node ${node} was told ${nqn}, the export is ${disk.nqn || "without NQN"}`;
      found.push(drift("attached-nqn", { text, node, rds: disk.nqn || "none", kubernetes: nqn }));
    }
    if (disk.exported && port !== undefined && port !== String(disk.port)) {
      const text = `Node ${node} was told port ${port}, the export is on ${disk.port ?? "none"}`;
      found.push(drift("attached-port", { text, node, rds: String(disk.port ?? "none"), kubernetes: port }));
    }
    const recorded = record.attachments.find((each) => each.node === node)?.hostNqn;
    if (hostNqn !== undefined && recorded !== undefined && hostNqn !== recorded) {
      const text = `Node ${node} was told host NQN ${hostNqn}, the record has ${recorded}`;
      found.push(drift("attached-host-nqn", { text, node, rds: recorded, kubernetes: hostNqn }));
    }
  }
  const { clusterId } = facts.installation;
  if (clusterId === undefined) return found;
  for (const { node, hostNqn } of record.attachments) {
    const derived = hostIdentity(clusterId, node).hostNqn;
    if (hostNqn === derived) continue;
    const text = `The record has host NQN ${hostNqn || "none"} for node ${node}, which should be ${derived}`;
    found.push(drift("record-host-nqn", { text, node, rds: hostNqn || "none" }));
  }
  return found;
}
