import { fileOf } from "../../test/support/file-layouts.ts";
import type { ControllerStack, Stack } from "../../test/support/rds-stack.ts";
import { until } from "../../test/support/until.ts";
import type { Clock } from "../domain/clock.ts";
import { ChunkSize } from "./chunk-size.ts";
import { convertVolume } from "./convert-volume.ts";
import { CHUNK, SHORT_SETTLE_MS, SOURCE } from "./copies.fixture.ts";

/** Runs a conversion as a process of its own. */
export const convert = (
  on: ControllerStack,
  clock: Clock,
  signal: AbortSignal = AbortSignal.timeout(60_000),
  settleMs: number | undefined = SHORT_SETTLE_MS,
): Promise<void> => {
  const told = { report: () => {}, waits: () => {} };
  const options = { store: on.rds.conversions, clock, sizes: new ChunkSize(CHUNK), ...told, settleMs };
  return convertVolume(options, SOURCE, signal);
};

/** The old and the new file of the volume. */
export const OLD = fileOf(SOURCE, "plain");
export const NEW = fileOf(SOURCE, "subvolume");

/** Items that hold a readable record of the volume, and the files that hold all of its data. */
export async function safeCopies(
  { simulator: { device } }: Pick<Stack, "simulator">,
  letters: (file: string) => Promise<string>,
): Promise<{ records: number; data: number }> {
  const records = device.disks.filter(({ comment }) => /^rds[12];n=pvc-1;/.test(comment)).length;
  const files = [OLD, NEW].filter((file) => device.file(file) !== undefined);
  const read = await Promise.all(files.map(letters));
  return { records, data: read.filter((text) => text === "ABC").length };
}

/**
 * Runs a conversion in a process that dies when RouterOS has carried out some statements of its step `switch`, and stopped.
 * @param statements that change something
 * @returns false: the step has fewer, and the conversion ended
 */
export async function killInSwitch(on: Stack, clock: Clock, statements: number): Promise<boolean> {
  const { faults, commands } = on.simulator;
  faults.add({ kind: "cutMidway", statement: statements }, { line: /:local tidy/ });
  const [stop, first] = [new AbortController(), on.controller()];
  const isStruck = () => commands.some(({ outcome }) => outcome === "cut");
  let ended = false;
  const given = convert(first, clock, stop.signal)
    .catch(() => {})
    .finally(() => {
      ended = true;
    });
  await until("the step is cut, or all has ended", () => ended || isStruck());
  stop.abort();
  await first.transport.close();
  await given;
  return isStruck();
}
