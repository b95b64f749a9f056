import type { Input } from "../../config/load.ts";
import { ChunkSize } from "../../controller/chunk-size.ts";
import { convertVolume } from "../../controller/convert-volume.ts";
import { type Clock, systemClock } from "../../domain/clock.ts";
import { shortSize } from "../../domain/size.ts";
import type { VolumeId } from "../../domain/volume-id.ts";
import { known, lookUp } from "../../inspect/fact.ts";
import { resolveName, type VolumeName } from "../../inspect/resolve.ts";
import { loggerFor } from "../../observability/logger.ts";
import { inBackground } from "../../observability/request-scope.ts";
import { CONVERSION_STEPS, type Conversion, type ConversionStep } from "../../rds/convert-steps.ts";
import { copyProgress } from "../../rds/copy.ts";
import { SETTLE_MS } from "../../rds/copy-end.ts";
import { readPremises } from "../device-profile.ts";
import { ExitCode } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { limitsOf, type Sides, withSides } from "./connect.ts";

export interface ConvertCommandOptions {
  readonly name: VolumeName;
  /** Carry the plan out. */
  readonly yes: boolean;
  /** Give the conversion up. */
  readonly abort: boolean;
  /** Limit for the plan, seconds. The copy takes as long as it takes. */
  readonly timeoutSeconds: number;
}

/** Between two lines that tell how far the copy is, milliseconds. */
const REPORT_MS = 5_000;

/**
 * `rds-csi volumes convert`: moves a plain volume on a Btrfs pool into a subvolume. Changes something only with `yes`. May be interrupted at any
 * moment: the same command goes on.
 * @throws devicePremise (FAILED_PRECONDITION) where a device profile rules copies out
 * @param clock of the work
 */
export async function runVolumesConvert(
  input: Input,
  options: ConvertCommandOptions,
  io: Io,
  clock: Clock = systemClock,
): Promise<number> {
  const { timeoutSeconds } = options;
  return withSides(input, { timeoutSeconds, strict: true }, io, (sides) =>
    convert(sides, options, io, clock),
  );
}

async function convert(
  sides: Sides,
  { name, yes, abort, timeoutSeconds }: ConvertCommandOptions,
  io: Io,
  clock: Clock,
): Promise<number> {
  const { conversions: store } = sides.rds;
  // It makes the volume's disk item anew on a file that must have stayed.
  const { premises } = await readPremises(sides.config, loggerFor(sides.config, "volumes"));
  if (!abort) premises.require("copies");
  const limits = limitsOf(sides, timeoutSeconds, io.stop);
  let id: VolumeId;
  try {
    id = await handleOf(sides, name, limits.forRds);
    const plan = await store.look(id, limits.forRds);
    if (plan.step === "done") {
      io.out(`Volume ${id} is in a subvolume already: ${plan.newFile}. Nothing to do.\n`);
      return ExitCode.ok;
    }
    if (abort) {
      io.out(
        `Volume ${id} stays as it is: ${plan.oldFile}. ${plan.directory} is removed if it is there, and the mark.\n`,
      );
      if (!yes) io.out("Nothing was changed. The same command with --yes carries the plan out.\n");
      else await store.abort(plan, limits.forRds).then(() => io.out("Done.\n"));
      return ExitCode.ok;
    }
    io.out(planText(plan));
  } finally {
    limits.clear();
  }
  if (!yes) {
    io.out("Nothing was changed. The same command with --yes carries the plan out.\n");
    return ExitCode.ok;
  }
  const report = reporter(io);
  const waits = (ms: number) => {
    const seconds = Math.ceil(ms / 1_000);
    io.out(`copy: whole; waiting ${seconds} s, until the RDS has surely written it to its disks\n`);
  };
  const work = () => convertVolume({ store, clock, sizes: new ChunkSize(), report, waits }, id, io.stop);
  await inBackground("convert", work);
  return ExitCode.ok;
}

async function handleOf({ rds, cluster }: Sides, name: VolumeName, signal: AbortSignal): Promise<VolumeId> {
  const survey = await rds.survey(signal);
  const pvs =
    cluster.state === "known"
      ? await lookUp(signal, async () => known(await cluster.value.reader.persistentVolumes(signal)))
      : cluster;
  // Only a volume that is named in full is changed.
  const named = resolveName(name, { address: rds.address, survey: known(survey), pvs }, undefined, true);
  if (named.state === "unknown") throw named.error;
  return named.value;
}

/** The steps that are left, for a person. */
export function planText(conversion: Conversion): string {
  const { id, step, pool, sizeBytes, oldFile, newFile, directory } = conversion;
  const size = shortSize(sizeBytes);
  const texts: Readonly<Record<Exclude<ConversionStep, "done">, string>> = {
    mark: "mark the volume: no node gets it, and no call changes it, until the last step",
    make: `make the subvolume ${directory} with a file of ${size}; pool ${pool.slot} has ${shortSize(pool.free ?? 0n)} free`,
    copy: `copy ${size} from ${oldFile} to ${newFile}, part by part, and wait ${SETTLE_MS / 1_000} s until the RDS has surely written it`,
    switch: `make the volume's disk item anew on ${newFile}; the old file stays, with the record beside it`,
    tidy: `look whether the volume has the new file, of its whole size, and remove ${oldFile}`,
    unmark: "unmark the volume: handle, record and epoch are those that it had",
  };
  const left = CONVERSION_STEPS.slice(CONVERSION_STEPS.indexOf(step)).filter((each) => each !== "done");
  const lines = left.map((each, index) => `  ${index + 1}. ${each}: ${texts[each as keyof typeof texts]}.\n`);
  const isBegun = step !== "mark" ? " It was begun, and goes on here:" : "";
  return `Volume ${id} moves into a subvolume of pool ${pool.slot}.${isBegun}\n${lines.join("")}`;
}

/** Prints each step once, and how far the copy is now and then. */
function reporter(io: Io): (step: ConversionStep, copied?: { done: bigint; total: bigint }) => void {
  let last: ConversionStep | undefined;
  let at = systemClock.monotonic();
  return (step, copied) => {
    if (copied !== undefined && systemClock.monotonic() - at >= REPORT_MS) {
      at = systemClock.monotonic();
      io.out(`copy: ${copyProgress(copied)}\n`);
    }
    if (step === last) return;
    last = step;
    io.out(step === "done" ? "Done.\n" : `${step} …\n`);
  };
}
