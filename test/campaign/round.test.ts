import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { noDevices, shortDirectory } from "../support/executable.ts";
import { historyLines } from "./history.ts";
import type { Action, Kind, Plan } from "./plan.ts";
import { RECORD_BYTES } from "./records.ts";
import { type RoundOptions, runRound } from "./round.ts";

/** A round without faults. */
const planOf = (kind: Kind, actions: readonly Action[], more: Partial<Plan> = {}): Plan => ({
  ...{
    seed: 0,
    profile: "current",
    switches: { "online-resize": "at-once" },
    orchestrator: "none",
    fencing: "epoch",
    controllers: 1,
  },
  onlineExpansion: "announce",
  ...{ deadlineMs: 30_000, workMs: 60_000, faults: [] },
  volumes: [{ name: "v0", kind, mib: 16, actions }],
  ...more,
});

/** Detached by force from a node that keeps the volume, and attached to another one. */
const FORCED: readonly Action[] = [
  { do: "attach", node: "node-a" },
  { do: "write", ms: 100 },
  { do: "force" },
  { do: "attach", node: "node-b" },
  { do: "write", ms: 300 },
];

describe.skipIf(noDevices !== "")(`a round of the campaign ${noDevices}`.trim(), () => {
  let base = "";
  beforeAll(async () => {
    base = await shortDirectory();
  });
  afterAll(() => rm(base, { recursive: true, force: true }));

  const invariants = async (plan: Plan, options: Omit<RoundOptions, "base"> = {}) => {
    const result = await runRound(plan, { base, ...options });
    if (result.records === 0) throw new Error(historyLines(result.facts).join("\n"));
    return [...new Set(result.violations.map(({ invariant }) => invariant))];
  };

  test("with a forced detach has one writer at a time", async () => {
    expect(await invariants(planOf("block", FORCED))).toEqual([]);
  });

  test("its twin without fencing has two writers, and the campaign notices", async () => {
    expect(await invariants(planOf("block", FORCED, { fencing: "off" }))).toContain("too many writers");
  });

  test("notices one record that the device has lost", async () => {
    const actions: readonly Action[] = [
      { do: "attach", node: "node-a" },
      { do: "write", ms: 500 },
      { do: "detach" },
    ];
    const loseOne = async (directory: string) => {
      const folder = join(directory, "rds", "files", "storage-pool", "csi");
      const [name = ""] = (await readdir(folder)).filter((each) => each.endsWith(".img"));
      const image = await open(join(folder, name), "r+");
      await image.write(Buffer.alloc(RECORD_BYTES), 0, RECORD_BYTES, 2 * RECORD_BYTES);
      await image.close();
    };
    expect(await invariants(planOf("block", actions))).toEqual([]);
    const lost = await invariants(planOf("block", actions), {
      sabotage: ({ stand }) => loseOne(stand.directory),
    });
    expect(lost).toEqual(["record lost"]);
  });

  test("with faults of each boundary, a migration and a growing filesystem keeps every invariant", async () => {
    const machine: readonly Action[] = [
      { do: "attach", node: "node-a" },
      { do: "elsewhere", node: "node-b" },
      { do: "migrate", node: "node-b", keep: "target" },
      { do: "write", ms: 200 },
      { do: "detach" },
    ];
    const filesystem: readonly Action[] = [
      { do: "attach", node: "node-c" },
      { do: "expand", mib: 8 },
      { do: "busy", by: "device", ms: 300 },
      { do: "attach", node: "node-a" },
      { do: "read" },
    ];
    const plan = planOf("machine", machine, {
      orchestrator: "kubernetes",
      volumes: [
        { name: "v0", kind: "machine", mib: 16, actions: machine },
        { name: "v1", kind: "filesystem", mib: 32, actions: filesystem },
      ],
      faults: [
        { at: 0, fault: "rds", rule: { kind: "cutAfter", line: "/disk/add", nth: 1, count: 1 } },
        { at: 200, fault: "kill", process: "controller-0", ms: 100 },
        { at: 400, fault: "api", how: "down", ms: 300 },
        { at: 600, fault: "stop", process: "node-c", ms: 300 },
      ],
    });
    expect(await invariants(plan)).toEqual([]);
  });
});
