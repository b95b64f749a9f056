import type { Control } from "../support/control.ts";
import type { FaultStep } from "./draw-faults.ts";

/** How many faults of a kind were set, and how many of them struck. */
export interface Struck {
  readonly set: number;
  readonly struck: number;
  /** Those that this machine cannot set; they are not among the ones that were set. */
  readonly skipped: number;
  /** Why they were skipped. */
  readonly reason?: string;
}

/** By kind of fault, as `kindOf` names it. */
export type StruckKinds = ReadonlyMap<string, Struck>;

/** The kind of a fault, with that of its rule at the RDS or of its answer of the API server. */
export function kindOf(step: FaultStep): string {
  if (step.fault === "rds") return `rds ${step.rule.kind}`;
  return step.fault === "api" ? `api ${step.how}` : step.fault;
}

/** Adds up rounds. */
export function sumOf(rounds: readonly StruckKinds[]): StruckKinds {
  const sum = new Map<string, Struck>();
  for (const [kind, one] of rounds.flatMap((each) => [...each])) {
    const before = sum.get(kind) ?? { set: 0, struck: 0, skipped: 0 };
    sum.set(kind, {
      ...{ ...before, ...one },
      ...{ set: before.set + one.set, struck: before.struck + one.struck },
      skipped: before.skipped + one.skipped,
    });
  }
  return sum;
}

const sorted = (kinds: StruckKinds): [string, Struck][] => [...kinds].sort(([a], [b]) => (a < b ? -1 : 1));

/**
 * A kind that was set this often in a campaign has to strike. Rules for rare lines strike one time in four: of so many, all miss once in
 * 100,000 campaigns.
 */
const SET_OFTEN = 40;

/** What the faults say of a campaign, in words, a line each. */
export interface Verdict {
  /** Kinds that were set `SET_OFTEN` times or more and never struck. */
  readonly failed: readonly string[];
  /** Kinds that this machine cannot set. */
  readonly skipped: readonly string[];
}

/** Whether each kind of fault of a campaign struck. A pure function. */
export function verdictOn(kinds: StruckKinds): Verdict {
  return {
    failed: sorted(kinds).flatMap(([kind, { set, struck }]) =>
      set >= SET_OFTEN && struck === 0 ? [`faults of the kind "${kind}" never struck; ${set} were set`] : [],
    ),
    skipped: sorted(kinds).flatMap(([kind, { skipped, reason }]) =>
      skipped > 0 ? [`${skipped} faults of the kind "${kind}": ${reason}`] : [],
    ),
  };
}

export function shortStruck(kinds: StruckKinds): string {
  const all = [...kinds.values()];
  const total = (field: "set" | "struck" | "skipped") => all.reduce((sum, each) => sum + each[field], 0);
  const skipped = total("skipped");
  return `${total("struck")} of ${total("set")} faults struck${skipped === 0 ? "" : `, ${skipped} skipped`}`;
}

/** One line for people: each kind, and once more those of which none struck. */
export function longStruck(kinds: StruckKinds): string {
  const never = sorted(kinds).flatMap(([kind, { set, struck }]) => (set > 0 && struck === 0 ? [kind] : []));
  const each = sorted(kinds)
    .flatMap(([kind, { set, struck }]) => (set > 0 ? [`${kind} ${struck}/${set}`] : []))
    .join(", ");
  return `faults that struck: ${each || "none was set"}${never.length === 0 ? "" : `; NEVER: ${never.join(", ")}`}`;
}

/** Counts the faults of a round that struck. */
export class Strikes {
  readonly #steps: ReadonlyMap<FaultStep, { struck: boolean; skipped?: string }>;
  /** Rules of the simulator that runs, by their places in its list. */
  readonly #rules = new Map<number, FaultStep>();

  constructor(steps: readonly FaultStep[]) {
    this.#steps = new Map(steps.map((step) => [step, { struck: false }]));
  }

  struck(step: FaultStep): void {
    const found = this.#steps.get(step);
    if (found !== undefined) found.struck = true;
  }

  /** This machine cannot set the fault. */
  skip(step: FaultStep, reason: string): void {
    const found = this.#steps.get(step);
    if (found !== undefined) found.skipped = reason;
  }

  /** A rule was set; `collect` tells whether it struck. */
  rule(step: FaultStep, place: number): void {
    this.#rules.set(place, step);
  }

  /** Reads the hits of the rules; before the simulator ends, as a new one counts anew. */
  async collect(control: Control): Promise<void> {
    const hits = await control.hits();
    for (const [place, step] of this.#rules) if ((hits[place] ?? 0) > 0) this.struck(step);
  }

  /** The simulator has ended, and its rules with it. */
  forgetRules(): void {
    this.#rules.clear();
  }

  get kinds(): StruckKinds {
    return sumOf(
      [...this.#steps].map(([step, { struck, skipped }]) => {
        const one =
          skipped === undefined
            ? { set: 1, struck: struck ? 1 : 0, skipped: 0 }
            : { set: 0, struck: 0, skipped: 1, reason: skipped };
        return new Map([[kindOf(step), one]]);
      }),
    );
  }
}
