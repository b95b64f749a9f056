import type { Clock } from "../../domain/clock.ts";
import type { ChannelOutcome } from "./channel.ts";
import type { Verdict } from "./channel-limit.ts";

/** The shortest and the longest wait that the first channel is given, in milliseconds. */
const FIRST_DELAY_MS = 100;
const MIN_SECOND_DELAY_MS = 400;
const MAX_SECOND_DELAY_MS = 5_000;

/** Runs a line on a channel of its own. `onOpened` is called once the server has given the channel. */
export type ProbeChannel = (line: string, onOpened: () => void) => Promise<ChannelOutcome>;

/**
 * Asks a device whether it runs two channels of one connection at the same time, before a real command depends on the answer: some may
 * start the second command only when the first has ended, be the second channel confirmed at once or not. The first channel runs
 * `:delay`, the second `:put`. An answer of the second while the first still waits proves that both ran. On a serial device the answers
 * come in order. As they may come in order on a slow link, too, the question is asked again with a delay of four times the time that
 * the answer took. The commands change nothing. No other command may run on the connection: its channel could be the last one
 * that the server gives.
 * @returns `refused` if the server refused one of the two channels; undefined if the question was not answered
 */
export async function runsInParallel(
  run: ProbeChannel,
  clock: Clock,
): Promise<Verdict | "refused" | undefined> {
  const first = await ask(run, clock, FIRST_DELAY_MS);
  if (typeof first !== "number") return first;
  const delay = Math.min(MAX_SECOND_DELAY_MS, Math.max(MIN_SECOND_DELAY_MS, 4 * first));
  const second = await ask(run, clock, Math.ceil(delay));
  return typeof second === "number" ? "serial" : second;
}

/** @returns the time in milliseconds after which the second channel was answered, if that was behind the first */
async function ask(
  run: ProbeChannel,
  clock: Clock,
  delayMs: number,
): Promise<number | "parallel" | "refused" | undefined> {
  let onOpened = (): void => {};
  const opened = new Promise<void>((resolve) => {
    onOpened = resolve;
  });
  const begun = clock.monotonic();
  const waiting = run(`:delay ${delayMs}ms`, onOpened);
  // A channel that is never given ends its command.
  await Promise.race([opened, waiting]);
  const asked = clock.monotonic();
  const quick = run(":put 1", () => {});
  const early = await Promise.race([waiting.then(() => undefined), quick]);
  const answer = early ?? (await quick);
  if (answer.kind === "notSent" && answer.isRefused) return "refused";
  if (answer.kind !== "answered") return undefined;
  if (early !== undefined) return "parallel";
  const now = clock.monotonic();
  const first = await waiting;
  if (first.kind === "notSent" && first.isRefused) return "refused";
  // A device that did not wait has not answered the question.
  return first.kind === "answered" && now - begun >= delayMs ? now - asked : undefined;
}
