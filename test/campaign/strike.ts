import type { FaultStep } from "./draw-faults.ts";
import type { History } from "./history.ts";
import { delay, type Site } from "./site.ts";
import type { Strikes } from "./strikes.ts";

/** A fault in words. */
export function faultText(step: FaultStep): string {
  const { at, fault, ...rest } = step;
  return `${fault} ${JSON.stringify(rest)} at ${at} ms`;
}

/** @returns whether it struck; undefined if only the hits of a rule can tell */
async function strike(step: FaultStep, site: Site, strikes: Strikes): Promise<boolean | undefined> {
  const { control } = site.stand;
  switch (step.fault) {
    case "rds":
      strikes.rule(step, await control.fault(step.rule));
      return undefined;
    case "release":
      return (await control.clearFaults()) > 0;
    case "switches":
      await control.switches(step.values);
      return Object.keys(step.values).length > 0;
    case "reboot":
      await control.reboot();
      return true;
    case "pool":
      await control.pool("storage-pool", false);
      await delay(step.ms);
      await control.pool("storage-pool", true);
      return true;
    case "kill":
    case "term":
      await site.restart(step.process, step.fault, step.ms, async () => {
        if (step.process !== "simulator") return;
        await strikes.collect(control);
        strikes.forgetRules();
      });
      return true;
    case "stop":
      await site.stopFor(step.process, step.ms);
      return true;
    case "clock":
      await site.clocks.set(step.process, step.seconds);
      return true;
    case "api":
      return await strikeApi(step, site);
  }
}

/** Why this machine cannot set a fault; undefined if it can. */
const lacks = ({ fault }: FaultStep, { clocks }: Site): string | undefined =>
  fault === "clock" && !clocks.usable ? "libfaketime is not installed" : undefined;

async function strikeApi(
  { how, ms }: Extract<FaultStep, { fault: "api" }>,
  { cluster }: Site,
): Promise<boolean> {
  if (cluster === undefined) return false;
  const { api } = cluster;
  if (how === "down") {
    await api.down();
    await delay(ms);
    await api.up();
    return true;
  }
  let struck = false;
  const match = () => {
    struck = true;
    return true;
  };
  const fault = {
    hang: { hang: true },
    slow: { delayMs: ms },
    "500": { status: 500, reason: "InternalError" },
    "429": { status: 429, reason: "TooManyRequests", retryAfter: 1 },
    drop: { drop: "after" as const },
  }[how];
  const matched = { ...fault, match };
  api.faults.push(matched);
  await delay(ms);
  api.faults.splice(api.faults.indexOf(matched), 1);
  return struck;
}

/** Lets the faults of a plan strike at their times. @returns once each of them is over, but for the rules of the RDS */
export async function strikeAll(site: Site, history: History, strikes: Strikes): Promise<void> {
  const begun = performance.now();
  const one = async (step: FaultStep): Promise<void> => {
    const lacking = lacks(step, site);
    if (lacking !== undefined) {
      strikes.skip(step, lacking);
      return;
    }
    await delay(Math.max(0, step.at - (performance.now() - begun)));
    history.add({ fact: "fault", what: faultText(step) });
    try {
      if (await strike(step, site, strikes)) strikes.struck(step);
    } catch (error) {
      // The simulator may be down or rebooting.
      history.add({ fact: "note", text: `fault ${step.fault} did not strike: ${String(error)}` });
    }
  };
  await Promise.all(site.plan.faults.map(one));
}

/** Ends all faults: rules, switches of the round's beginning, clocks, the pool. */
export async function endFaults(site: Site, strikes: Strikes): Promise<void> {
  const { control } = site.stand;
  if (site.clocks.usable) for (const service of site.services) await site.clocks.set(service, 0);
  await control.clearFaults();
  await strikes.collect(control);
  await control.pool("storage-pool", true);
  // Two controllers need six sessions: with fewer, one of them has none for as long as the other keeps its own.
  await control.switches({ ...site.plan.switches, "max-channels": 10, "max-sessions": 20 });
}
