import { createVolume, reconcilerOf } from "../../test/support/own-stack.ts";
import {
  BRISK_CLOCK,
  type ControllerStack,
  MIB,
  type Stack,
  type StackOptions,
  startStack,
} from "../../test/support/rds-stack.ts";
import type { Capability } from "../domain/access-mode.ts";
import { type VolumeId, volumeIdFromName } from "../domain/volume-id.ts";
import type { ExpandedVolume } from "./expansion.ts";

export const ID = volumeIdFromName("pvc-1");
export const SIZE = 8n * MIB;
export const LARGER = 20n * MIB;

export const SHARED: Capability = {
  accessMode: "MULTI_NODE_MULTI_WRITER",
  accessType: "block",
  fsType: "",
  mountFlags: [],
};

const soon = () => AbortSignal.timeout(30_000);

/** A stack with one volume of 8 MiB, attached to the given nodes (as shared block volume). */
export async function withVolume(
  options: StackOptions = {},
  nodes: readonly string[] = [],
  parameters: Record<string, string> = {},
): Promise<Stack> {
  const stack = await startStack({ simulatorClock: BRISK_CLOCK, ...options });
  await create(stack, "pvc-1", parameters);
  for (const node of nodes) await publish(stack, node);
  return stack;
}

/** Creates a volume of 8 MiB. */
export async function create(
  on: ControllerStack,
  name: string,
  parameters: Record<string, string> = {},
): Promise<VolumeId> {
  const { id } = await createVolume(on, { name, required: SIZE, capabilities: [SHARED], parameters });
  return id;
}

export const publish = (on: ControllerStack, nodeId: string, capability = SHARED) =>
  on.attachments.publish({ volumeId: ID, nodeId, capability, readonly: false, signal: soon() });

/** ControllerExpandVolume, to 20 MiB unless said otherwise. */
export const expand = (
  on: ControllerStack,
  requiredBytes: bigint = LARGER,
  over: { limitBytes?: bigint; capability?: Capability | undefined; volumeId?: VolumeId } = {},
): Promise<ExpandedVolume> =>
  on.expansions.expand({
    volumeId: over.volumeId ?? ID,
    range: { requiredBytes, limitBytes: over.limitBytes ?? 0n },
    capability: "capability" in over ? over.capability : SHARED,
    signal: soon(),
  });

/** What the RDS shows of the volume. */
export function shown(on: Stack) {
  const disk = on.simulator.device.disks.find(({ slot }) => slot === ID);
  if (disk === undefined) throw new Error("the volume is gone");
  const { size, exported, exportedSize, nqn, comment, connectedHosts } = disk;
  return { size, exported, exportedSize, nqn, marked: /;g=/.test(comment), hosts: connectedHosts.length };
}

/** One look of the reconcile loop of a controller. */
export const reconcile = (on: ControllerStack, now = () => Date.now()) =>
  reconcilerOf(on, {
    clock: { now, monotonic: () => performance.now(), sleep: async () => {} },
  }).tick(soon());
