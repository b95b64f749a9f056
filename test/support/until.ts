import { setTimeout as delay } from "node:timers/promises";

/** Just below the limit of a test, so that the error names the condition. Milliseconds. */
export const PATIENCE_MS = 50_000;

/** Waits until a condition holds. @throws Error that names `what` shortly before the test would end by its own limit */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  everyMs = 5,
): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; !(await condition()); await delay(everyMs))
    if (performance.now() > end) throw new Error(`waited in vain until ${what}`);
}
