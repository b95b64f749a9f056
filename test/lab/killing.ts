import { setTimeout as delay } from "node:timers/promises";
import type { CrashingTools, Moment } from "./crashing-tools.ts";
import type { World } from "./world.ts";

/** More programs than any verb runs. */
const MOST = 200;

/**
 * Runs a verb again and again, the node process killed at its first program, its second, and so on, until a run gets through
 * without being killed; after each death it is started anew and the RPC repeated until it succeeds. Each time `prepare` comes
 * before, and `undo` after.
 * @returns the programs at which it was killed
 */
export async function killEverywhere(
  world: World,
  node: string,
  tools: CrashingTools,
  moment: Moment,
  verb: () => Promise<void>,
  undo: () => Promise<void>,
  prepare: () => Promise<void>,
): Promise<readonly string[]> {
  const killed: string[] = [];
  for (let at = 1; at <= MOST; at++) {
    await prepare();
    const service = serviceOf(world, node);
    await tools.arm(service, at, moment);
    let died = false;
    void service.ended.then(() => {
      died = true;
    });
    const outcome = await verb().then(
      () => undefined,
      (error: unknown) => error,
    );
    if (outcome === undefined && !died) {
      await tools.arm(service, 0, moment);
      await undo();
      return killed;
    }
    await world.until(`the death at program ${at}: ${outcome}`, async () => died, 10_000);
    killed.push((await tools.log())[at - 1] ?? "?");
    const next = await world.startNode(node);
    await tools.arm(next, 0, moment);
    await retry(world, verb);
    await undo();
  }
  throw new Error(`a verb runs more than ${MOST} programs`);
}

function serviceOf(world: World, node: string) {
  const service = world.services.get(node);
  if (service === undefined) throw new Error("no node process");
  return service;
}

/** As kubelet does; what was left running may be in the way for a while. */
export async function retry(world: World, verb: () => Promise<void>): Promise<void> {
  let last: unknown;
  await world
    .until("the repeated call", async () => {
      try {
        await verb();
        return true;
      } catch (error) {
        last = error;
        return false;
      }
    })
    .catch((error: unknown) => {
      throw new Error(`${error}: ${last}`);
    });
}

/** Kills the node process so many milliseconds after a verb began; whether that was before the verb's end. A new process then serves. */
export async function killAfter(
  world: World,
  node: string,
  ms: number,
  verb: () => Promise<void>,
): Promise<boolean> {
  const service = serviceOf(world, node);
  const outcome = verb().then(
    () => false,
    () => true,
  );
  await delay(ms);
  await world.machine(node).sh(`kill -9 ${service.pid}`);
  await service.ended;
  await world.startNode(node);
  return await outcome;
}
