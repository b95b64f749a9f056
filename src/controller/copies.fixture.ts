import { fastClock } from "../../test/support/clock.ts";
import { type FileLayout, fileOf } from "../../test/support/file-layouts.ts";
import { createVolume, useStack } from "../../test/support/own-stack.ts";
import {
  type ControllerStack,
  GIB,
  MIB,
  type Stack,
  type StackOptions,
} from "../../test/support/rds-stack.ts";
import { type WholeState, wholeState } from "../../test/support/simulator-state.ts";
import { type VolumeId, volumeIdFromName } from "../domain/volume-id.ts";

export const SOURCE_NAME = "pvc-1";
export const SOURCE = volumeIdFromName(SOURCE_NAME);
export const COPY_NAME = "pvc-11111111-2222-3333-4444-555555555555";
export const COPY = volumeIdFromName(COPY_NAME);
/** Sizes of source and copy, and of the parts: three parts. Bytes. */
export const SIZE = 3n * MIB;
export const LARGER = 5n * MIB;
export const CHUNK = MIB;
/** How long a copy that is whole waits in tests that lose no power. Milliseconds of the clock of the stack. */
export const SHORT_SETTLE_MS = 2_000;

/** A pool of each filesystem; the first one is the default pool. */
const pools = (first: "xfs" | "btrfs") =>
  [
    ["storage-pool", first],
    ["usb1", "btrfs"],
    ["usb2", "ext4"],
  ].map(([slot = "", fs]) => ({ slot, fs: fs as "xfs" | "btrfs" | "ext4", size: 64n * GIB }));

/** Content of the source, a letter at the beginning of each part. */
export const CONTENT = ["A", "B", "C"] as const;

export const calls = {
  source: (on: ControllerStack, parameters: Record<string, string> = {}) =>
    createVolume(on, { name: SOURCE_NAME, required: SIZE, parameters: { layout: "plain", ...parameters } }),
  copy: (on: ControllerStack, parameters: Record<string, string> = {}) =>
    createVolume(on, {
      name: COPY_NAME,
      required: LARGER,
      parameters: { cloneMode: "copy", ...CLAIM, ...parameters },
      source: { kind: "volume", id: SOURCE },
    }),
} as const;

const CLAIM = { "csi.storage.k8s.io/pvc/namespace": "vms", "csi.storage.k8s.io/pvc/name": "copy" };

/** Writes a letter at the beginning of each part of a volume. */
export async function fill(
  { simulator: { device } }: Pick<Stack, "simulator">,
  file = fileOf(SOURCE, "plain"),
  letters: readonly string[] = CONTENT,
): Promise<void> {
  for (const [at, letter] of letters.entries()) await device.writeFile(file, BigInt(at) * CHUNK, letter);
}

/** The letters at the beginnings of the parts of a file. */
export async function lettersOf(
  { simulator: { device } }: Pick<Stack, "simulator">,
  file: string = fileOf(COPY, "plain"),
): Promise<string> {
  const read = CONTENT.map((_, at) => device.readFile(file, BigInt(at) * CHUNK, 1));
  return (await Promise.all(read)).map((bytes) => Buffer.from(bytes).toString("latin1")).join("");
}

/** Where the file of a volume is. */
export function fileNow({ simulator: { device } }: Pick<Stack, "simulator">, id: VolumeId): string {
  return device.disk(id)?.filePath.replace(/^\//, "") ?? "";
}

/** What the device holds, but for times, and for the revisions of records. */
export const stateOf = ({ simulator: { device } }: Pick<Stack, "simulator">): Promise<WholeState> =>
  wholeState(device, (text) => text.replace(/;i=\d+/g, ""));

/** Gives the tests of a file stacks with pools, a filled source, and parts of 1 MiB. */
export function useCopies(): (
  options?: StackOptions & { readonly first?: "xfs" | "btrfs" },
) => Promise<Stack> {
  const open = useStack();
  return async ({ first = "xfs", ...options } = {}) => {
    const clock = options.clock ?? fastClock(400);
    const on = await open({
      pools: pools(first),
      chunkBytes: CHUNK,
      settleMs: SHORT_SETTLE_MS,
      simulatorClock: clock,
      ...options,
      clock,
    });
    await calls.source(on);
    await fill(on);
    return on;
  };
}

export type { FileLayout };
