import { rm } from "node:fs/promises";
import { join } from "node:path";
import { act } from "./actions.ts";
import { Caller } from "./calls.ts";
import type { Descriptors } from "./descriptors.ts";
import { type Fact, History } from "./history.ts";
import { type Violation, violations } from "./invariants.ts";
import { within } from "./limit.ts";
import type { Plan } from "./plan.ts";
import { catchRejections } from "./rejections.ts";
import { checkLeftovers, checkLogs, settle } from "./settle.ts";
import { Site } from "./site.ts";
import { endFaults, strikeAll } from "./strike.ts";
import { Strikes, type StruckKinds } from "./strikes.ts";
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
  readonly faults: StruckKinds;
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
  /** Time after which the round is broken off, and a failure; milliseconds. */
  readonly limitMs?: number;
  /** Called once the faults are over, for tests of the campaign itself. */
  readonly sabotage?: (site: Site) => Promise<void>;
}

/** Time of a round that nothing excuses, milliseconds. Most rounds take 20 s; the limits of their parts add up to two and a half minutes. */
const ROUND_LIMIT_MS = 300_000;
/** Time to close what a round has opened, milliseconds. */
const CLOSE_LIMIT_MS = 60_000;

let rounds = 0;

/** Ends each round that runs, at once. */
const running = new Set<() => Promise<void>>();

/** Ends all rounds that run at once: their processes by SIGKILL, mounts, loop devices, directories. */
export async function abandonRounds(): Promise<void> {
  await Promise.all([...running].map((abandon) => abandon()));
}

/** Runs a plan from the start of its processes to their end. */
export async function runRound(plan: Plan, options: RoundOptions): Promise<RoundResult> {
  const history = new History();
  rounds += 1;
  const endCatching = catchRejections(plan.seed, history);
  try {
    return await runCaught(plan, options, history);
  } finally {
    endCatching();
  }
}

async function runCaught(plan: Plan, options: RoundOptions, history: History): Promise<RoundResult> {
  const site = await Site.start(plan, join(options.base, `r${rounds}`), history);
  const caller = new Caller(site, history);
  const users = plan.volumes.map((volume) => new VolumeUser(volume, site, caller, history));
  const strikes = new Strikes(plan.faults);
  let abandoned: Promise<void> | undefined;
  const abandonOnce = async () => {
    caller.giveUp();
    // A volume that this process has open cannot be unmounted.
    await within(3_000, Promise.all(users.map(({ writer }) => writer.end())));
    await site.abandon();
  };
  const abandon = () => {
    abandoned ??= abandonOnce();
    return abandoned;
  };
  running.add(abandon);
  try {
    const { limitMs = ROUND_LIMIT_MS } = options;
    const played = { actions: 0 };
    const inTime = await within(limitMs, play({ site, caller, users, history, strikes }, options, played));
    if (!inTime) history.add({ fact: "overlong", limitMs });
    const found = violations(history.facts);
    // Closing deletes them, and may break as well.
    if (options.keepLogs !== undefined) await site.keepLogs(options.keepLogs);
    if (!inTime) await abandon();
    else if (!(await within(CLOSE_LIMIT_MS, site.close()))) {
      await abandon();
      throw new Error("a round could not be closed");
    }
    // What a round that was broken off does after that proves nothing.
    const all = inTime ? violations(history.facts) : found;
    if (all.length === 0 && options.keepLogs !== undefined)
      await rm(options.keepLogs, { recursive: true, force: true });
    const healthy = history.facts.find((fact) => fact.fact === "healthy");
    return {
      ...{ plan, violations: all, facts: history.facts, faults: strikes.kinds },
      ...{ actions: played.actions, calls: caller.count },
      records: users.reduce((sum, user) => sum + user.writer.records.written, 0),
      healthyMs: healthy?.fact === "healthy" ? healthy.tookMs : 0,
    };
  } catch (error) {
    await abandon();
    throw error;
  } finally {
    running.delete(abandon);
  }
}

interface Players {
  readonly site: Site;
  readonly caller: Caller;
  readonly users: readonly VolumeUser[];
  readonly history: History;
  readonly strikes: Strikes;
}

/** Work, faults, and all checks, up to the end of all processes. Its facts are in the history. */
async function play(
  { site, caller, users, history, strikes }: Players,
  options: RoundOptions,
  played: { actions: number },
): Promise<void> {
  const baseline = new Map<string, Descriptors>();
  for (const service of site.services) baseline.set(service, await site.descriptors(service));
  let over = false;
  const watching = history.begun(watchWriters(users, site, history, () => over));
  const work = async (user: VolumeUser) => {
    for (const action of user.plan.actions) {
      if (caller.ending) return;
      if (await act(user, action, { site, caller, history })) played.actions += 1;
    }
  };
  const timer = setTimeout(() => {
    caller.ending = true;
  }, site.plan.workMs);
  try {
    const striking = history.begun(strikeAll(site, history, strikes));
    await Promise.all(users.map(work));
    await striking;
    await endFaults(site, strikes);
    history.add({ fact: "calm" });
    await options.sabotage?.(site);
    await settle(users, caller, history, options.healthyWithinMs);
  } catch (error) {
    // A round that breaks off has its history, and is a failure.
    history.broke(error);
  } finally {
    clearTimeout(timer);
    over = true;
    // Its error is in the history.
    await watching.catch(() => {});
    for (const user of users) await user.writer.stop();
  }
  await checkLeftovers(site, history, baseline);
  await site.stopAll();
  await checkLogs(site, history);
}
