import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import type { Plan } from "./plan.ts";

/**
 * A plan with one part less, for each part that can be left out; the largest parts first.
 * @param about texts that name volumes: the others are left out first
 */
export function* smaller(plan: Plan, about: string): Generator<Plan> {
  const { volumes, faults } = plan;
  const named = volumes.filter(({ name }) => about.includes(name) || about.includes(volumeIdFromName(name)));
  if (named.length > 0 && named.length < volumes.length) yield { ...plan, volumes: named };
  if (volumes.length > 1) {
    for (const gone of volumes) yield { ...plan, volumes: volumes.filter((each) => each !== gone) };
  }
  for (const part of parts(faults)) yield { ...plan, faults: faults.filter((_, index) => !part(index)) };
  for (const [at, volume] of volumes.entries()) {
    for (const part of parts(volume.actions)) {
      const less = { ...volume, actions: volume.actions.filter((_, index) => !part(index)) };
      yield { ...plan, volumes: volumes.map((each, index) => (index === at ? less : each)) };
    }
  }
  if (Object.keys(plan.switches).length > 0) yield { ...plan, switches: {} };
  if (plan.profile !== "current") yield { ...plan, profile: "current" };
  if (plan.controllers > 1) yield { ...plan, controllers: 1 };
}

/** Halves, quarters, eighths and single elements of a list, each as a test of an index. */
function* parts(list: readonly unknown[]): Generator<(index: number) => boolean> {
  for (let size = Math.ceil(list.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < list.length; from += size)
      yield (index) => index >= from && index < from + size;
  }
}

export interface ShrinkOptions {
  /** Whether a plan fails as the first one did. */
  readonly fails: (plan: Plan) => Promise<boolean>;
  /** What the first failure says. */
  readonly about?: string;
  /** Whether there is time for another attempt. */
  readonly more: () => boolean;
}

/** Leaves out of a failing plan everything without which it still fails, as far as time allows. */
export async function shrink(plan: Plan, { fails, more, about = "" }: ShrinkOptions): Promise<Plan> {
  let least = plan;
  for (let progress = true; progress; ) {
    progress = false;
    for (const candidate of smaller(least, about)) {
      if (!more()) return least;
      if (await fails(candidate)) {
        least = candidate;
        progress = true;
        break;
      }
    }
  }
  return least;
}
