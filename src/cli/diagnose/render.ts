import type { Diagnosis } from "../../diagnose/diagnosis.ts";
import { diagnosisDocument } from "../../diagnose/document.ts";
import type { RankedFinding } from "../../diagnose/rank.ts";
import { printable } from "../../domain/printable.ts";
import type { Severity } from "../../inspect/entry.ts";
import { machineText } from "../machine-text.ts";
import type { OutputFormat } from "../volumes/render.ts";
import { painted, type Screen } from "../volumes/text.ts";
import { sections } from "./sections.ts";
import { wrap } from "./wrap.ts";

export interface DiagnoseRenderOptions extends Screen {
  readonly format: OutputFormat;
}

const COLOURS: Readonly<Record<Severity, string>> = {
  critical: "1;31",
  error: "31",
  warning: "33",
  info: "36",
};
/** Wider lines are not read any better. */
const MOST_COLUMNS = 160;

/** The report as text that ends with a newline. */
export function renderDiagnosis(diagnosis: Diagnosis, options: DiagnoseRenderOptions): string {
  const { format } = options;
  if (format === "json" || format === "yaml") return machineText(diagnosisDocument(diagnosis), format);
  return people(diagnosis, options);
}

function people(diagnosis: Diagnosis, { format, width, colour }: DiagnoseRenderOptions): string {
  const wide = format === "wide";
  const columns = wide ? undefined : width === undefined ? undefined : Math.min(width, MOST_COLUMNS);
  const lines = [
    ...wrap(headline(diagnosis), columns),
    "",
    ...diagnosis.findings.flatMap((finding) => [...findingLines(finding, columns, colour), ""]),
  ];
  for (const { title, body } of sections(diagnosis, columns, wide))
    lines.push(painted(title, "1", colour), ...body, "");
  return `${lines.join("\n").trimEnd()}\n`;
}

function headline({ node, worst, counts, durationMs, version }: Diagnosis): string {
  const parts = (["critical", "error", "warning", "info"] as const)
    .filter((severity) => counts[severity] > 0)
    .map((severity) => `${counts[severity]} ${severity}`);
  const seen = worst === undefined ? "nothing found" : parts.join(", ");
  return `Node ${printable(node)}: ${seen} (rds-csi ${version}, ${(durationMs / 1000).toFixed(1)} s)`;
}

function findingLines(finding: RankedFinding, width: number | undefined, colour: boolean): readonly string[] {
  const { severity, id, title, evidence, remedy, causedBy } = finding;
  const indent = causedBy === undefined ? "" : "  ";
  const inner = width === undefined ? undefined : Math.max(30, width - indent.length - 4);
  const label = severity.toUpperCase();
  const [first = "", ...rest] = wrap(
    `${label} ${title}`,
    inner === undefined ? undefined : inner + 4,
    "    ",
  );
  const field = (name: string, text: string): readonly string[] =>
    wrap(`${name.padEnd(7)} ${printable(text)}`, inner, "        ").map((line) => `    ${line}`);
  const subject = `${id} · ${finding.subject.name}`;
  return [
    first.replace(label, painted(label, COLOURS[severity], colour)),
    ...rest,
    ...field("id", subject),
    ...(causedBy === undefined ? [] : field("because", `${causedBy.id} · ${causedBy.subject.name}`)),
    ...evidence.flatMap((text) => field("seen", text)),
    // What follows from a cause is mended with it.
    ...(causedBy === undefined ? field("do", remedy) : []),
  ].map((line) => `${indent}${line}`);
}
