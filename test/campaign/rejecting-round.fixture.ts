import process from "node:process";
import { Random } from "../fuzz/random.ts";
import { drawPlan } from "./plan.ts";
import { runRound } from "./round.ts";

// Runs a round in which a promise rejects that nobody waits for, in the directory that is the argument, and prints its violations as JSON.
// `bun test` ends a test at such a promise, whatever handles it: so this is a process of its own.

const [base = ""] = process.argv.slice(2);
const plan = {
  ...drawPlan(7, new Random(7)),
  volumes: [{ name: "v0", kind: "block", mib: 16, actions: [{ do: "attach", node: "node-a" }] }],
  orchestrator: "none",
  faults: [],
} as const;
const { violations } = await runRound(plan, {
  base,
  sabotage: async () => {
    const forgotten = Promise.reject(new Error("forgotten"));
    await new Promise((resolve) => setTimeout(resolve, 10));
    // Too late: whoever waits for it now gets the error, as the campaign's own code would.
    await forgotten.catch(() => {});
  },
});
console.log(JSON.stringify(violations));
