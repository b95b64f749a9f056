/** A mutant that no test can notice. */
export interface Explanation {
  /** As `scripts/mutate` prints it. */
  readonly key: string;
  readonly why: string;
}

/** The survivors, each with the reason. An entry without a mutant fails the run. */
export const EXPLAINED: readonly Explanation[] = [];
