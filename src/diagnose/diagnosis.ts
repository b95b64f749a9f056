import { buildInfo } from "../observability/build-info.ts";
import type { Severity } from "./catalogue/entry.ts";
import { SEVERITIES } from "./catalogue/entry.ts";
import { type Chain, chainOf } from "./chain.ts";
import { checkRds, checkStorage } from "./checks/links.ts";
import { checkCluster, checkMachine, checkPlugin, checkUnanswered } from "./checks/machine.ts";
import { checkAround, checkConnections, checkUse } from "./checks/volume-path.ts";
import { checkDrift, checkLeftovers, checkRecord } from "./checks/volume-record.ts";
import { CHECK_TITLES, type CheckId, type Facts, type Gathered } from "./facts.ts";
import type { Draft, Finding } from "./finding.ts";
import { valueOr } from "./known.ts";
import { rankFindings, worstOf } from "./rank.ts";
import { isNamed, volumeCases } from "./volume-case.ts";

/** What became of one check. */
export interface CheckResult {
  readonly id: CheckId;
  readonly title: string;
  readonly state: "answered" | "unanswered" | "not-asked";
  /** Why there is no answer; "" if there is one. */
  readonly detail: string;
  readonly milliseconds: number;
}

/** The whole report; the input of every renderer. */
export interface Diagnosis {
  readonly node: string;
  readonly driverName: string;
  /** Milliseconds since the Unix epoch. */
  readonly createdAt: number;
  readonly durationMs: number;
  readonly version: string;
  /** undefined: nothing was found. */
  readonly worst: Severity | undefined;
  readonly counts: Readonly<Record<Severity, number>>;
  /** The true cause first; what it explains follows it. */
  readonly findings: readonly Finding[];
  readonly volumes: readonly Chain[];
  readonly checks: readonly CheckResult[];
  readonly facts: Facts;
}

/**
 * Judges what was gathered. Pure.
 * @param now milliseconds since the Unix epoch
 * @param volume only findings of this volume (handle, PersistentVolume or claim) and of the node as a whole
 */
export function diagnose(gathered: Gathered, now: number, durationMs: number, volume?: string): Diagnosis {
  const { config, facts, took } = gathered;
  const cases = volumeCases(gathered).filter((each) => volume === undefined || isNamed(each, volume));
  const pools = valueOr(facts.rds, undefined)?.pools ?? [];
  const log = valueOr(facts.kernelLog, []);
  const drafts: readonly Draft[] = [
    ...checkMachine(gathered),
    ...checkPlugin(gathered),
    ...checkCluster(gathered),
    ...checkUnanswered(gathered),
    ...checkStorage(gathered),
    ...checkRds(gathered),
    ...checkAround(valueOr(facts.connections, []), log, valueOr(facts.hungTasks, [])),
    ...cases.flatMap((each) => [
      ...checkRecord(config, pools, each),
      ...checkDrift(each),
      ...checkLeftovers(config, each),
      ...checkConnections(config, log, each),
      ...checkUse(config, each, now),
    ]),
  ];
  const findings = rankFindings(merge(drafts));
  const count = (severity: Severity): number => findings.filter((each) => each.severity === severity).length;
  return {
    node: config.nodeId,
    driverName: config.driverName,
    createdAt: now,
    durationMs: Math.round(durationMs),
    version: buildInfo.version,
    worst: worstOf(findings),
    counts: Object.fromEntries(SEVERITIES.map((each) => [each, count(each)])) as Record<Severity, number>,
    findings,
    volumes: cases.map((each) => chainOf(config, each)),
    checks: (Object.keys(CHECK_TITLES) as CheckId[]).map((id) => checkResult(id, facts, took[id])),
    facts,
  };
}

/** One finding where two checks saw the same, with the evidence of both. */
function merge(drafts: readonly Draft[]): readonly Draft[] {
  const merged = new Map<string, Draft>();
  for (const draft of drafts) {
    const key = [draft.id, draft.subject.kind, draft.subject.name].join("\n");
    const before = merged.get(key);
    merged.set(
      key,
      before === undefined
        ? draft
        : { ...before, evidence: [...new Set([...before.evidence, ...draft.evidence])] },
    );
  }
  return [...merged.values()];
}

function checkResult(id: CheckId, facts: Facts, milliseconds = 0): CheckResult {
  const answer = facts[id];
  const base = { id, title: CHECK_TITLES[id], milliseconds };
  if (answer.state === "known") return { ...base, state: "answered", detail: "" };
  const state = answer.state === "unknown" ? "unanswered" : "not-asked";
  return { ...base, state, detail: answer.reason };
}
