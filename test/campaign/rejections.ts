import process from "node:process";
import type { History } from "./history.ts";

/** A round that runs: its seed and its history. */
interface Round {
  readonly seed: number;
  readonly history: History;
}

const rounds = new Set<Round>();

/** A rejected promise does not tell whose it is: each round that runs has failed. */
function rejected(error: unknown): void {
  const seeds = [...rounds].map(({ seed }) => seed).join(", ");
  for (const { history } of rounds) history.broke(error, `nobody waited for it; rounds that ran: ${seeds}`);
}

/**
 * From here on a promise that rejects while nobody waits for it is a fact of the rounds that run, instead of the end of this process.
 * @returns what ends that for this round
 */
export function catchRejections(seed: number, history: History): () => void {
  const round = { seed, history };
  if (rounds.size === 0) process.on("unhandledRejection", rejected);
  rounds.add(round);
  return () => {
    rounds.delete(round);
    if (rounds.size === 0) process.off("unhandledRejection", rejected);
  };
}
