import { SEVERITIES, type Severity } from "../inspect/entry.ts";
import { valueOr } from "../inspect/fact.ts";
import type { Finding } from "../inspect/finding.ts";
import type { VolumeFinding } from "../inspect/volume-finding.ts";
import { buildInfo } from "../observability/build-info.ts";
import type { FindingId } from "./catalogue/catalogue.ts";
import { type Chain, chainOf } from "./chain.ts";
import { checkPools, checkRds, checkStorage } from "./checks/links.ts";
import { checkCluster, checkMachine, checkPlugin, checkUnanswered } from "./checks/machine.ts";
import { checkAround, checkConnections, checkUse } from "./checks/volume-path.ts";
import { checkLeftovers, checkRecord } from "./checks/volume-record.ts";
import { CHECK_TITLES, type CheckId, type Facts, type Gathered } from "./facts.ts";
import { type Draft, type RankedFinding, rankFindings, worstOf } from "./rank.ts";
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

/** The whole report; the input of every renderer. The order of the fields is that of the document. */
export interface Diagnosis {
  readonly node: string;
  readonly driverName: string;
  readonly version: string;
  /** Milliseconds since the Unix epoch. */
  readonly createdAt: number;
  readonly durationMs: number;
  /** undefined: nothing was found. */
  readonly worst: Severity | undefined;
  readonly counts: Readonly<Record<Severity, number>>;
  /** The true cause first; what it explains follows it. */
  readonly findings: readonly RankedFinding[];
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
  const cases = volumeCases(gathered, now).filter((each) => volume === undefined || isNamed(each, volume));
  const log = valueOr(facts.kernelLog, []);
  const drafts: readonly (Draft | Finding<FindingId>)[] = [
    ...checkMachine(gathered),
    ...checkPlugin(gathered),
    ...checkCluster(gathered),
    ...checkUnanswered(gathered),
    ...checkStorage(gathered),
    ...checkRds(gathered),
    ...checkAround(valueOr(facts.connections, []), log, valueOr(facts.hungTasks, [])),
    ...cases.flatMap((each) => [
      ...each.findings.map(withSides),
      ...checkRecord(each),
      ...checkLeftovers(each),
      ...checkConnections(config, log, each),
      ...checkUse(each, now),
    ]),
    ...checkPools(gathered, cases),
  ];
  const findings = rankFindings(merge(drafts));
  const count = (severity: Severity): number => findings.filter((each) => each.severity === severity).length;
  return {
    node: config.nodeId,
    driverName: config.driverName,
    version: buildInfo.version,
    createdAt: now,
    durationMs: Math.round(durationMs),
    worst: worstOf(findings),
    counts: Object.fromEntries(SEVERITIES.map((each) => [each, count(each)])) as Record<Severity, number>,
    findings,
    volumes: cases.map(chainOf),
    checks: (Object.keys(CHECK_TITLES) as CheckId[]).map((id) => checkResult(id, facts, took[id])),
    facts,
  };
}

/** A disagreement with both sides as evidence. */
function withSides(finding: VolumeFinding): VolumeFinding {
  const { evidence, rds, kubernetes } = finding;
  const sides = [rds && `RDS: ${rds}`, kubernetes && `Kubernetes: ${kubernetes}`];
  return { ...finding, evidence: [...evidence, ...sides.flatMap((side) => side || [])] };
}

/** One finding where two checks saw the same, with the evidence of both. */
function merge<D extends Draft>(drafts: readonly D[]): readonly D[] {
  const merged = new Map<string, D>();
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
  if (answer.state !== "unknown") return { ...base, state: "answered", detail: "" };
  return { ...base, state: answer.notAsked ? "not-asked" : "unanswered", detail: answer.reason };
}
