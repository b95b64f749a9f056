/**
 * One thing that was looked up. `unknown` means that nobody could be asked, or did not answer: it is never taken for
 * `absent`, which somebody confirmed.
 */
export type Fact<T> =
  | { readonly state: "known"; readonly value: T }
  | { readonly state: "absent" }
  | { readonly state: "unknown"; readonly reason: string };

export function known<T>(value: T): Fact<T> {
  return { state: "known", value };
}

export const absent: Fact<never> = { state: "absent" };

/** @param reason why it could not be found out, without a full stop */
export function unknown(reason: string): Fact<never> {
  return { state: "unknown", reason };
}

/** What an answer says in which undefined means that the thing is not there. */
export function found<T>(value: T | undefined): Fact<T> {
  return value === undefined ? absent : known(value);
}

/** The value; undefined when it is absent or unknown. */
export function ifKnown<T>(fact: Fact<T>): T | undefined {
  return fact.state === "known" ? fact.value : undefined;
}
