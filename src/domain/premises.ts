import { failure } from "./errors/driver-error.ts";

/** Features that rest on a behaviour of the RDS which no documentation promises. */
export const FEATURES = ["snapshots", "copies", "expansion", "online-expansion", "allow-list"] as const;
export type Feature = (typeof FEATURES)[number];

/** The answer of a device that rules a feature out. */
export interface FailedPremise {
  readonly feature: Feature;
  /** Id of the experiment. */
  readonly experiment: string;
  /** The answer, and the evidence. */
  readonly answer: string;
  readonly came: string;
}

/** The premises of features, as far as a device was asked. */
export class Premises {
  /** Nobody has asked the device. */
  static readonly unasked = new Premises([]);

  readonly #failed: ReadonlyMap<Feature, FailedPremise>;

  constructor(failed: readonly FailedPremise[]) {
    this.#failed = new Map(failed.map((each) => [each.feature, each]));
  }

  /** Why a feature is ruled out, if it is. */
  against(feature: Feature): FailedPremise | undefined {
    return this.#failed.get(feature);
  }

  /** @throws devicePremise (FAILED_PRECONDITION) if the device's answers rule the feature out */
  require(feature: Feature): void {
    const failed = this.#failed.get(feature);
    if (failed !== undefined) throw failure("devicePremise", { ...failed });
  }
}
