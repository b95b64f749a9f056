import { median, timed } from "../support/figures.ts";
import type { Stand } from "../support/stand.ts";
import { atATime, type Bench, bare, life, link, onStand } from "./measure.ts";

/** One caller at 5 ms beside the bare lines; ten callers at 50 ms beside one caller. Milliseconds, medians. */
export async function latency(bench: Bench): Promise<void> {
  bench.say("one caller at 5 ms");
  await onStand({ simulate: link(5) }, (stand) => besideBareLines(bench, stand, bench.quick ? 8 : 40));
  bench.say("ten callers at 50 ms");
  await onStand({ simulate: link(50) }, (stand) => tenCallers(bench, stand, bench.quick ? 3 : 10));
}

/**
 * The bare lines of a call are those that the simulator was sent by it. Sent again in the same order to the same state, they have
 * the same effect: so the driver lives a volume, and then the bare lines live it.
 */
async function besideBareLines(bench: Bench, stand: Stand, rounds: number): Promise<void> {
  const client = await bare(stand);
  await stand.control.untilAnswered(2);
  const ours = new Map<string, number[]>();
  const theirs = new Map<string, number[]>();
  const note = (into: Map<string, number[]>, rpc: string, ms: number) =>
    into.set(rpc, [...(into.get(rpc) ?? []), ms]);
  for (let round = -1; round < rounds; round++) {
    const sent: { rpc: string; lines: string[] }[] = [];
    for (const { rpc, call } of life(stand, `latency-${round}`)) {
      let ms = 0;
      const commands = await stand.control.commandsDuring(async () => {
        ms = await timed(call);
      });
      sent.push({ rpc, lines: commands.map(({ line }) => line) });
      // The first round warms both up.
      if (round >= 0) note(ours, rpc, ms);
    }
    for (const { rpc, lines } of sent) {
      const ms = await timed(async () => {
        for (const line of lines) await client.exec(line);
      });
      if (round >= 0) note(theirs, rpc, ms);
    }
  }
  client.close();
  for (const [rpc, samples] of ours) {
    bench.add({
      name: `${rpc}, one caller, 5 ms link`,
      value: median(samples),
      unit: "ms",
      beside: { name: "bare lines", value: median(theirs.get(rpc) ?? []) },
      goal: { factor: 1.3 },
    });
  }
}

async function tenCallers(bench: Bench, stand: Stand, rounds: number): Promise<void> {
  await stand.control.untilAnswered(2);
  const measured = async (callers: number): Promise<Map<string, number[]>> => {
    const found = new Map<string, number[]>();
    await atATime(callers, callers * rounds, async (index) => {
      for (const { rpc, call } of life(stand, `callers-${callers}-${index}`)) {
        const ms = await timed(call);
        found.set(rpc, [...(found.get(rpc) ?? []), ms]);
      }
    });
    return found;
  };
  await measured(2);
  const one = await measured(1);
  const ten = await measured(10);
  for (const [rpc, samples] of ten) {
    bench.add({
      name: `${rpc}, ten callers, 50 ms link`,
      value: median(samples),
      unit: "ms",
      beside: { name: "one caller", value: median(one.get(rpc) ?? []) },
      goal: { factor: 1.5 },
    });
  }
}
