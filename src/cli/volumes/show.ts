import { type Input, loadVolumesConfig } from "../../config/load.ts";
import { systemClock } from "../../domain/clock.ts";
import { failure } from "../../domain/errors/driver-error.ts";
import { compareVolume } from "../../inspect/compare.ts";
import { type Fact, ifKnown, known } from "../../inspect/fact.ts";
import { type PvFacts, unknownCluster, type VolumeFacts } from "../../inspect/facts.ts";
import { type ClusterSource, gatherCluster, listPersistentVolumes } from "../../inspect/gather-cluster.ts";
import { gatherRds } from "../../inspect/gather-rds.ts";
import { lookUp, unknownBecause } from "../../inspect/look-up.ts";
import { resolveName, type VolumeName } from "../../inspect/resolve.ts";
import { limitOf } from "../../routeros/transport/limit.ts";
import { ExitCode } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { loggerFor } from "../logging.ts";
import { jsonText, yamlText } from "../machine-text.ts";
import { openCluster, openRds, within, withKnownCluster } from "./connect.ts";
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

/** `rds-csi volumes show`: reads the RDS and the cluster, changes neither. Three RouterOS commands, the version's included. */
export async function runVolumesShow(input: Input, options: ShowOptions, io: Io): Promise<number> {
  const loaded = await loadVolumesConfig(input);
  const logger = loggerFor(loaded, "volumes");
  const { timeoutSeconds } = options;
  // With the API server away the RDS's side is shown all the same.
  const config = await withKnownCluster(loaded, logger, within(timeoutSeconds, io.stop)).catch(() => loaded);
  const { rds, transport } = openRds(config, logger, timeoutSeconds);
  const late = failure("kubernetesUnavailable", {
    ...{ verb: "read", resource: "the volume", reason: `no answer within ${timeoutSeconds} s` },
  });
  const limits = [
    limitOf(transport, timeoutSeconds, io.stop),
    limitOf({ whyNoAnswer: () => late }, timeoutSeconds, io.stop),
  ] as const;
  const [forRds, forCluster] = [limits[0].signal, limits[1].signal];
  const cluster = await openedCluster(() => openCluster(config, logger));
  const source = ifKnown(cluster);
  try {
    const whyNot = cluster.state === "unknown" ? cluster.reason : "--orchestrator is none";
    const [survey, pvs] = await Promise.all([
      lookUp(forRds, async () => known(await rds.survey(forRds))),
      listPersistentVolumes(source, whyNot, forCluster),
    ]);
    const hint = await unboundClaim(source, pvs, options.name, forCluster);
    const handle = resolveName(options.name, { address: rds.address, survey, pvs }, hint);
    const [onRds, inCluster] = await Promise.all([
      gatherRds(rds, survey, handle, config.directory, forRds),
      source === undefined ? unknownCluster(whyNot) : gatherCluster(source, pvs, handle, forCluster),
    ]);
    const { clusterId, nqnPrefix, nvmePort, fencing } = config;
    const installation = { clusterId, nqnPrefix, nvmePort, fencing };
    const facts = { handle, now: systemClock.now(), installation, rds: onRds, cluster: inCluster };
    const drift = compareVolume(facts);
    io.out(render(facts, drift, options, io));
    if (onRds.disk.state === "unknown") return ExitCode.failure;
    if (!options.failOnProblems) return ExitCode.ok;
    if (drift.some(({ severity }) => severity !== "info")) return ExitCode.problems;
    // A check that could not look has not passed.
    return config.orchestrator !== "none" && pvs.state === "unknown" ? ExitCode.failure : ExitCode.ok;
  } finally {
    for (const limit of limits) limit.clear();
    await Promise.all([transport.close(), source?.close(0)]);
  }
}

async function openedCluster<T>(open: () => Promise<T>): Promise<Fact<T>> {
  try {
    return known(await open());
  } catch (error) {
    return unknownBecause(error);
  }
}

/** Says of a claim that has no volume yet that it has none, instead of that it is not known. */
async function unboundClaim(
  source: ClusterSource | undefined,
  pvs: Fact<readonly PvFacts[]>,
  { namespace, name }: VolumeName,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (source === undefined || namespace === undefined || pvs.state !== "known") return undefined;
  if (pvs.value.some(({ claim }) => claim?.namespace === namespace && claim.name === name)) return undefined;
  const found = await lookUp(signal, async () => {
    const claim = await source.inspector.claim(namespace, name, signal);
    return known(claim);
  });
  const claim = ifKnown(found);
  return claim === undefined
    ? undefined
    : `the claim exists, is ${claim.phase}, and has no volume of this driver`;
}

function render(
  facts: VolumeFacts,
  drift: ReturnType<typeof compareVolume>,
  { output }: ShowOptions,
  io: Io,
): string {
  if (output === "table") return showText(facts, drift, { width: io.columns, colour: io.colour });
  const document = showDocument(facts, drift);
  return output === "json" ? `${jsonText(document, 2)}\n` : yamlText(document);
}
