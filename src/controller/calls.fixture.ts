import { createVolume, type Wish } from "../../test/support/own-stack.ts";
import { BLOCK, MIB, type Stack } from "../../test/support/rds-stack.ts";
import type { Capability } from "../domain/access-mode.ts";
import { type VolumeId, volumeIdFromName } from "../domain/volume-id.ts";

export const create = (on: Pick<Stack, "volumes">, wish: Wish = {}) =>
  createVolume(on, { required: 8n * MIB, ...wish });

export const publish = (
  on: Pick<Stack, "attachments">,
  volumeId: VolumeId,
  nodeId: string,
  over: { capability?: Capability; readonly?: boolean } = {},
) =>
  on.attachments.publish({
    volumeId,
    nodeId,
    capability: BLOCK,
    readonly: false,
    signal: AbortSignal.timeout(30_000),
    ...over,
  });

export const ID = volumeIdFromName("pvc-1");
