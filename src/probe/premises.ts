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

/** Answers that this version does not know, as `experiment: answer`: those of a probe of another version. */
export function unknownAnswers({ answers }: DeviceProfile): readonly string[] {
  return Object.entries(answers).flatMap(([id, { answer }]) => {
    const known = EXPERIMENTS.find((experiment) => experiment.id === id)?.answers;
    return answer === "unclear" || (known !== undefined && answer in known) ? [] : [`${id}: ${answer}`];
  });
}
