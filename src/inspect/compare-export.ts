import { hostIdentity } from "../domain/host-identity.ts";
import type { Disk } from "../rds/disk.ts";
import { exportIsRight, needsHosts, standingExport } from "../rds/export.ts";
import { ifKnown } from "./fact.ts";
import { type VolumeFacts, volumeOf } from "./facts.ts";
import { isRecent } from "./grace.ts";
import type { Drift } from "./volume-finding.ts";

/** The export against the record. */
export function* compareExport(facts: VolumeFacts): Iterable<Drift> {
  const volume = volumeOf(facts);
  if (volume === undefined || exportIsRight(facts.installation, volume)) return;
  const { record, disk } = volume;
  const since = record.reExportSince;
  if (record.attachments.length === 0) {
    const port = disk.port === undefined ? "" : `:${disk.port}`;
    const rds = `exported as ${disk.nqn}${port}, no attachments`;
    yield ["exported-unattached", "It is exported, but attached to no node", { rds }];
  } else if (disk.exported) {
    yield* differences(disk, standingExport(facts.installation, volume));
  } else if (since === undefined) {
    const text = "It is attached according to its record, but not exported as it should be";
    yield ["not-exported", text, { rds: "nvme-tcp-export=no" }];
  } else if (!isRecent(since, facts.now)) {
    const text = "An expansion switched its export off and has not switched it on again";
    yield ["re-export-interrupted", text, { rds: "nvme-tcp-export=no" }];
  }
}

function* differences(disk: Disk, wanted: ReturnType<typeof standingExport>): Iterable<Drift> {
  if (disk.nqn !== wanted.nqn) {
    const text = `It is exported as ${disk.nqn || "no NQN"}, its attachments were given ${wanted.nqn}`;
    yield ["export-nqn", text, { rds: `export ${disk.nqn || "none"}, record ${wanted.nqn}` }];
  }
  if (disk.port !== wanted.port) {
    const text = `It is exported on port ${disk.port ?? "none"}, not ${wanted.port}`;
    yield ["export-port", text, { rds: String(disk.port ?? "none") }];
  }
  if (needsHosts(disk, wanted)) {
    const [is, should] = [disk.allowHost || "any host", wanted.allowHost || "any host"];
    const text = `The export allows ${is}, its attachments ask for ${should}`;
    yield ["allowed-hosts", text, { rds: `allowed ${is}, wanted ${should}` }];
  }
}

/** The publish contexts of nodes against the export and the record. */
export function* comparePublishContext(facts: VolumeFacts): Iterable<Drift> {
  const volume = volumeOf(facts);
  if (volume === undefined) return;
  const { record, disk } = volume;
  for (const { node, attached, metadata } of ifKnown(facts.cluster.attachments) ?? []) {
    if (!attached) continue;
    const { nqn, port, hostNqn } = metadata;
    const context = `The publish context of node ${node} has`;
    // An export that is off is reported as that.
    if (disk.exported && nqn !== undefined && nqn !== disk.nqn) {
      const sides = { node, rds: disk.nqn || "none", kubernetes: nqn };
      yield ["attached-nqn", `${context} NQN ${nqn}, the export ${sides.rds}`, sides];
    }
    if (disk.exported && port !== undefined && port !== String(disk.port)) {
      const sides = { node, rds: String(disk.port ?? "none"), kubernetes: port };
      yield ["attached-port", `${context} port ${port}, the export ${sides.rds}`, sides];
    }
    const recorded = record.attachments.find((each) => each.node === node)?.hostNqn;
    if (hostNqn !== undefined && recorded !== undefined && hostNqn !== recorded) {
      const sides = { node, rds: recorded, kubernetes: hostNqn };
      yield ["attached-host-nqn", `${context} host NQN ${hostNqn}, the record ${recorded}`, sides];
    }
  }
  const { clusterId } = facts.installation;
  if (clusterId === undefined) return;
  for (const { node, hostNqn } of record.attachments) {
    const derived = hostIdentity(clusterId, node).hostNqn;
    if (hostNqn === derived) continue;
    const text = `The record has host NQN ${hostNqn || "none"} for node ${node}, which should be ${derived}`;
    yield ["record-host-nqn", text, { node, rds: hostNqn || "none" }];
  }
}
