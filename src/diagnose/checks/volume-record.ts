import { hostIdentity } from "../../domain/host-identity.ts";
import { parseVolumeNqn } from "../../nvme/nqn.ts";
import type { FindingId } from "../catalogue/catalogue.ts";
import type { DiagnoseConfig } from "../context.ts";
import type { Draft } from "../finding.ts";
import { valueOr } from "../known.ts";
import type { PoolFacts, RdsVolumeFacts } from "../probes/rds.ts";
import type { VolumeCase } from "../volume-case.ts";
import { poolOf } from "./links.ts";

/** Whether anything on this node works with the volume; a connection alone does not. */
export function isUsed({ mounts, mountsKnown, users, pods, hungTasks }: VolumeCase): boolean {
  // Where it is unknown who has a device open, or what is mounted, somebody may use it.
  const opened = users.state !== "known" || users.value.length > 0;
  return !mountsKnown || mounts.length > 0 || valueOr(pods, []).length > 0 || hungTasks.length > 0 || opened;
}

/** Findings from the volume's disk item on the RDS: record, file, export, allowed hosts. */
export function checkRecord(
  config: DiagnoseConfig,
  pools: readonly PoolFacts[],
  volume: VolumeCase,
): readonly Draft[] {
  const { handle, disk, connections, mounts } = volume;
  if (disk.state !== "known") return [];
  const draft = (id: FindingId, ...evidence: readonly string[]): Draft => ({
    id,
    subject: { kind: "volume", name: handle },
    volume: handle,
    evidence,
  });
  const here = connections.length > 0 || mounts.length > 0;
  const wanted = valueOr(volume.attachments, []).some(({ node }) => node === config.nodeId);
  const found = disk.value;
  if (found === undefined) {
    return here || wanted ? [draft("volume-absent", `the RDS has no disk ${handle}`, ...usage(volume))] : [];
  }
  if (found.foreign !== undefined) return [draft("volume-foreign", found.foreign, ...usage(volume))];
  const drafts: Draft[] = [];
  const own = found.attachments.find(({ node }) => node === config.nodeId);
  if (found.sizeBytes === undefined && poolOf(pools, found.filePath) !== undefined) {
    drafts.push(
      found.fileExists === false
        ? draft("volume-file-missing", `there is no file ${found.filePath}`, `disk ${handle} shows no size`)
        : draft("volume-not-ready", `disk ${handle} shows no size`, `its file is ${found.filePath}`),
    );
  }
  if (own !== undefined) drafts.push(...exportDrafts(config, found, draft));
  else if (here && !isUsed(volume))
    drafts.push(draft("leftover-connection", recorded(found), ...usage(volume)));
  else if (here) {
    const id = found.attachments.length > 0 ? "volume-attached-elsewhere" : "volume-not-attached";
    drafts.push(draft(id, recorded(found), ...usage(volume)));
  }
  for (const { nqn, volume: parsed } of connections) {
    if (own === undefined || parsed === undefined || parsed.epoch === 0 || parsed.epoch >= found.epoch)
      continue;
    drafts.push(draft("epoch-superseded", `connected: ${nqn}`, `the record has epoch ${found.epoch}`));
  }
  const [device] = connections[0]?.devices ?? [];
  if (device !== undefined && found.sizeBytes !== undefined && device.sizeBytes !== found.sizeBytes) {
    const sizes = `${device.path} has ${device.sizeBytes} bytes, the volume ${found.sizeBytes}`;
    drafts.push(draft("device-size-differs", sizes));
  }
  return drafts;
}

