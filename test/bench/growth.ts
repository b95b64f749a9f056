import { residentMb } from "../support/figures.ts";
import type { Stand } from "../support/stand.ts";
import { atATime, type Bench, life, link, mixedLife, onStand } from "./measure.ts";

const CALLERS = 10;
const SAMPLE_MS = 250;
/** RPCs of a mixed life. */
const LIFE = 7;

/** Growth of the controller's memory over many calls, and over many that their callers cancel. */
export async function growth(bench: Bench): Promise<void> {
  const scale = bench.quick ? 10 : 1;
  const early = 5_000 / scale;
  // Memory comes back to its level now and then only: a window is to be long enough for that.
  const window = 15_000 / scale;
  await onStand({ simulate: link(0) }, async (stand) => {
    const { pid } = stand.controllerProcess;
    bench.say(`${60_000 / scale} calls`);
    await lives(stand, early, "early");
    const first = await lowestDuring(pid, () => lives(stand, window, "first"));
    await lives(stand, 60_000 / scale - early - 2 * window, "many");
    const last = await lowestDuring(pid, () => lives(stand, window, "last"));
    add(bench, `${60_000 / scale} calls`, first, last);
    bench.say(`${20_000 / scale} cancelled calls`);
    const given = await cancelled(stand, 20_000 / scale);
    const after = await lowestDuring(pid, () => lives(stand, window, "after"));
    add(bench, `${20_000 / scale} calls, ${given} of them cancelled`, last, after);
  });
}

function add(bench: Bench, name: string, before: number, after: number): void {
  bench.add({
    name: `growth of the controller's memory over ${name}`,
    value: after - before,
    unit: "MB",
    goal: { most: 10 },
    ...(bench.quick ? { note: "too few to tell a leak from the collector's mood" } : {}),
  });
}

const lives = (stand: Stand, calls: number, name: string) =>
  atATime(CALLERS, Math.ceil(calls / LIFE), async (index) => {
    // A failed call is none of this figure; the next step, or the next life of that name, goes on.
    for (const { rpc, call } of mixedLife(stand, `${name}-${index}`))
      await call().catch((error: unknown) => console.error(`bench: ${rpc} failed: ${error}`));
  });

/**
 * Callers that give up after 0 to 9 ms, wherever the call is then. A name returns after 1,000 lives, so volumes that are left
 * get used again. A connection with very many resets may be closed by the server (ENHANCE_YOUR_CALM); the next call opens another.
 * @returns how many calls were cancelled before their answer
 */
async function cancelled(stand: Stand, calls: number): Promise<number> {
  let given = 0;
  await atATime(CALLERS, Math.ceil(calls / 4), async (index) => {
    const name = `cancelled-${index % 1_000}`;
    const { controller } = stand;
    const steps = life(stand, name);
    for (let step = 0; step < steps.length; step++) {
      const giveUp = new AbortController();
      const timer = setTimeout(() => giveUp.abort(), (index + step) % 10);
      await steps[step]?.call(giveUp.signal).catch(() => {
        if (giveUp.signal.aborted) given += 1;
      });
      clearTimeout(timer);
    }
    if (index % 100 === 99) await controller.getCapacity().catch(() => {});
  });
  return given;
}

/**
 * The lowest resident memory while `work` runs, MB: the runtime collects garbage when it likes, and a leak raises what memory comes
 * back to.
 */
async function lowestDuring(pid: number, work: () => Promise<unknown>): Promise<number> {
  const samples = [await residentMb(pid)];
  let over = false;
  const sampling = (async () => {
    while (!over) {
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
      samples.push(await residentMb(pid));
    }
  })();
  await work();
  over = true;
  await sampling;
  return Math.min(...samples.slice(1));
}
