import type { Control } from "../support/control.ts";
import type { FaultStep } from "./draw-faults.ts";

/** How many faults of a kind were set, and how many of them struck. */
export interface Struck {
  readonly set: number;
  readonly struck: number;
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
  for (const [kind, { set, struck }] of rounds.flatMap((each) => [...each])) {
    const before = sum.get(kind) ?? { set: 0, struck: 0 };
    sum.set(kind, { set: before.set + set, struck: before.struck + struck });
  }
  return sum;
}

export function shortStruck(kinds: StruckKinds): string {
  const all = [...kinds.values()];
  const total = (field: keyof Struck) => all.reduce((sum, each) => sum + each[field], 0);
  return `${total("struck")} of ${total("set")} faults struck`;
}

/** One line for people: each kind, and once more those of which none struck. */
export function longStruck(kinds: StruckKinds): string {
  const sorted = [...kinds].sort(([a], [b]) => (a < b ? -1 : 1));
  const never = sorted.flatMap(([kind, { struck }]) => (struck === 0 ? [kind] : []));
  const each = sorted.map(([kind, { set, struck }]) => `${kind} ${struck}/${set}`).join(", ");
  return `faults that struck: ${each || "none was set"}${never.length === 0 ? "" : `; NEVER: ${never.join(", ")}`}`;
}

/** Counts the faults of a round that struck. */
export class Strikes {
  readonly #steps: ReadonlyMap<FaultStep, { struck: boolean }>;
  /** Rules of the simulator that runs, by their places in its list. */
  readonly #rules = new Map<number, FaultStep>();

  constructor(steps: readonly FaultStep[]) {
    this.#steps = new Map(steps.map((step) => [step, { struck: false }]));
  }

  struck(step: FaultStep): void {
    const found = this.#steps.get(step);
    if (found !== undefined) found.struck = true;
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
      [...this.#steps].map(
        ([step, { struck }]) => new Map([[kindOf(step), { set: 1, struck: struck ? 1 : 0 }]]),
      ),
    );
  }
}
