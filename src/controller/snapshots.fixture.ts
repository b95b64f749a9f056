import { expect } from "bun:test";
import { fastClock } from "../../test/support/clock.ts";
import { type FileLayout, fileOf } from "../../test/support/file-layouts.ts";
import { createVolume, outcome, untilDone, useStack } from "../../test/support/own-stack.ts";
import {
  type ControllerStack,
  GIB,
  MIB,
  type Stack,
  type StackOptions,
} from "../../test/support/rds-stack.ts";
import { type WholeState, wholeState } from "../../test/support/simulator-state.ts";
import {
  type SnapshotHandle,
  type SnapshotId,
  snapshotHandle,
  snapshotIdFromName,
} from "../domain/snapshot-id.ts";
import { type VolumeId, volumeIdFromName } from "../domain/volume-id.ts";

/** The volume that is snapshotted and cloned. */
export const SOURCE = volumeIdFromName("pvc-1");
export const CLONE = volumeIdFromName("pvc-2");
/** The handle of the snapshot with a name on a pool. */
export const handleOn = (name: string, pool = "storage-pool"): SnapshotHandle =>
  snapshotHandle(snapshotIdFromName(name), `${pool}-fs`);
export const SNAPSHOT_ID: SnapshotId = snapshotIdFromName("s1");
export const SNAPSHOT = handleOn("s1");
export const SIZE = 8n * MIB;
/** Size of a volume that is made larger than its source. */
export const LARGER = 20n * MIB;

const LIMIT_MS = 30_000;
const signal = () => AbortSignal.timeout(LIMIT_MS);

/** The calls of a controller, each on the names above unless it says otherwise. */
export const calls = {
  volume: (on: ControllerStack, parameters: Record<string, string> = {}) =>
    createVolume(on, { required: SIZE, parameters }),
  snapshot: (on: ControllerStack, name = "s1", source: VolumeId = SOURCE, until = signal()) =>
    on.snapshots.create({ name, source, parameters: {}, signal: until }),
  /** From the snapshot. */
  restore: (on: ControllerStack, name = "pvc-2", id: SnapshotHandle = SNAPSHOT) =>
    createVolume(on, { name, required: LARGER, source: { kind: "snapshot", id } }),
  /** From the volume. */
  clone: (on: ControllerStack, name = "pvc-2", id: VolumeId = SOURCE) =>
    createVolume(on, { name, required: LARGER, source: { kind: "volume", id } }),
  deleteSnapshot: (on: ControllerStack, id: SnapshotHandle = SNAPSHOT, until = signal()) =>
    on.snapshots.delete(id, until),
  delete: (on: ControllerStack, id: VolumeId, until = signal()) => on.volumes.delete(id, until),
} as const;

/** Writes text at the beginning of a volume's file, as a node does. */
export async function write(
  { simulator: { device } }: Pick<Stack, "simulator">,
  id: VolumeId,
  text: string,
): Promise<void> {
  await device.writeFile(fileOf(id, "subvolume"), 0n, text);
}

/** The text at the beginning of a volume's file. */
export async function textOf(
  { simulator: { device } }: Pick<Stack, "simulator">,
  id: VolumeId,
  length: number,
  form: FileLayout = "subvolume",
): Promise<string> {
  return Buffer.from(await device.readFile(fileOf(id, form), 0n, length)).toString("latin1");
}

/** Directories of the snapshots on a pool. */
export function snapshotsOf({ simulator: { device } }: Pick<Stack, "simulator">): string[] {
  return device.subvolumes
    .filter(({ deadUntil, fullname }) => deadUntil === undefined && /(^|\/)snap-/.test(fullname))
    .map((each) => device.subvolumeStore.directory(each));
}

/** The text at the beginning of the file in a snapshot, the only one there is. */
export async function textOfSnapshot(on: Pick<Stack, "simulator">, length: number): Promise<string> {
  const [only, another] = snapshotsOf(on);
  if (only === undefined || another !== undefined) throw new Error(`snapshots: ${snapshotsOf(on)}`);
  const { device } = on.simulator;
  return Buffer.from(await device.readFile(`${only}/disk.img`, 0n, length)).toString("latin1");
}

/** What the device holds, but for times, and for the revisions of records: a repeated CreateVolume writes a new one. */
export const stateOf = ({ simulator: { device } }: Pick<Stack, "simulator">): Promise<WholeState> =>
  wholeState(device, (text) => text.replace(/;i=\d+/g, ""));

/** What can be done with snapshots and clones: the calls before it, and the call. */
export const VERBS = {
  snapshot: { before: [calls.volume], call: (on) => calls.snapshot(on) },
  restore: {
    before: [calls.volume, calls.snapshot, overwrite],
    call: (on) => calls.restore(on),
  },
  clone: { before: [calls.volume], call: (on) => calls.clone(on) },
  "delete the snapshot": {
    before: [calls.volume, calls.snapshot, overwrite, calls.restore],
    call: (on) => calls.deleteSnapshot(on),
  },
  "delete the clone": {
    before: [calls.volume, calls.snapshot, overwrite, calls.restore],
    call: (on) => calls.delete(on, CLONE),
  },
  "delete the source": {
    before: [calls.volume, calls.snapshot, overwrite, calls.restore],
    call: (on) => calls.delete(on, SOURCE),
  },
} as const satisfies Record<string, Verb>;

export interface Verb {
  readonly before: readonly ((on: Stack) => Promise<unknown>)[];
  readonly call: (on: ControllerStack) => Promise<unknown>;
}

/** The source has "first" at its snapshot and "later" since. */
async function overwrite(on: Stack): Promise<void> {
  await write(on, SOURCE, "later");
}

/** Does what comes before a verb. */
export async function prepare(on: Stack, { before }: Verb): Promise<void> {
  for (const step of before) {
    await untilDone(async () => step(on));
    if (step === calls.volume) await write(on, SOURCE, "first");
  }
}

const POOLS = ["storage-pool", "usb1"].map((slot) => ({ slot, fs: "btrfs" as const, size: 64n * GIB }));

/** Gives the tests of a file stacks with two pools: empty, or with the source and its snapshot. */
export function useSnapshots(): {
  readonly start: (options?: StackOptions) => Promise<Stack>;
  readonly prepared: (options?: StackOptions, parameters?: Record<string, string>) => Promise<Stack>;
} {
  const open = useStack();
  const start = (options: StackOptions = {}): Promise<Stack> => {
    const clock = fastClock(20);
    return open({ pools: POOLS, clock, simulatorClock: clock, ...options });
  };
  const prepared = async (options: StackOptions = {}, parameters: Record<string, string> = {}) => {
    const on = await start(options);
    await calls.volume(on, parameters);
    await calls.snapshot(on);
    return on;
  };
  return { start, prepared };
}

/** Expects that each call ends with this answer, and that nothing changes. */
export async function refused(
  on: Stack,
  answer: string | RegExp,
  ...all: (() => Promise<unknown>)[]
): Promise<void> {
  const before = await stateOf(on);
  for (const call of all) {
    const given = await outcome(call());
    if (typeof answer === "string") expect(given).toBe(answer);
    else expect(given).toMatch(answer);
    expect(await stateOf(on)).toEqual(before);
  }
}

/** The calls that look for the snapshot. */
export const looks = (on: Stack, id = SNAPSHOT): (() => Promise<unknown>)[] => [
  () => calls.restore(on, "pvc-2", id),
  () => on.snapshots.get(id, on.signal),
];
