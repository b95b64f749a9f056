import type { DriverError } from "../domain/errors/driver-error.ts";

/**
 * What came of a question. `unknown`: it was asked and not answered, so nothing follows from it; `not-asked`: there was no
 * way or no reason to ask. Neither is ever taken for "absent".
 */
export type Known<T> =
  | { readonly state: "known"; readonly value: T }
  | {
      readonly state: "unknown";
      /** A phrase, for people. */
      readonly reason: string;
      /** The failure underneath, if it is one of the catalogue. */
      readonly error?: DriverError;
      /** No answer before the deadline. */
      readonly late?: true;
    }
  | { readonly state: "not-asked"; readonly reason: string };

export const known = <T>(value: T): Known<T> => ({ state: "known", value });
export const notAsked = <T>(reason: string): Known<T> => ({ state: "not-asked", reason });

/** The value, or `otherwise` where it is not known. */
export function valueOr<T, O>(answer: Known<T>, otherwise: O): T | O {
  return answer.state === "known" ? answer.value : otherwise;
}
