import type { Clock } from "../../domain/clock.ts";
import type { ChannelOutcome, ChannelUse } from "./channel.ts";

/** The two answers to the question whether a device runs the channels of one connection at the same time. */
export type Verdict = "parallel" | "serial";

/** The shortest and the longest wait that the first channel is given, in milliseconds. */
const FIRST_DELAY_MS = 100;
const MIN_SECOND_DELAY_MS = 400;
const MAX_SECOND_DELAY_MS = 5_000;
/** Runs a line on a channel of its own. */
export type ProbeChannel = (
  line: string,
  use: Pick<ChannelUse, "abandon" | "onOpened">,
) => Promise<ChannelOutcome>;

/**
 * Asks a device whether it runs two channels of one connection at the same time, before a real command depends on the answer: some may
 * start the second command only when the first has ended, be the second channel confirmed at once or not. The first channel runs
 * `:delay`, the second `:put`. An answer of the second within the time of the delay proves that both ran; the order of two answers proves
 * nothing, as they may arrive together. An answer after that time may be due to a slow link. So the question is asked again with a
 * delay of four times the time that the answer took. A delay that ends early proves nothing: the device may not know the command. The commands change nothing. No other command may run on the connection: its
 * channel could be the last one that the server gives, and its work could hold up the answer.
 * @param answerMs how long an answer may take beyond the delay, in milliseconds; then both channels are given up
 * @returns undefined if the question was not answered: a channel was refused or lost, no answer came in time, or the delay ended early
 */
export async function runsInParallel(
  run: ProbeChannel,
  clock: Clock,
  answerMs: number,
): Promise<Verdict | undefined> {
  const first = await ask(run, clock, FIRST_DELAY_MS, answerMs);
  if (typeof first !== "number") return first;
  const delay = Math.min(MAX_SECOND_DELAY_MS, Math.max(MIN_SECOND_DELAY_MS, 4 * first));
  const second = await ask(run, clock, Math.ceil(delay), answerMs);
  return typeof second === "number" ? "serial" : second;
}

/** @returns the time in milliseconds after which the second channel was answered, if the delay had passed by then */
async function ask(
  run: ProbeChannel,
  clock: Clock,
  delayMs: number,
  answerMs: number,
): Promise<number | "parallel" | undefined> {
  const over = new AbortController();
  const giveUp = new AbortController();
  const late = clock.sleep(delayMs + answerMs, over.signal).then(
    () => giveUp.abort(),
    () => {},
  );
  const begun = clock.monotonic();
  const opened = Promise.withResolvers<void>();
  const first = run(`:delay ${delayMs}ms`, { abandon: giveUp.signal, onOpened: opened.resolve });
  let endedEarly = false;
  void first.then(() => {
    endedEarly = clock.monotonic() - begun < delayMs;
  });
  // A channel that is never given ends its command.
  await Promise.race([opened.promise, first, late]);
  const asked = clock.monotonic();
  const second = run(":put 1", { abandon: giveUp.signal, onOpened: () => {} });
  // The delay of a device that runs both goes on, bounded by the same time.
  void Promise.allSettled([first, second]).then(() => over.abort());
  const answer = await Promise.race([second, late]);
  if (answer?.kind !== "answered") return undefined;
  const now = clock.monotonic();
  if (endedEarly) return undefined;
  if (now - begun < delayMs) return "parallel";
  const delayed = await Promise.race([first, late]);
  return delayed?.kind === "answered" ? now - asked : undefined;
}
