import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { repository } from "../support/executable.ts";
import { type Bench, orEnded } from "./measure.ts";
import type { Row } from "./table.ts";

/** Figures of the lab's machines: `scripts/lab` prepares them, and runs lab-figures.ts. */
export async function lab(bench: Bench): Promise<void> {
  bench.say("boots the lab");
  const child = spawn("scripts/lab", ["bench", ...(bench.quick ? ["--quick"] : [])], {
    cwd: repository,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "close");
  const output = await orEnded(
    async () => {
      child.kill();
      await ended;
    },
    () => text(child.stdout),
  );
  const [code] = await ended;
  // The last line: rows as JSON, or the count of a lab that is skipped; the reason went to standard error.
  const last = output.trimEnd().split("\n").at(-1) ?? "";
  if (code !== 0) throw new Error(`scripts/lab ended with ${code}`);
  if (last.endsWith(" skipped")) return bench.say("the lab's figures are left out (skipped: no lab here)");
  for (const row of JSON.parse(last) as Row[]) bench.add(row);
}
