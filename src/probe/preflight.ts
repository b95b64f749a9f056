import { toDriverError } from "../domain/errors/driver-error.ts";
import { shortSize } from "../domain/size.ts";
import { reachOf, type StoragePort } from "../host/reach.ts";
import { canHoldSubvolumes } from "../rds/subvolume.ts";
import type { Bench } from "./bench.ts";
import { EXPERIMENTS } from "./catalogue.ts";
import type { DeviceProfile } from "./device-profile.ts";
import { failedPremises, unknownAnswers, unsafeAnswers } from "./premises.ts";
import { meaningOf } from "./report.ts";
import { type Result, runExperiments, UNANSWERED } from "./run.ts";
import { Scratch } from "./scratch/scratch.ts";

/** One line of a preflight. */
export interface Check {
  /** `login`, `version`, `policies`, `clock`, `sessions`, `pool`, `port`, `profile`. */
  readonly id: string;
  readonly state: "ok" | "warning" | "error";
  /** The facts, as a sentence without a full stop. */
  readonly text: string;
  /** A sentence; "" if there is nothing to do. */
  readonly remedy: string;
}

/** Experiments of a preflight, which take milliseconds each. */
const QUICK = ["version", "policies", "clock", "sessions"];
/** Experiments whose answers are compared with a device profile, besides. */
const COMPARED = [
  ...["runtime-error", "parse-error", "unknown-command", "unknown-argument", "missing-item", "line-ends"],
  ...["wrapped-put", "json", "detail-as-value", "proplist", "flags"],
];
/** How long the port of the exports may take to answer. Milliseconds. */
const PORT_MS = 3_000;
/** A pool with less than this share left is worth a warning. */
const SCARCE = 10n;

const ok = (id: string, text: string): Check => ({ id, state: "ok", text, remedy: "" });

function ofExperiment({ experiment, answer }: Result): Check {
  const { weight, driver } = meaningOf(experiment, answer);
  const text = answer.answer === UNANSWERED ? `not answered: ${answer.came}` : answer.came;
  if (weight === "handled" || weight === "fact") return ok(experiment.id, text);
  return { id: experiment.id, state: weight === "unsafe" ? "error" : "warning", text, remedy: driver };
}

async function poolCheck(bench: Bench): Promise<Check> {
  try {
    const { pool, isBtrfs } = await Scratch.on(bench);
    const { slot, fs, free = 0n, size = 0n } = pool;
    const has =
      canHoldSubvolumes(pool) && isBtrfs ? "volumes can have snapshots" : "volumes cannot have snapshots";
    const text = `${slot}: ${fs}, ${shortSize(free)} of ${shortSize(size)} free, ${has}`;
    if (free * SCARCE >= size) return ok("pool", text);
    return { id: "pool", state: "warning", text, remedy: "Little is left for volumes and snapshots." };
  } catch (error) {
    const { summary, commandRemedy } = toDriverError(error);
    return { id: "pool", state: "error", text: summary, remedy: commandRemedy };
  }
}

async function portCheck(bench: Bench, port: StoragePort): Promise<Check> {
  const reach = await reachOf(port, PORT_MS, () => bench.clock.monotonic());
  const text = `${port.address} port ${port.port}`;
  if (reach.kind === "reached") return ok("port", `${text} answers from here in ${reach.milliseconds} ms`);
  const why = reach.kind === "silent" ? "does not answer" : `is refused (${reach.code})`;
  const remedy =
    "Nodes must reach it, this machine need not: `rds-csi diagnose` on a node looks from there. An RDS without an export may refuse it.";
  return { id: "port", state: "warning", text: `${text} ${why} from here`, remedy };
}

const AGAIN = "Run `rds-csi probe --save` again, and give the new file to the controller.";

/** A device profile: whether a controller starts with it, and whether its answers are those of today. */
function profileCheck(results: readonly Result[], profile: DeviceProfile): Check {
  const unsafe = unsafeAnswers(profile);
  if (unsafe.length > 0) {
    const text = `unsafe: ${unsafe.map(({ experiment, came }) => `${experiment} (${came})`).join("; ")}`;
    const remedy = `${unsafe.map(({ driver }) => driver).join(" ")} A controller does not start with this profile.`;
    return { id: "profile", state: "error", text, remedy };
  }
  const unknown = unknownAnswers(profile);
  if (unknown.length > 0) {
    const text = `made by rds-csi ${profile.probedBy}, with answers that this version does not know: ${unknown.join(", ")}`;
    return { id: "profile", state: "error", text, remedy: `${AGAIN} It does not start with this one.` };
  }
  const isCompared = results.some(
    ({ experiment: { id }, answer: { answer } }) =>
      profile.answers[id] !== undefined && answer !== UNANSWERED,
  );
  const changed = drift(results, profile);
  if (!isCompared && changed.length === 0) {
    const remedy = "Nobody knows whether the profile is of this RDS. Look at the other lines, and repeat it.";
    return { id: "profile", state: "warning", text: "no answer could be compared", remedy };
  }
  if (changed.length > 0) return { id: "profile", state: "warning", text: changed.join("; "), remedy: AGAIN };
  const ruledOut = failedPremises(profile).map(({ feature, experiment }) => `${feature} (${experiment})`);
  const text = `as on ${profile.probedAt.slice(0, 10)}`;
  return ok("profile", ruledOut.length === 0 ? text : `${text}; ruled out: ${ruledOut.join(", ")}`);
}

/** Answers that are not as a device profile has them, and another device or version. */
function drift(results: readonly Result[], profile: DeviceProfile): readonly string[] {
  const changed = results.flatMap(({ experiment: { id }, answer: { answer } }) => {
    const before = profile.answers[id]?.answer;
    return before === undefined || answer === UNANSWERED || before === answer
      ? []
      : [`${id} is ${answer}, was ${before}`];
  });
  const was = profile.answers.version?.came;
  const now = results.find(({ experiment }) => experiment.id === "version")?.answer;
  const isOther = was !== undefined && now !== undefined && now.answer !== UNANSWERED && now.came !== was;
  return isOther ? [...changed, `the RDS is ${now.came}, was ${was}`] : changed;
}

/**
 * Looks whether an RDS is ready for the driver. Changes nothing on it. Never throws but for the signal.
 * @param port of the exports; undefined: it is not looked at
 * @param profile the answers of an earlier probe, if there is one
 */
export async function preflight(
  bench: Bench,
  { port, profile }: { readonly port: StoragePort | undefined; readonly profile: DeviceProfile | undefined },
  signal: AbortSignal,
): Promise<readonly Check[]> {
  try {
    await bench.main();
  } catch (error) {
    signal.throwIfAborted();
    const { summary, commandRemedy } = toDriverError(error);
    return [{ id: "login", state: "error", text: summary, remedy: commandRemedy }];
  }
  const wanted = profile === undefined ? QUICK : [...QUICK, ...COMPARED];
  const chosen = EXPERIMENTS.filter(({ id }) => wanted.includes(id));
  const results = await runExperiments(bench, chosen, signal, { onBegin: () => {}, onEnd: () => {} });
  return [
    ok("login", `${bench.settings.connection.user} at ${bench.address}, the host key is pinned`),
    ...results.filter(({ experiment: { id } }) => QUICK.includes(id)).map(ofExperiment),
    await poolCheck(bench),
    ...(port === undefined ? [] : [await portCheck(bench, port)]),
    ...(profile === undefined ? [] : [profileCheck(results, profile)]),
  ];
}