function exportDrafts(
  config: DiagnoseConfig,
  disk: RdsVolumeFacts,
  draft: (id: FindingId, ...evidence: readonly string[]) => Draft,
): readonly Draft[] {
  if (!disk.exported) {
    // An expansion switches it off for a moment, and says so before.
    return disk.reExporting ? [] : [draft("volume-export-off", "nvme-tcp-export=no", recorded(disk))];
  }
  const drafts: Draft[] = [];
  if (!isRecordedNqn(config, disk)) {
    drafts.push(
      draft(
        "volume-export-differs",
        `nvme-tcp-server-nqn=${disk.nqn || "none"}`,
        `the record has epoch ${disk.epoch}`,
      ),
    );
  }
  const { clusterId, nodeId } = config;
  if (clusterId === undefined) return drafts;
  const { hostNqn } = hostIdentity(clusterId, nodeId);
  if (disk.allowHost !== "" && !disk.allowHost.split(",").includes(hostNqn)) {
    const allowed = `nvme-tcp-server-allow-host-name=${disk.allowHost}`;
    drafts.push(draft("host-not-allowed", allowed, `host NQN of this node: ${hostNqn}`));
  }
  return drafts;
}

/** Without fencing the NQN has no epoch. */
export function isRecordedNqn({ nqnPrefix }: DiagnoseConfig, { slot, nqn, epoch }: RdsVolumeFacts): boolean {
  const parsed = parseVolumeNqn(nqnPrefix, nqn);
  return parsed?.slot === slot && (parsed.epoch === epoch || parsed.epoch === 0);
}

/** Findings where record and VolumeAttachments disagree. */
export function checkDrift({ handle, disk, pv, attachments }: VolumeCase): readonly Draft[] {
  if (disk.state !== "known" || attachments.state !== "known" || pv.state !== "known") return [];
  const found = disk.value;
  // Nothing is known about a volume that no PersistentVolume names.
  if (found === undefined || found.foreign !== undefined || pv.value === undefined) return [];
  const nodes = found.attachments.map(({ node }) => node);
  const evidence = [
    ...nodes
      .filter((node) => !attachments.value.some((each) => each.node === node))
      .map((node) => `the record attaches ${node}, which has no VolumeAttachment`),
    ...attachments.value
      // Being attached or detached: the call is on its way.
      .filter(({ attached, deleting, node }) => attached && !deleting && !nodes.includes(node))
      .map(({ name, node }) => `VolumeAttachment ${name} attaches ${node}, the record does not`),
  ];
  if (evidence.length === 0) return [];
  return [{ id: "record-drift", subject: { kind: "volume", name: handle }, volume: handle, evidence }];
}

/** Findings about what is left of a volume that neither record nor cluster gives to this node. */
export function checkLeftovers(config: DiagnoseConfig, volume: VolumeCase): readonly Draft[] {
  const { handle, connections, mounts, staging, attachments, disk } = volume;
  const wantedByCluster = valueOr(attachments, []).some(({ node }) => node === config.nodeId);
  const recordedHere =
    disk.state === "known" && disk.value?.attachments.some(({ node }) => node === config.nodeId) === true;
  const asked = attachments.state === "known" || disk.state === "known";
  if (!asked || wantedByCluster || recordedHere) return [];
  const drafts: Draft[] = [];
  const about = { subject: { kind: "volume", name: handle }, volume: handle } as const;
  // With a record, checkRecord has said it.
  if (disk.state !== "known" && connections.length > 0 && !isUsed(volume)) {
    const evidence = ["no VolumeAttachment of this node names it", ...usage(volume)];
    drafts.push({ id: "leftover-connection", ...about, evidence });
  }
  const left = staging.filter(({ mounted }) => !mounted);
  if (left.length > 0 && volume.connectionsKnown && connections.length === 0 && mounts.length === 0) {
    drafts.push({ id: "leftover-staging", ...about, evidence: left.map(({ path }) => path) });
  }
  return drafts;
}

function recorded({ attachments, epoch }: RdsVolumeFacts): string {
  const nodes = attachments.map(({ node }) => node).join(", ");
  return nodes === ""
    ? `the record names no node (epoch ${epoch})`
    : `the record names ${nodes} (epoch ${epoch})`;
}

/** What of the volume is on this node, as evidence. */
function usage({ connections, mounts }: VolumeCase): readonly string[] {
  return [
    ...connections.map(({ nqn, state }) => `connected here: ${nqn} (${state})`),
    ...mounts.map(({ path }) => `mounted here: ${path}`),
  ];
}
