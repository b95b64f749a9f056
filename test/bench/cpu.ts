import process from "node:process";
import { median, processorSeconds } from "../support/figures.ts";
import { atATime, type Bench, bare, link, mixedLife, onStand } from "./measure.ts";

/** Processor time of the controller for 1,000 RPCs of mixed lives, beside that of the bare lines through ssh2 in this process. */
export async function cpu(bench: Bench): Promise<void> {
  await onStand({ simulate: link(0) }, async (stand) => {
    bench.say("processor time of 1,000 calls");
    const { pid } = stand.controllerProcess;
    const lives = Math.ceil(1_000 / mixedLife(stand, "length").length);
    const run = (name: string) =>
      atATime(1, lives, async (index) => {
        for (const { call } of mixedLife(stand, `${name}-${index}`)) await call();
      });
    const lines = await linesOf(stand);
    const client = await bare(stand);
    const bareRun = async () => {
      for (let index = 0; index < lives; index++) for (const line of lines) await client.exec(line);
    };
    await run("warm");
    await bareRun();
    const [ours, theirs]: [number[], number[]] = [[], []];
    for (let round = 0; round < (bench.quick ? 1 : 5); round++) {
      const before = await processorSeconds(pid);
      await run(`round-${round}`);
      ours.push((await processorSeconds(pid)) - before);
      const own = process.cpuUsage();
      await bareRun();
      const { user, system } = process.cpuUsage(own);
      theirs.push((user + system) / 1e6);
    }
    client.close();
    bench.add({
      name: "processor time of the controller for 1,000 RPCs of mixed lives, one caller",
      value: median(ours),
      unit: "s",
      beside: { name: "bare lines", value: median(theirs) },
      goal: { most: 1 },
    });
  });
}

/** The lines of one life; sent again they have the same effect, as a life ends as it began. */
async function linesOf(stand: Parameters<typeof mixedLife>[0]): Promise<string[]> {
  await stand.control.untilAnswered(2);
  const commands = await stand.control.commandsDuring(async () => {
    for (const { call } of mixedLife(stand, "lines")) await call();
  });
  return commands.map(({ line }) => line);
}
