import { printable } from "../../domain/printable.ts";
import { stateOf } from "../../inspect/compare.ts";
import { SEVERITIES, type Severity } from "../../inspect/entry.ts";
import { ifKnown } from "../../inspect/fact.ts";
import type { VolumeFacts } from "../../inspect/facts.ts";
import { type Finding, sentenceOf } from "../../inspect/finding.ts";
import { shownLines, unknowns } from "./show-view.ts";
import { length, painted, type Screen, shortAge } from "./text.ts";

/** The mark of a line, by its worst finding. */
export const MARK: Readonly<Record<Severity, string>> = {
  critical: "!!",
  error: "!!",
  warning: "! ",
  info: "i ",
};
/** Code of a severity's colour, between `ESC [` and `m`. */
export const COLOUR: Readonly<Record<Severity, string>> = {
  critical: "31;1",
  error: "31",
  warning: "33",
  info: "36",
};
/** More columns than these do not read better. */
const MAX_WIDTH = 160;
const MIN_WIDTH = 60;
const LABEL = 9;

/** Breaks text into lines of at most `width` characters: at blanks, else after `/ : . , -`, else anywhere. Nothing is lost. */
export function wrap(text: string, width = Number.POSITIVE_INFINITY): string[] {
  const lines: string[] = [];
  let rest = [...text];
  while (rest.length > width) {
    const blank = rest.slice(0, width + 1).lastIndexOf(" ");
    const mark = rest.slice(0, width).findLastIndex((each) => "/:.,-".includes(each)) + 1;
    // A blank early in the line would leave most of it empty.
    const at = blank > width / 2 ? blank : mark > width / 2 ? mark : blank > 0 ? blank : mark || width;
    lines.push(rest.slice(0, at).join(""));
    rest = rest.slice(rest[at] === " " ? at + 1 : at);
  }
  return [...lines, rest.join("")];
}

/** `volumes show` for people: both sides beside each other, drift marked in its line and listed below. Ends with a newline. */
export function showText(facts: VolumeFacts, findings: readonly Finding[], options: Screen): string {
  const width =
    options.width === undefined ? undefined : Math.max(MIN_WIDTH, Math.min(MAX_WIDTH, options.width));
  const paint = (code: string, text: string): string =>
    painted(text, code, options.colour && text.trim() !== "");
  const flow = (indent: number, text: string): string[] =>
    wrap(printable(text), width && width - indent).map((line) => " ".repeat(indent) + line);
  const counts = SEVERITIES.toReversed().flatMap((severity) => {
    const count = findings.filter((each) => each.severity === severity).length;
    return count === 0 ? [] : [`${count} ${severity}`];
  });
  const title = `Volume ${facts.handle}: ${[stateOf(facts, findings), ...counts].join(", ")}`;
  const listed = findings.flatMap((finding) => {
    const { id, severity, rds, kubernetes, remedy } = finding;
    const text = sentenceOf(finding);
    const sides = Object.entries({ RDS: rds, Kubernetes: kubernetes })
      .flatMap(([side, said]) => (said === undefined ? [] : [`${side}: ${said}`]))
      .join("; ");
    const [first = "", ...rest] = flow(3, `${id}: ${text}.`);
    const head = `${paint(COLOUR[severity], MARK[severity])}${first.slice(2)}`;
    return [head, ...rest, ...flow(6, sides), ...flow(6, `Remedy: ${remedy}`)];
  });
  const events = (ifKnown(facts.cluster.events) ?? []).flatMap(
    ({ at, type, reason, about, message, count }) => {
      const when = at === 0 ? "-" : `${shortAge((facts.now - at) / 1_000)} ago`;
      return flow(3, `${when} ${type} ${reason} ${about}${count > 1 ? ` (${count} times)` : ""}: ${message}`);
    },
  );
  const missing = unknowns(facts).flatMap(({ what, reason, remedy }) => [
    ...flow(3, `${what}: ${reason}`),
    ...(remedy === undefined ? [] : flow(6, `Remedy: ${remedy}`)),
  ]);
  const section = (name: string, lines: readonly string[]): string[] =>
    lines.length === 0 ? [] : ["", paint("1", `${name}:`), ...lines];
  return `${[
    ...flow(0, title).map((line) => paint("1", line)),
    "",
    ...columns(facts, findings, width, paint),
    ...section("Drift", listed),
    ...section("Not known", missing),
    ...section("Events", events),
  ].join("\n")}\n`;
}

function columns(
  facts: VolumeFacts,
  findings: readonly Finding[],
  width: number | undefined,
  paint: (code: string, text: string) => string,
): string[] {
  const rows = shownLines(facts).map(({ about, rds, kubernetes }) => ({
    about,
    left: rds.map(printable),
    right: kubernetes.map(printable),
  }));
  const left = Math.max(3, ...rows.flatMap((row) => row.left.map(length)));
  const right = Math.max(10, ...rows.flatMap((row) => row.right.map(length)));
  const [l, r] = width === undefined ? [left, right] : shares(left, right, width - LABEL - 3 - 4);
  const line = (mark: string, label: string, a: string, b: string): string =>
    `${mark} ${label.padEnd(LABEL)}  ${a}${" ".repeat(Math.max(0, l - length(a)))}  ${b}`.trimEnd();
  const shown = rows.flatMap(({ about, left: a, right: b }) => {
    const marks = findings.filter((each) => each.about === about);
    // The list is sorted, the worst first.
    const severity = marks[0]?.severity;
    const [as, bs] = [a.flatMap((text) => wrap(text, l)), b.flatMap((text) => wrap(text, r))];
    return Array.from({ length: Math.max(as.length, bs.length) }, (_, index) => {
      const mark = severity === undefined || index > 0 ? "  " : MARK[severity];
      const text = line(mark, index > 0 ? "" : about, as[index] ?? "", bs[index] ?? "");
      return severity === undefined ? text : paint(COLOUR[severity], text);
    });
  });
  return [paint("1", line("  ", "", "RDS", "Kubernetes")), ...shown];
}

/** Widths of two columns that fit: each what it needs, or what the other leaves, or half. */
function shares(left: number, right: number, room: number): readonly [number, number] {
  if (left + right <= room) return [left, right];
  const half = Math.floor(room / 2);
  if (left <= half) return [left, room - left];
  if (right <= half) return [room - right, right];
  return [room - half, half];
}
