import type { Input } from "../../config/load.ts";
import type { VolumeId } from "../../domain/volume-id.ts";
import { compareVolume } from "../../inspect/compare.ts";
import { type Fact, ifKnown, isUnanswered, known, lookUp, unknown } from "../../inspect/fact.ts";
import type { VolumeFacts } from "../../inspect/facts.ts";
import { isProblem } from "../../inspect/finding.ts";
import { gatherVolume } from "../../inspect/gather.ts";
import { lookedAt, nameUnknown, resolveName, shownName, type VolumeName } from "../../inspect/resolve.ts";
import { volumeFacts, type World } from "../../inspect/world.ts";
import type { Kubernetes } from "../../kubernetes/create.ts";
import { ExitCode } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { machineText } from "../machine-text.ts";
import { limitsOf, readWorld, withSides } from "./connect.ts";
import { showDocument } from "./show-document.ts";
import { showText } from "./show-text.ts";

export interface ShowOptions {
  readonly name: VolumeName;
  readonly output: "table" | "json" | "yaml";
  /** Exit with code 3 when there is drift that is more than information; 1 when a side that was asked does not answer. */
  readonly failOnProblems: boolean;
  /** Limit for everything, seconds. */
  readonly timeoutSeconds: number;
}

/** `rds-csi volumes show`: reads the RDS and the cluster, changes neither. Four RouterOS commands, the version's included. */
export async function runVolumesShow(input: Input, options: ShowOptions, io: Io): Promise<number> {
  const { timeoutSeconds, failOnProblems, name: wanted, output } = options;
  return withSides(input, { timeoutSeconds }, io, async (sides) => {
    const { rds, config } = sides;
    const cluster = ifKnown(sides.cluster);
    const limits = limitsOf(sides, timeoutSeconds, io.stop);
    try {
      const world = await readWorld(sides, limits);
      const sources = { address: rds.address, survey: world.survey, pvs: world.cluster.pvs };
      const hint = await unboundClaim(cluster, world, wanted, limits.forCluster);
      const handle = ifKnown(resolveName(wanted, sources, hint));
      const details = { ...limits, rds, directory: config.directory, cluster };
      const name = shownName(wanted);
      const facts =
        handle === undefined
          ? volumeFacts(unresolved(world, lookedAt(sources, wanted)), name as VolumeId)
          : await gatherVolume(world, handle, details);
      if (handle !== undefined && isNowhere(facts)) throw nameUnknown(wanted, sources, hint);
      const findings = compareVolume(facts);
      const shown = { facts, handle, name };
      const { columns: width, colour } = io;
      const isText = output === "table";
      const text = isText
        ? showText(facts, findings, { width, colour })
        : machineText(showDocument(shown, findings), output);
      io.out(text);
      if (facts.rds.disk.state === "unknown") return ExitCode.failure;
      if (!failOnProblems) return ExitCode.ok;
      if (findings.some(isProblem)) return ExitCode.problems;
      // A check that could not look has not passed.
      return config.orchestrator !== "none" && facts.cluster.pv.state === "unknown"
        ? ExitCode.failure
        : ExitCode.ok;
    } finally {
      limits.clear();
    }
  });
}

/** Whether no side that was asked has anything of a volume: disk item, file, PersistentVolume. */
function isNowhere({ rds, cluster: { pv } }: VolumeFacts): boolean {
  return (
    rds.disk.state === "absent" && rds.file.state === "absent" && pv.state !== "known" && !isUnanswered(pv)
  );
}

/** A world in which a side that answered, and does not know the name, knows nothing of the volume. */
function unresolved({ survey, cluster, ...world }: World, looked: ReturnType<typeof lookedAt>): World {
  const side = <T>(fact: Fact<T>, reason: string): Fact<T> =>
    fact.state === "unknown" ? fact : unknown(reason);
  const pvs = side(cluster.pvs, looked.cluster);
  return { ...world, survey: side(survey, looked.rds), cluster: { ...cluster, pvs } };
}

/** Says of a claim that has no volume yet that it has none, instead of that it is not known. */
async function unboundClaim(
  cluster: Kubernetes | undefined,
  { cluster: { pvs } }: World,
  { namespace, name }: VolumeName,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (cluster === undefined || namespace === undefined || pvs.state !== "known") return undefined;
  if (pvs.value.some(({ claim }) => claim?.namespace === namespace && claim.name === name)) return undefined;
  const found = await lookUp(signal, async () =>
    known(await cluster.inspector.claim(namespace, name, signal)),
  );
  const claim = ifKnown(found);
  return claim === undefined
    ? undefined
    : `the claim exists, is ${claim.phase}, and has no volume of this driver`;
}
