import { Bench, type ProbeSettings } from "./bench.ts";
import type { Answer, Experiment, Stage } from "./experiment.ts";
import { Unanswered } from "./unanswered.ts";

/** One experiment that was made. */
export interface Result {
  readonly experiment: Experiment;
  /** Of an experiment that failed: `unanswered`. */
  readonly answer: Answer;
  readonly tookMs: number;
}

/** Told of the experiments as they go. */
export interface Watcher {
  readonly onBegin: (experiment: Experiment) => void;
  readonly onEnd: (result: Result) => void;
}

/** Answer of an experiment that ended without one. */
export const UNANSWERED = "unanswered";

/**
 * Makes experiments one after the other, in the order of the catalogue. One that fails leaves its question open, and the next follows.
 * @throws the error of the connection if the device cannot be reached at all; the signal's reason if it is aborted
 */
export async function runExperiments(
  bench: Bench,
  experiments: readonly Experiment[],
  signal: AbortSignal,
  watcher: Watcher,
): Promise<readonly Result[]> {
  await bench.main();
  const results: Result[] = [];
  for (const experiment of experiments) {
    signal.throwIfAborted();
    watcher.onBegin(experiment);
    const begun = bench.clock.monotonic();
    const answer = await within(bench, experiment).catch((error: unknown): Answer => {
      signal.throwIfAborted();
      return { answer: UNANSWERED, came: error instanceof Error ? error.message : String(error) };
    });
    const result = { experiment, answer, tookMs: bench.clock.monotonic() - begun };
    results.push(result);
    watcher.onEnd(result);
  }
  return results;
}

/** How long an experiment that is over its limit may take to end its last line and to clean up. Milliseconds. */
const LEAVE_MS = 180_000;

async function within(bench: Bench, { ask, limitMs }: Experiment): Promise<Answer> {
  const timer = new AbortController();
  const running = ask(bench);
  const late = bench.clock.sleep(limitMs, timer.signal).then(
    () => Promise.reject(new Unanswered(`not ended within ${limitMs / 1_000} s`)),
    () => new Promise<never>(() => {}),
  );
  try {
    return await Promise.race([running, late]);
  } catch (error) {
    // Else it would change things, and remove them, under the next one.
    const isOver = running.then(
      () => {},
      () => {},
    );
    await Promise.race([isOver, bench.clock.sleep(LEAVE_MS, timer.signal).catch(() => {})]);
    throw error;
  } finally {
    timer.abort();
  }
}

/** The switches that results settle; a later experiment sees more exactly. */
export function settledBy(results: readonly Result[]): Readonly<Record<string, string>> {
  return Object.assign({}, ...results.map(({ answer }) => answer.switches ?? {}));
}

export type { ProbeSettings, Stage };
export { Bench };
