import { didYouMean } from "../config/did-you-mean.ts";
import { printable } from "../domain/printable.ts";

/** One option of the command line that selects things of a list. */
export interface Condition<T> {
  /** The option as it was typed. */
  readonly text: string;
  readonly wanted: readonly string[];
  readonly fits: (each: T) => boolean;
  /** The values of which the option could have chosen, with their plural; undefined for a fixed set. */
  readonly values?: readonly [string, (each: T) => readonly string[]];
}

/** Whether a thing meets each condition. */
export function fitsAll<T>(conditions: readonly Condition<T>[]): (each: T) => boolean {
  return (each) => conditions.every(({ fits }) => fits(each));
}

/** The conditions as options; "" when there are none. */
export function conditionsText<T>(conditions: readonly Condition<T>[]): string {
  return conditions.map(({ text }) => text).join(" ");
}

/** Answers an empty result: how many things there are, how many each option selects, and which values exist. @param noun of one thing */
export function nothingFits<T>(
  all: readonly T[],
  conditions: readonly Condition<T>[],
  noun: string,
): string[] {
  const total = all.length === 1 ? `1 ${noun} exists` : `${all.length} ${noun}s exist`;
  const head = `No ${noun} matches ${conditionsText(conditions)}. ${total}.`;
  const lines = conditions.flatMap(({ text, wanted, fits, values }) => {
    const count = all.filter(fits).length;
    const alone = conditions.length > 1 ? [`${text} alone matches ${count}.`] : [];
    if (count > 0 || values === undefined) return alone;
    const existing = [...new Set(all.flatMap(values[1]))].toSorted();
    const meant = didYouMean(wanted[0] ?? "", existing);
    const question = meant === undefined ? "" : ` Did you mean ${meant}?`;
    return [...alone, `The ${values[0]}: ${some(existing, 10)}.${question}`];
  });
  return [head, ...lines].map(printable);
}

/** The first few names of a list, and how many more there are. */
export function some(names: readonly string[], most: number): string {
  if (names.length === 0) return "none";
  const more = names.length > most ? ` and ${names.length - most} more` : "";
  return `${names.slice(0, most).join(", ")}${more}`;
}

/** Orders texts by their code units. */
export const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Orders texts; things without one come last. */
export const lastIfMissing = (a: string | undefined, b: string | undefined): number =>
  a === undefined || b === undefined ? Number(a === undefined) - Number(b === undefined) : compare(a, b);
