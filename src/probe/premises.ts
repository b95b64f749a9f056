import type { FailedPremise, Feature } from "../domain/premises.ts";
import { EXPERIMENTS } from "./catalogue.ts";
import type { DeviceProfile } from "./device-profile.ts";
import { UNCLEAR } from "./experiment.ts";

/** The answers that rule a feature out, by experiment. */
const RULED_OUT: readonly (readonly [Feature, string, readonly string[]])[] = [
  ["snapshots", "snapshot", ["none", "empty", "no-clone"]],
  ["snapshots", "subvolume", ["missing"]],
  ["copies", "disk-copy", ["missing"]],
  ["copies", "file-that-exists", ["file-gone"]],
  ["expansion", "grow", ["refused"]],
  ["online-expansion", "growth-seen", ["never"]],
  ["allow-list", "allow-list", ["ignored"]],
];

/** The features that a device's answers rule out. */
export function failedPremises({ answers }: DeviceProfile): readonly FailedPremise[] {
  return RULED_OUT.flatMap(([feature, experiment, bad]) => {
    const found = answers[experiment];
    return found !== undefined && bad.includes(found.answer) ? [{ feature, experiment, ...found }] : [];
  });
}

/** An answer that nobody has foreseen; each experiment may give it. */
const UNFORESEEN = "unclear";

/**
 * Answers that the experiments of this version do not give, as `experiment is answer`: of a later version, or written by hand. Nobody knows here which
 * features they rule out.
 */
export function unknownAnswers({ answers }: DeviceProfile): readonly string[] {
  return EXPERIMENTS.flatMap(({ id, answers: foreseen }) => {
    const answer = answers[id]?.answer ?? UNFORESEEN;
    return answer === UNFORESEEN || Object.hasOwn(foreseen, answer) ? [] : [`${id} is ${answer}`];
  });
}

/** What a profile leaves open, for a log. */
export interface OpenPremises {
  /** Features by experiment whose premise was not asked for, or had an answer that nobody has foreseen. */
  readonly open: readonly string[];
  /** Ids in the profile that no experiment of this version has. */
  readonly unknown: readonly string[];
}

/** The premises about which a profile says nothing. */
export function openPremises({ answers }: DeviceProfile): OpenPremises {
  const open = RULED_OUT.flatMap(([feature, experiment]) => {
    const answer = answers[experiment]?.answer;
    if (answer !== undefined && answer !== UNFORESEEN) return [];
    return [`${feature}: ${experiment} ${answer === undefined ? "was not answered" : `is ${answer}`}`];
  });
  const ids = new Set(EXPERIMENTS.map(({ id }) => id));
  return { open, unknown: Object.keys(answers).filter((id) => !ids.has(id)) };
}

/** An answer that makes the driver unsafe on a device as a whole. */
export interface UnsafeAnswer {
  readonly experiment: string;
  readonly came: string;
  /** The consequence. A sentence. */
  readonly driver: string;
}

/** Answers with which the driver must not run, but those that only rule a feature out. */
export function unsafeAnswers({ answers }: DeviceProfile): readonly UnsafeAnswer[] {
  return EXPERIMENTS.flatMap((experiment) => {
    const found = answers[experiment.id];
    if (found === undefined) return [];
    const { weight, driver } = experiment.answers[found.answer] ?? UNCLEAR;
    const isOfFeature = RULED_OUT.some(([, id, bad]) => id === experiment.id && bad.includes(found.answer));
    return weight === "unsafe" && !isOfFeature
      ? [{ experiment: experiment.id, came: found.came, driver }]
      : [];
  });
}
