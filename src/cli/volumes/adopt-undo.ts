import type { Input } from "../../config/load.ts";
import { failure } from "../../domain/errors/driver-error.ts";
import { counted } from "../../domain/sentence.ts";
import { isOfEarlierDriver } from "../../domain/volume-id.ts";
import { known, lookUp } from "../../inspect/fact.ts";
import { resolveName } from "../../inspect/resolve.ts";
import { givenBackProblem } from "../../rds/earlier.ts";
import type { RdsVolume } from "../../rds/volume.ts";
import { ExitCode } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import type { AdoptOptions } from "./adopt.ts";
import { limitsOf, type Sides, withSides } from "./connect.ts";

/**
 * `rds-csi volumes adopt --undo`: gives adopted volumes back to the earlier Go driver. Changes something only with `yes`, each volume only while its
 * record is the one that was shown. May be interrupted and repeated.
 * @returns problems when a volume cannot be given back
 */
export async function runVolumesAdoptUndo(input: Input, options: AdoptOptions, io: Io): Promise<number> {
  const { timeoutSeconds } = options;
  return withSides(input, { timeoutSeconds, strict: true }, io, (sides) => {
    const limits = limitsOf(sides, timeoutSeconds, io.stop);
    return undo(sides, options, io, limits.forRds).finally(limits.clear);
  });
}

async function undo(sides: Sides, { name, yes }: AdoptOptions, io: Io, signal: AbortSignal): Promise<number> {
  const { rds } = sides;
  const volumes = await chosen(sides, name, signal);
  const ready: RdsVolume[] = [];
  for (const volume of volumes) {
    const problem = givenBackProblem(volume) ?? (await twinProblem(sides, volume, signal));
    if (problem === undefined) ready.push(volume);
    io.out(`Volume ${volume.id}: ${problem === undefined ? changeText(volume) : `stays; ${problem}`}.\n`);
  }
  io.out(
    `${counted(ready.length, "volume", "volumes")} to give back, ${volumes.length - ready.length} left alone.\n`,
  );
  if (!yes && ready.length > 0)
    io.out("Nothing was changed. The same command with --yes carries the plan out.\n");
  let failed = volumes.length - ready.length;
  for (const volume of yes ? ready : []) {
    const done = await rds.earlier.giveBack(volume, signal);
    if (!done) failed += 1;
    io.out(
      `Volume ${volume.id} ${done ? "is given back" : "was changed meanwhile, and stays; repeat the command"}.\n`,
    );
  }
  return failed > 0 ? ExitCode.problems : ExitCode.ok;
}

/** A node of the earlier driver that connects to the plain NQN might get the other disk. */
async function twinProblem({ rds }: Sides, { id }: RdsVolume, signal: AbortSignal) {
  const twins = await rds.earlier.twins(id, signal);
  if (twins.length === 0) return undefined;
  return `disk ${twins.join(", ")} is exported under the NQN that the earlier driver gives it; switch that export off on the RDS`;
}

function changeText({ record, disk }: RdsVolume): string {
  const nodes = record.attachments.map(({ node }) => node).join(" and ");
  return disk.exported
    ? `loses its record; ${nodes} ${record.attachments.length === 1 ? "keeps its connection" : "keep their connections"}`
    : "loses its record, and is exported under its plain NQN";
}

async function chosen(
  { rds, cluster }: Sides,
  name: AdoptOptions["name"],
  signal: AbortSignal,
): Promise<readonly RdsVolume[]> {
  const survey = await rds.survey(signal);
  const adopted = survey.volumes.filter(({ id }) => isOfEarlierDriver(id));
  if (name === undefined) return adopted;
  const pvs =
    cluster.state === "known"
      ? await lookUp(signal, async () => known(await cluster.value.reader.persistentVolumes(signal)))
      : cluster;
  const sources = { address: rds.address, survey: known(survey), pvs };
  const resolved = resolveName(name, sources, undefined, true);
  if (resolved.state === "unknown") throw resolved.error;
  const found = adopted.find(({ id }) => id === resolved.value);
  if (found !== undefined) return [found];
  const other = survey.foreign.find(({ id }) => id === resolved.value);
  const reason = other?.reason ?? "this driver made it, and the earlier one cannot use it";
  throw failure("notGivenBack", { volume: resolved.value, reason });
}
