import { type Fact, ifKnown, valueOr } from "../../inspect/fact.ts";
import { type Draft, volumeDraft } from "../rank.ts";
import type { VolumeCase } from "../volume-case.ts";

/** Whether anything on this node works with the volume; a connection alone does not. */
export function isUsed({ mounts, mountsKnown, users, pods, hungTasks }: VolumeCase): boolean {
  // Where it is unknown who has a device open, or what is mounted, somebody may use it.
  const opened = users.state !== "known" || users.value.length > 0;
  return !mountsKnown || mounts.length > 0 || valueOr(pods, []).length > 0 || hungTasks.length > 0 || opened;
}

/** The volume on this node against its record. */
export function* checkRecord(volume: VolumeCase): Iterable<Draft> {
  const { handle, facts, attached, connections, mounts } = volume;
  const record = ifKnown(facts.rds.record);
  if (record === undefined) return;
  if (attached.state === "absent" && (connections.length > 0 || mounts.length > 0)) {
    const held = record.attachments.length > 0 ? "volume-attached-elsewhere" : "volume-not-attached";
    const nodes = record.attachments.map(({ node }) => node).join(", ") || "no node";
    const recorded = `the record names ${nodes} (epoch ${record.epoch})`;
    yield volumeDraft(handle, isUsed(volume) ? held : "leftover-connection", recorded, ...usage(volume));
  }
  for (const { nqn, volume: parsed } of connections) {
    if (attached.state !== "known" || parsed === undefined || parsed.epoch === 0) continue;
    if (parsed.epoch < record.epoch)
      yield volumeDraft(
        handle,
        "epoch-superseded",
        `connected: ${nqn}`,
        `the record has epoch ${record.epoch}`,
      );
  }
  const [device] = connections[0]?.devices ?? [];
  const size = ifKnown(facts.rds.disk)?.size;
  if (device !== undefined && size !== undefined && BigInt(device.sizeBytes) !== size) {
    const seen = `${device.path} has ${device.sizeBytes} bytes, the volume ${size}`;
    yield volumeDraft(handle, "device-size-differs", seen);
  }
}

/** What is left of a volume that neither record nor cluster gives to this node. */
export function* checkLeftovers(volume: VolumeCase): Iterable<Draft> {
  const { handle, connections, mounts, staging, attachment, facts, attached } = volume;
  const { disk } = facts.rds;
  const answered = (fact: Fact<unknown>): boolean => fact.state !== "unknown";
  if (!answered(attachment) && !answered(disk)) return;
  if (attachment.state === "known" || attached.state === "known") return;
  // With a record, checkRecord has said it.
  if (!answered(disk) && connections.length > 0 && !isUsed(volume)) {
    const evidence = ["no VolumeAttachment of this node names it", ...usage(volume)];
    yield volumeDraft(handle, "leftover-connection", ...evidence);
  }
  const left = staging.filter(({ mounted }) => !mounted);
  if (left.length > 0 && volume.connectionsKnown && connections.length === 0 && mounts.length === 0)
    yield volumeDraft(handle, "leftover-staging", ...left.map(({ path }) => path));
}

/** What of the volume is on this node, as evidence. */
function usage({ connections, mounts }: VolumeCase): readonly string[] {
  return [
    ...connections.map(({ nqn, state }) => `connected here: ${nqn} (${state})`),
    ...mounts.map(({ path }) => `mounted here: ${path}`),
  ];
}
