import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { median } from "../support/figures.ts";
import { capture } from "../support/processes.ts";
import { compileAsDriver } from "./idle.ts";
import type { Bench } from "./measure.ts";

/** Processor time and memory of a process that only loads one package. */
export async function modules(bench: Bench): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "rb-"));
  try {
    bench.say("loads each package alone");
    const program = join(directory, "loads");
    await compileAsDriver("test/bench/loads.ts", program);
    const ask = async (...args: string[]) => JSON.parse((await capture(program, args)).stdout);
    const names: string[] = await ask();
    const runs: [number, number][][] = names.map(() => []);
    for (let round = 0; round < (bench.quick ? 5 : 21); round++)
      for (const [index, name] of names.entries()) runs[index]?.push(await ask(name));
    const add = (what: string, column: 0 | 1, unit: "ms" | "MB") => {
      const values = runs.map((each) => median(each.map((run) => run[column])));
      const beside = { name: "nothing", value: values[0] ?? 0 };
      for (const [index, name] of names.entries())
        bench.add({
          name: `${what}: ${name}`,
          value: values[index] ?? 0,
          unit,
          ...(index > 0 && { beside }),
        });
    };
    add("processor time to load", 0, "ms");
    add("resident memory after it", 1, "MB");
  } finally {
    await rm(directory, { recursive: true });
  }
}
