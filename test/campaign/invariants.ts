import type { Fact } from "./history.ts";

export type Invariant =
  | "record lost"
  | "I/O failed"
  | "too many writers"
  | "writable after detach"
  | "attachment forgotten"
  | "released in use"
  | "wrong answer"
  | "defect"
  | "deadline missed"
  | "size not reached"
  | "not healthy"
  | "left behind"
  | "process ended"
  | "round too long";

export interface Violation {
  readonly invariant: Invariant;
  readonly text: string;
}

/** Time that an answer may come after the deadline of its call, on a busy machine; milliseconds. */
export const ANSWER_SLACK_MS = 5_000;

/** What a history says against the invariants of the campaign; empty if they hold. A pure function. */
export function violations(facts: readonly Fact[]): Violation[] {
  const found: Violation[] = [];
  const add = (invariant: Invariant, text: string) => found.push({ invariant, text });
  for (const fact of facts) {
    switch (fact.fact) {
      case "read":
        if (fact.lost.length > 0)
          add("record lost", `${fact.volume} on ${fact.node}: ${fact.lost.join(", ")}`);
        break;
      case "ioError":
        add("I/O failed", `${fact.volume} on ${fact.node}: ${fact.error}`);
        break;
      case "writers":
        if (fact.connected.length > fact.most || fact.recorded > fact.most)
          add(
            "too many writers",
            `${fact.volume}: ${fact.connected.join("+")}; record: ${fact.recorded}; most: ${fact.most}`,
          );
        if (fact.unrecorded.length > 0)
          add("attachment forgotten", `${fact.volume}: the record lacks ${fact.unrecorded.join("+")}`);
        if (fact.detached && (fact.exported || fact.recorded > 0))
          add(
            "writable after detach",
            `${fact.volume}: exported ${fact.exported}, in the record ${fact.recorded}`,
          );
        break;
      case "granted":
        if (fact.nodes.length > fact.most)
          add("too many writers", `${fact.volume}: granted to ${fact.nodes.join("+")}; most: ${fact.most}`);
        break;
      case "damaged":
        add("record lost", `${fact.volume}: the filesystem is damaged: ${fact.report}`);
        break;
      case "log":
        add("defect", `log of ${fact.process}: ${fact.line}`);
        break;
      case "releasedInUse":
        add("released in use", `${fact.volume} on ${fact.node} by ${fact.by}`);
        break;
      case "size":
        if (fact.found < fact.wanted)
          add("size not reached", `${fact.volume}: ${fact.found} of ${fact.wanted} bytes`);
        break;
      case "call":
        checkCall(fact, add);
        break;
      case "healthy":
        if (fact.not !== undefined) add("not healthy", fact.not);
        else if (fact.tookMs > fact.withinMs)
          add("not healthy", `only after ${Math.round(fact.tookMs)} ms of ${fact.withinMs} ms`);
        break;
      case "left":
        add("left behind", fact.what);
        break;
      case "ended":
        add("process ended", fact.what);
        break;
      case "overlong":
        add("round too long", `not over within ${fact.limitMs} ms`);
        break;
      default:
    }
  }
  return found;
}

function checkCall(
  fact: Extract<Fact, { fact: "call" }>,
  add: (invariant: Invariant, text: string) => void,
): void {
  const what = `${fact.volume} ${fact.method} (${fact.process})`;
  if (!fact.disturbed && fact.tookMs > fact.deadlineMs + ANSWER_SLACK_MS)
    add("deadline missed", `${what}: ${Math.round(fact.tookMs)} ms of ${fact.deadlineMs} ms`);
  if (/^(INTERNAL: internal error|UNKNOWN|UNIMPLEMENTED|INVALID_ARGUMENT|DATA_LOSS)/.test(fact.outcome))
    add("defect", `${what}: ${fact.outcome}`);
  if (fact.never !== undefined && new RegExp(fact.never).test(fact.outcome))
    add("wrong answer", `${what}: ${fact.outcome}`);
}
