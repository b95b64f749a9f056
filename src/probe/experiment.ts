import type { Bench } from "./bench.ts";

/** The stages, harmless first. Each has a flag of its own. */
export const STAGES = ["read-only", "scratch", "exported", "node", "reboot"] as const;
export type Stage = (typeof STAGES)[number];

/** The weight of an answer: the driver relies on another one, works around it, or is indifferent. */
export type Weight = "unsafe" | "limits" | "handled" | "fact";

/** The meaning of one answer. */
export interface Meaning {
  readonly weight: Weight;
  /** The consequence for the driver's user. A sentence. */
  readonly driver: string;
}

/** The driver works with this answer. */
export const handled = (driver: string): Meaning => ({ weight: "handled", driver });

/** Something does not work with this answer, or less well. */
export const limits = (driver: string): Meaning => ({ weight: "limits", driver });

/** The driver must not run with this answer. */
export const unsafe = (driver: string): Meaning => ({ weight: "unsafe", driver });

/** The driver is indifferent to this answer. */
export const fact = (driver: string): Meaning => ({ weight: "fact", driver });

/** The result of an experiment. */
export interface Answer {
  /** A key of `Experiment.answers`, or `unclear`. */
  readonly answer: string;
  /** The evidence: texts and figures as they came. */
  readonly came: string;
  /** Switches of the simulator that this settles, by their names on the command line. */
  readonly switches?: Readonly<Record<string, string>>;
}

/** One question to a device. */
export interface Experiment {
  /** Such as `error-status`; also the anchor in docs/probe.md. */
  readonly id: string;
  readonly stage: Stage;
  readonly question: string;
  /** Sent and changed, in few words, for the announcement. */
  readonly does: string;
  /** What may come, and its meaning. */
  readonly answers: Readonly<Record<string, Meaning>>;
  /** Names of the switches that it can settle. */
  readonly settles: readonly string[];
  /** Limit for all of it. Milliseconds. */
  readonly limitMs: number;
  /** Asks. An error means that the question stays open. */
  readonly ask: (bench: Bench) => Promise<Answer>;
}

/** The answer `unclear`, which every experiment may give: the device answered in a way that nobody has foreseen. */
export const UNCLEAR: Meaning = {
  weight: "limits",
  driver:
    "The answer fits none of the foreseen ones. Please report it: the driver may not have been written for it.",
};

/** An answer that nobody has foreseen. */
export function unclear(came: string): Answer {
  return { answer: "unclear", came };
}

/** A text of the device for a report: printable, on one line, at most 200 characters. */
export function shown(text: string): string {
  const line = text
    .trim()
    .replace(/[\r\n]+/g, " | ")
    .replace(/[^ -~]/g, "?");
  return line.length > 200 ? `${line.slice(0, 197)}...` : line;
}
