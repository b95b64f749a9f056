import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { open, readdir, rm } from "node:fs/promises";
import { createConnection } from "node:net";
import { join } from "node:path";
import { noDevices, shortDirectory } from "../support/executable.ts";
import { processesBelow } from "../support/leftovers.ts";
import { fakeTime, shared } from "./clock.ts";
import { LINES } from "./draw-faults.ts";
import { historyLines } from "./history.ts";
import type { Action, Kind, Plan } from "./plan.ts";
import { RECORD_BYTES } from "./records.ts";
import { type RoundOptions, type RoundResult, runRound } from "./round.ts";
import type { Site } from "./site.ts";

const noFakeTime = (await fakeTime()) === undefined ? "(skipped: libfaketime is not installed)" : "";

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

  let last: RoundResult | undefined;
  const texts = () => last?.violations.map(({ text }) => text) ?? [];
  const invariants = async (plan: Plan, options: Omit<RoundOptions, "base"> = {}) => {
    const result = await runRound(plan, { base, limitMs: 45_000, ...options });
    last = result;
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
      const all = await readdir(folder, { recursive: true });
      const [name = ""] = all.filter((each) => each.endsWith("/disk.img"));
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
    const broken = await invariants(plan);
    expect([broken, texts()]).toEqual([[], []]);
    expect([...(last?.faults ?? [])].map(([kind, { struck }]) => [kind, struck])).toEqual([
      ["rds cutAfter", 1],
      ["kill", 1],
      ["api down", 1],
      ["stop", 1],
    ]);
  });

  const short: readonly Action[] = [
    { do: "attach", node: "node-a" },
    { do: "write", ms: 100 },
  ];

  test("notices a process that has ended by itself, also if a fault replaces it, and no end that a fault asked for", async () => {
    const crash = async (site: Site) => {
      process.kill(site.pid("node-b"), "SIGKILL");
      while (site.ended("node-b") === undefined) await Bun.sleep(5);
      await site.restart("node-b", "kill", 0);
      await site.restart("node-c", "kill", 0);
      await site.restart("controller-0", "term", 0);
    };
    expect(await invariants(planOf("block", short), { sabotage: crash })).toEqual(["process ended"]);
    expect(texts()).toEqual(["process ended by itself: node-b, SIGKILL"]);
  });

  test("notices a process that does not end within 10 s after SIGTERM", async () => {
    const deaf = async (site: Site) => {
      process.kill(site.pid("node-c"), "SIGSTOP");
    };
    expect(await invariants(planOf("block", short), { sabotage: deaf })).toEqual(["process ended"]);
    expect(texts()).toEqual(["node-c did not end within 10 s after SIGTERM"]);
  }, 240_000);

  test.skipIf(noFakeTime !== "")(
    `leaves nothing of libfaketime in /dev/shm, not even of a process that was killed ${noFakeTime}`.trim(),
    async () => {
      const files: string[] = [];
      const kill = async (site: Site) => {
        for (const name of ["simulator", ...site.services]) files.push(...shared(site.pid(name)));
        expect(files.filter((path) => !existsSync(path))).toEqual([]);
        await site.restart("node-b", "kill", 0);
        files.push(...shared(site.pid("node-b")));
      };
      expect(await invariants(planOf("block", short), { sabotage: kill })).toEqual([]);
      expect(files.filter((path) => existsSync(path))).toEqual([]);
    },
  );

  test("ends at its limit, as a failure with its history, and leaves no process, mount or loop device", async () => {
    let directory = "";
    const hang = async ({ stand }: Site) => {
      directory = stand.directory;
      await new Promise(() => {});
    };
    const found = await invariants(planOf("block", short), { sabotage: hang, limitMs: 6_000 });
    expect(found).toEqual(["round too long"]);
    expect(historyLines(last?.facts ?? []).join("\n")).toContain("NodeStageVolume");
    expect(await processesBelow(directory)).toEqual([]);
    expect(await readdir(join(directory, "..")).catch(() => [])).not.toContain("s");
  });

  test("notices descriptors that are left: connections that no client of the campaign has", async () => {
    const open = async ({ stand }: Site) => {
      for (let count = 0; count < 10; count += 1) createConnection(stand.nodeSocket("node-b"));
    };
    expect(await invariants(planOf("block", short), { sabotage: open })).toEqual(["left behind"]);
    expect(texts().join()).toMatch(/^node-b: 11 descriptors connection of a caller, at most 10$/);
  });

  test("keeps the logs of a violation that only closing it shows, and none of a round that passed", async () => {
    const keepLogs = join(base, "kept");
    expect(await invariants(planOf("block", short), { keepLogs })).toEqual([]);
    expect(existsSync(keepLogs)).toBe(false);
    const breakAtClose = async (site: Site) => {
      const close = site.close.bind(site);
      site.close = async () => {
        await site.restart("node-b", "kill", 0);
        process.kill(site.pid("node-b"), "SIGKILL");
        while (site.ended("node-b") === undefined) await Bun.sleep(5);
        await close();
      };
    };
    const broken = await invariants(planOf("block", short), { keepLogs, sabotage: breakAtClose });
    expect(broken).toEqual(["process ended"]);
    expect((await readdir(keepLogs)).filter((name) => name.endsWith(".log"))).not.toEqual([]);
    await rm(keepLogs, { recursive: true });
  });

  test("has lines of the driver for each pattern of a rule, and a pattern for each line", async () => {
    const block: readonly Action[] = [
      { do: "attach", node: "node-a" },
      { do: "write", ms: 100 },
      { do: "expand", mib: 4 },
      { do: "list" },
      { do: "capacity" },
      { do: "detach" },
      { do: "delete" },
      { do: "attach", node: "node-a" },
      { do: "write", ms: 100 },
    ];
    let lines: readonly string[] = [];
    const read = async ({ stand }: Site) => {
      // Those of a controller's preflight are no work on volumes.
      lines = (await stand.commands()).map(({ line }) => line).filter((line) => !line.includes('("~v~"'));
    };
    const volumes = ["v0", "v1", "v2"].map(
      (name) => ({ name, kind: "block", mib: 16, actions: block }) as const,
    );
    expect(await invariants(planOf("block", [], { volumes }), { sabotage: read })).toEqual([]);
    const patterns = LINES.flatMap((line) => (line === undefined ? [] : [new RegExp(line)]));
    expect(patterns.filter((pattern) => !lines.some((line) => pattern.test(line)))).toEqual([]);
    expect(lines.filter((line) => !patterns.some((pattern) => pattern.test(line)))).toEqual([]);
  });
});
