import { afterEach, describe, expect, test } from "bun:test";
import { GIB, type Stack, startStack } from "../../../test/support/rds-stack.ts";
import { problem } from "../../../test/support/volume-world.ts";
import { volumeIdFromName } from "../../domain/volume-id.ts";
import { type TestIo, testIo } from "../cli.fixture.ts";
import type { ListedVolume } from "./model.ts";
import { runVolumesWatch } from "./watch.ts";
import { changeLine, changesBetween, frameLines, type Look } from "./watch-view.ts";

const NOW = Date.UTC(2026, 2, 1, 12);
const volume = (name: string, more: Partial<ListedVolume> = {}): ListedVolume => ({
  handle: volumeIdFromName(name),
  csiName: name,
  state: "available",
  sizeBytes: 10n * GIB,
  pvc: { namespace: "vms", name },
  nodes: [],
  migration: undefined,
  createdAt: undefined,
  nqn: "",
  exported: false,
  path: "",
  findings: [],
  ...more,
});
const looked = (volumes: readonly ListedVolume[] | undefined, more: Partial<Look> = {}): Look => ({
  ...{ volumes, readAt: NOW, now: NOW, troubles: [] },
  ...more,
});
const trouble = { side: "RDS", since: NOW - 5_000, reason: "no route\u001b[2J" } as const;

describe("changes", () => {
  const kinds = (before: Look | undefined, after: Look) =>
    changesBetween(before, after).map((each) =>
      "volume" in each ? `${each.change} ${each.volume.csiName}` : `${each.change} ${each.trouble.side}`,
    );

  test("added, changed, removed; nothing when nothing is different", () => {
    const [a, b] = [volume("a"), volume("b")];
    expect(kinds(undefined, looked([a, b]))).toEqual(["added a", "added b"]);
    expect(kinds(looked([a, b]), looked([volume("a"), volume("b")], { now: NOW + 2_000 }))).toEqual([]);
    expect(kinds(looked([a, b]), looked([volume("a", { findings: [problem("x")] })]))).toEqual([
      "changed a",
      "removed b",
    ]);
  });

  test("a side that is lost is no change of volumes", () => {
    const [before, lost] = [looked([volume("a")]), looked([volume("a")], { troubles: [trouble] })];
    expect(kinds(before, lost)).toEqual(["lost RDS"]);
    expect(kinds(lost, lost)).toEqual([]);
    expect(kinds(lost, before)).toEqual(["back RDS"]);
  });

  test("lines, with hostile characters escaped, and JSON objects", () => {
    const hostile = volume("a", { findings: [problem("x\ny\u001b[2J")], pvc: undefined });
    expect(changeLine({ change: "changed", volume: hostile }, NOW, false)).toBe(
      `2026-03-01T12:00:00Z changed ${hostile.handle} available 10Gi - - problems: x\\u{a}y\\u{1b}[2J\n`,
    );
    expect(changeLine({ change: "lost", trouble }, NOW, false)).toBe(
      "2026-03-01T12:00:00Z lost RDS does not answer: no route\\u{1b}[2J\n",
    );
    const json = changeLine({ change: "changed", volume: hostile }, NOW, true);
    expect(json.indexOf("\n")).toBe(json.length - 1);
    expect(JSON.parse(json)).toMatchObject({
      kind: "VolumeWatch",
      change: "changed",
      volume: { csiName: "a" },
    });
    expect(JSON.parse(changeLine({ change: "lost", trouble }, NOW, true))).toMatchObject({
      side: "RDS",
      since: "2026-03-01T11:59:55Z",
    });
  });
});

describe("frames", () => {
  test("never more rows or columns than the terminal has; what is left out is counted", () => {
    const many = Array.from({ length: 50 }, (_, index) =>
      volume(`v${index}`, { findings: [problem("p ".repeat(90))] }),
    );
    for (const [columns, rows] of [
      [80, 24],
      [160, 50],
      [80, 5],
    ] as const) {
      const lines = frameLines(looked(many), { wide: false, columns, rows, colour: false });
      expect(lines.length).toBe(rows);
      for (const line of lines) expect([...line].length).toBeLessThanOrEqual(columns);
      expect(lines.at(-1)).toMatch(/^… \d+ more lines/);
    }
  });

  test("says since when a side does not answer, and from when the list is", () => {
    const options = { wide: false, columns: 80, rows: 24, colour: false };
    const lines = frameLines(looked([volume("a")], { troubles: [trouble], readAt: NOW - 7_000 }), options);
    expect(lines.slice(0, 2)).toEqual([
      "volumes on the RDS, as of 2026-03-01T11:59:53Z; Ctrl-C ends",
      "RDS does not answer since 2026-03-01T11:59:55Z: no route\\u{1b}[2J",
    ]);
    expect(lines.join("\n")).toContain("vms/a");
    expect(frameLines(looked(undefined), options)[0]).toContain("nothing read yet");
  });
});

describe("against a simulated RDS", () => {
  let stack: Stack;
  afterEach(() => stack.close());

  const start = (more: Partial<TestIo>) => {
    const stop = new AbortController();
    const io = testIo({ stop: stop.signal, ...more });
    const { host, port, hostKeyFingerprints } = stack.simulator;
    const flags = {
      "rds-address": [`${host}:${port}`],
      "rds-key-file": [stack.keyFile],
      "rds-host-key": hostKeyFingerprints,
      "cluster-id": ["test"],
    };
    const options = { output: "table", intervalSeconds: 0.02, timeoutSeconds: 2 } as const;
    return { stop, io, done: runVolumesWatch({ flags, env: {} }, options, io) };
  };
  const until = async (what: string, condition: () => boolean) => {
    for (const end = performance.now() + 10_000; !condition(); await Bun.sleep(5))
      if (performance.now() > end) throw new Error(`waited in vain for ${what}`);
  };

  test("one command each look over one connection, after one for the version; ends with 0", async () => {
    stack = await startStack();
    const { stop, done } = start({});
    await until("some looks", () => stack.simulator.commands.length >= 6);
    stop.abort(new Error("SIGTERM"));
    expect(await done).toBe(0);
    const lines = stack.simulator.commands.map(({ line }) => line);
    expect(lines.filter((line) => line.includes("/system/resource")).length).toBe(1);
    expect(lines.filter((line) => line.includes("/disk")).length).toBe(lines.length - 1);
  });

  test("a terminal is redrawn in place and gets its cursor back", async () => {
    stack = await startStack();
    const { stop, io, done } = start({ columns: 80, rows: 10 });
    await until("two frames", () => io.written.out.split("\u001b[H").length > 2);
    stop.abort(new Error("SIGINT"));
    expect(await done).toBe(0);
    const { out } = io.written;
    expect(out.startsWith("\u001b[?25l")).toBe(true);
    expect(out.endsWith("\u001b[?25h")).toBe(true);
    expect(out.split("\u001b[2J").length).toBe(2);
    expect(out).toContain("No volumes.");
  });

  test("a refused host key ends it at once", async () => {
    stack = await startStack();
    const { host, port } = stack.simulator;
    const flags = {
      "rds-address": [`${host}:${port}`],
      "rds-key-file": [stack.keyFile],
      "rds-host-key": [`SHA256:${"A".repeat(43)}`],
    };
    const options = { output: "table", intervalSeconds: 1, timeoutSeconds: 2 } as const;
    const io = testIo();
    await expect(runVolumesWatch({ flags, env: {} }, options, io)).rejects.toThrow(/host key/);
  });
});
