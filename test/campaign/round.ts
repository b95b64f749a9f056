import { join } from "node:path";
import { act } from "./actions.ts";
import { Caller } from "./calls.ts";
import { type Fact, History } from "./history.ts";
import { type Violation, violations } from "./invariants.ts";
import type { Plan, VolumePlan } from "./plan.ts";
import { checkLeftovers, checkLogs, settle } from "./settle.ts";
import { Site } from "./site.ts";
import { endFaults, strikeAll } from "./strike.ts";
import { VolumeUser } from "./volume-user.ts";
import { watchWriters } from "./watch.ts";

/** How a round went. */
export interface RoundResult {
  readonly plan: Plan;
  readonly violations: readonly Violation[];
  readonly facts: readonly Fact[];
  readonly calls: number;
  /** Actions that were taken; others did not fit. */
  readonly actions: number;
  readonly faults: number;
  /** Records that were written and acknowledged. */
  readonly records: number;
  /** Time after the faults until everything worked and was deleted, milliseconds. */
  readonly healthyMs: number;
}

export interface RoundOptions {
  /** Base directory, with a short path. */
  readonly base: string;
  /** Where the logs of a failed round are kept. */
  readonly keepLogs?: string;
  /** Time after the faults within which everything must be healthy, milliseconds; default HEALTHY_WITHIN_MS. */
  readonly healthyWithinMs?: number;
  /** Called once the faults are over, for tests of the campaign itself. */
  readonly sabotage?: (site: Site) => Promise<void>;
}

let rounds = 0;

/** Runs a plan from the start of its processes to their end. */
export async function runRound(plan: Plan, options: RoundOptions): Promise<RoundResult> {
  const history = new History();
  rounds += 1;
  const directory = join(options.base, `r${rounds}`);
  const site = await Site.start(plan, directory);
  const counts = { actions: 0, calls: 0, records: 0 };
  try {
    const baseline = new Map<string, number>();
    for (const service of site.services) baseline.set(service, await site.descriptors(service));
    const caller = new Caller(site, history);
    const users = plan.volumes.map((volume) => new VolumeUser(volume, site, caller, history));
    let over = false;
    const watching = watchWriters(users, site, history, () => over);
    const work = async (user: VolumeUser, { actions }: VolumePlan) => {
      for (const action of actions) {
        if (caller.ending) return;
        if (await act(user, action, { site, caller, history })) counts.actions += 1;
      }
    };
    const timer = setTimeout(() => {
      caller.ending = true;
    }, plan.workMs);
    try {
      const striking = strikeAll(site, history);
      await Promise.all(users.map((user, index) => work(user, plan.volumes[index] as VolumePlan)));
      await striking;
      await endFaults(site);
      history.add({ fact: "calm" });
      await options.sabotage?.(site);
      await settle(users, caller, history, options.healthyWithinMs);
    } catch (error) {
      // A round that breaks off has its history, and is a failure.
      history.add({ fact: "log", process: "campaign", line: String(error).slice(0, 500) });
    } finally {
      clearTimeout(timer);
      over = true;
      await watching;
      for (const user of users) await user.writer.stop();
    }
    await checkLeftovers(site, history, baseline);
    await checkLogs(site, history);
    counts.calls = caller.count;
    counts.records = users.reduce((sum, user) => sum + user.writer.records.written, 0);
    const found = violations(history.facts);
    if (found.length > 0 && options.keepLogs !== undefined) await site.keepLogs(options.keepLogs);
    const healthy = history.facts.find((fact) => fact.fact === "healthy");
    return {
      ...{ plan, violations: found, facts: history.facts, faults: plan.faults.length, ...counts },
      healthyMs: healthy?.fact === "healthy" ? healthy.tookMs : 0,
    };
  } finally {
    await site.close();
  }
}
