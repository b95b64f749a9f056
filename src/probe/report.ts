import {
  type Answer,
  type Experiment,
  type Meaning,
  STAGES,
  type Stage,
  UNCLEAR,
  type Weight,
} from "./experiment.ts";
import { type Result, UNANSWERED } from "./run.ts";

const OPEN: Meaning = {
  weight: "limits",
  driver:
    "The question is open: the driver goes by what it assumes. Run the probe again; please report a question that stays open.",
};

/** The meaning of an answer. */
export function meaningOf({ answers }: Experiment, { answer }: Answer): Meaning {
  if (answer === UNANSWERED) return OPEN;
  return answers[answer] ?? UNCLEAR;
}

/** The order of a report, and the headline of each part. */
const PARTS: readonly (readonly [Weight, string])[] = [
  ["unsafe", "UNSAFE HERE: do not run the driver on this RDS as it is"],
  ["limits", "TO KNOW"],
  ["handled", "HANDLED BY THE DRIVER"],
  ["fact", "FACTS"],
];

/** The report for people, as lines; the answers that matter most come first. */
export function reportLines(results: readonly Result[], address: string): readonly string[] {
  const weighed = results.map((result) => ({
    ...result,
    meaning: meaningOf(result.experiment, result.answer),
  }));
  const count = (weight: Weight) => weighed.filter(({ meaning }) => meaning.weight === weight).length;
  const lines: string[] =
    count("unsafe") === 0
      ? [`None of these ${results.length} answers makes the driver unsafe here.`, ""]
      : [];
  for (const [weight, title] of PARTS) {
    const part = weighed.filter(({ meaning }) => meaning.weight === weight);
    if (part.length === 0) continue;
    lines.push(title);
    for (const { experiment, answer, meaning } of part) {
      lines.push(`  ${experiment.id}: ${experiment.question}`);
      lines.push(`    came:  ${answer.answer} - ${answer.came}`);
      lines.push(`    means: ${meaning.driver}`);
    }
    lines.push("");
  }
  const open = results.filter(
    ({ answer }) => answer.answer === UNANSWERED || answer.answer === "unclear",
  ).length;
  const missing = notAsked(results);
  if (missing.length > 0) lines.push(`Not asked: ${missing.join(", ")}.`);
  lines.push(
    `${address}: ${results.length} questions, ${count("unsafe")} unsafe, ${count("limits")} to know, ${open} open or unclear.`,
  );
  return lines;
}

/** The flags of the stages that were left out, for a person who might take a short report for a whole one. */
function notAsked(results: readonly Result[]): readonly string[] {
  const asked = results.map(({ experiment }) => experiment.stage);
  if (asked.includes("reboot")) return [];
  return STAGES.filter((stage) => !asked.includes(stage)).map((stage) =>
    stage === "reboot" ? "a reboot (--before-reboot)" : `--${stage}`,
  );
}

/** The report for programs. Its fields are only ever added to. */
export function reportDocument(
  results: readonly Result[],
  address: string,
  stages: readonly Stage[],
): object {
  return {
    apiVersion: "rds-csi/v1",
    kind: "ProbeReport",
    address,
    stages,
    items: results.map(({ experiment, answer, tookMs }) => {
      const { id, stage, question } = experiment;
      const { weight, driver } = meaningOf(experiment, answer);
      const { came, switches = {} } = answer;
      return {
        id,
        stage,
        question,
        answer: answer.answer,
        came,
        weight,
        means: driver,
        switches,
        tookMs: Math.round(tookMs),
      };
    }),
  };
}

/** Whether a result makes the driver unsafe. */
export function isUnsafe({ experiment, answer }: Result): boolean {
  return meaningOf(experiment, answer).weight === "unsafe";
}

/** The stages from their flags, in their order. The harmless one is among them, but for a comparison after a reboot. */
export function stagesOf(chosen: Readonly<Partial<Record<Stage, boolean>>>): readonly Stage[] {
  if (chosen.reboot === true) return ["reboot"];
  return STAGES.filter((stage) => stage === "read-only" || chosen[stage] === true);
}
