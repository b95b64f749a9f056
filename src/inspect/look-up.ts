import { DriverError } from "../domain/errors/driver-error.ts";
import { type Fact, unknown } from "./fact.ts";

/** Why a lookup that threw does not know. @throws what is a defect rather than an answer that did not come */
export function unknownBecause(error: unknown): Fact<never> {
  if (error instanceof DriverError) return unknown(error.summary);
  throw error;
}

/**
 * Asks for one thing; that it cannot be found out is an answer.
 * @throws the abort reason when that is not one of the catalogue: nobody waits for the answer any more
 */
export async function lookUp<T>(signal: AbortSignal, ask: () => Promise<Fact<T>>): Promise<Fact<T>> {
  try {
    return await ask();
  } catch (error) {
    if (signal.aborted && !(signal.reason instanceof DriverError)) throw signal.reason;
    return unknownBecause(error);
  }
}
