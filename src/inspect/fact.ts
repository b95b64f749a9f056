import { DriverError, toDriverError } from "../domain/errors/driver-error.ts";

/**
 * The answer to one question. `absent` is confirmed by the side that was asked. `unknown` means that no side answered, or none
 * was asked: nothing follows from it.
 */
export type Fact<T> = Known<T> | { readonly state: "absent" } | Unknown;

export interface Known<T> {
  readonly state: "known";
  readonly value: T;
}

export interface Unknown {
  readonly state: "unknown";
  /** Why there is no answer, without a full stop. */
  readonly reason: string;
  /** The failure of the catalogue underneath. */
  readonly error?: DriverError;
  /** No answer came before the deadline. */
  readonly late?: true;
  /** There was no way or no reason to ask. */
  readonly notAsked?: true;
}

export function known<T>(value: T): Known<T> {
  return { state: "known", value };
}

export const absent: Fact<never> = { state: "absent" };

export function unknown(reason: string): Unknown {
  return { state: "unknown", reason };
}

export function notAsked(reason: string): Unknown {
  return { state: "unknown", reason, notAsked: true };
}

/** A failed question. Errors outside the catalogue are shown as INTERNAL. */
export function unknownBecause(thrown: unknown): Unknown {
  const error = toDriverError(thrown);
  return { state: "unknown", reason: error.summary, error };
}

/** The fact of an answer in which undefined means absent. */
export function found<T>(value: T | undefined): Fact<T> {
  return value === undefined ? absent : known(value);
}

/** The value; undefined when it is absent or unknown. */
export function ifKnown<T>(fact: Fact<T>): T | undefined {
  return fact.state === "known" ? fact.value : undefined;
}

/** The value, or `otherwise` when it is absent or unknown. */
export function valueOr<T, O>(fact: Fact<T>, otherwise: O): T | O {
  return fact.state === "known" ? fact.value : otherwise;
}

/** Whether somebody was asked and did not answer. */
export function isUnanswered(fact: Fact<unknown>): fact is Unknown {
  return fact.state === "unknown" && fact.notAsked !== true;
}

/** The fact that follows from a known value; absent and unknown stay. */
export function mapFact<T, U>(fact: Fact<T>, make: (value: T) => Fact<U>): Fact<U> {
  return fact.state === "known" ? make(fact.value) : fact;
}

/**
 * Asks one question; a failure of the catalogue makes the answer unknown.
 * @throws the abort reason if it is no error of the catalogue: the caller has gone; a defect
 */
export async function lookUp<T>(signal: AbortSignal, ask: () => Promise<Fact<T>>): Promise<Fact<T>> {
  try {
    return await ask();
  } catch (error) {
    if (signal.aborted && !(signal.reason instanceof DriverError)) throw signal.reason;
    if (error instanceof DriverError) return unknownBecause(error);
    throw error;
  }
}
