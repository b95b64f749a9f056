import { describe, expect, test } from "bun:test";
import { busySite, finding, listed, NOW } from "./listed.fixture.ts";
import type { ListedVolume } from "./model.ts";
import { ALL, selects } from "./select.ts";
import { changeLine, changesBetween, frameLines, type Look } from "./watch-view.ts";

const volume = (name: string, more: Partial<ListedVolume> = {}): ListedVolume =>
  listed({ csiName: name, state: "available", pvc: { namespace: "vms", name }, nodes: [], ...more }, name);
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
    expect(kinds(looked([a, b]), looked([volume("a", { findings: [finding("f", "x")] })]))).toEqual([
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
    const hostile = volume("a", { findings: [finding("f", "x\ny\u001b[2J")], pvc: undefined });
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

test("a selection hears of volumes that were or are selected, the end of a problem included", () => {
  const fits = selects({ ...ALL, problems: true });
  const bad = (name: string) => volume(name, { findings: [finding("f", "x")] });
  const kinds = (before: Look | undefined, after: Look) =>
    changesBetween(before, after, fits).map((each) =>
      "volume" in each ? `${each.change} ${each.volume.csiName}` : each.change,
    );
  const [first, second] = [looked([bad("a"), volume("b"), bad("c")]), looked([volume("a"), bad("b")])];
  expect(kinds(undefined, first)).toEqual(["added a", "added c"]);
  expect(kinds(first, second)).toEqual(["changed a", "changed b", "removed c"]);
  expect(kinds(second, looked([volume("a", { state: "attached" })]))).toEqual(["removed b"]);
});

describe("frames", () => {
  const screen = { wide: false, columns: 80, rows: 24, colour: false };

  test("never more rows or columns than the terminal has; the last line of a part counts the rest", () => {
    const many = Array.from({ length: 50 }, (_, index) =>
      volume(`v${index}`, { findings: [finding("f", `${index} ${"p ".repeat(90)}`)] }),
    );
    for (const [columns, rows] of [
      [80, 24],
      [160, 50],
      [80, 5],
    ] as const) {
      const lines = frameLines(looked(many), { ...screen, columns, rows });
      expect(lines.length).toBe(rows);
      for (const line of lines) expect([...line].length).toBeLessThanOrEqual(columns);
      const shown = (mark: RegExp) => lines.filter((line) => mark.test(line)).length;
      const rest = (part: string) =>
        lines.map((line) => new RegExp(`^… (\\d+) more ${part}: `).exec(line)?.[1]);
      expect(rest("problems").filter(Boolean)).toEqual([String(50 - shown(/^!! f: /))]);
      expect(rest("volumes").filter(Boolean)).toEqual([String(50 - shown(/^available /))]);
    }
    for (let rows = 1; rows < 12; rows += 1)
      expect(frameLines(looked(many), { ...screen, rows }).length).toBe(rows);
  });

  test("counts and problems are on a small terminal, problems before volumes", () => {
    const site = looked(busySite(500));
    const [counts, problem] = frameLines(site, { ...screen, rows: 5 });
    expect(counts).toBe("500 volumes, 32 with problems, as of 2026-03-01T12:00:00Z; Ctrl-C ends");
    expect(problem).toStartWith("!! pool-not-mounted: 20 volumes: Pool nvme-raid6 is not mounted");
    expect(frameLines(site, { ...screen, rows: 1 })).toEqual([counts ?? ""]);
  });

  test("where everything has room, problems are whole", () => {
    const text = "p".repeat(200);
    const lines = frameLines(looked([volume("a", { findings: [finding("f", text)] })]), screen);
    expect(lines.slice(2, 6).join("").replaceAll(/\s/g, "")).toBe(`!!f:vms/a:${text}`);
    expect(lines[7]).toMatch(/^STATE /);
  });

  test("a selection and an order are those of the list", () => {
    const site = busySite(500);
    const lines = frameLines(looked(site), { ...screen, selection: { ...ALL, states: ["migrating"] } });
    expect(lines[0]).toBe("1 of 500 volumes (--state migrating), none with a problem, as of");
    expect(lines.at(-1)).toContain(" shop/build-cac");
    expect(
      frameLines(looked(site), { ...screen, sort: "size" }).find((line) => line.includes(" 640Gi ")),
    ).toBeDefined();
    const none = frameLines(looked(site), { ...screen, selection: { ...ALL, namespaces: ["x"] } }).join("\n");
    expect(none).toContain("No volume matches -n x. 500 volumes exist.");
    expect(frameLines(looked([]), screen)).toContain("No volumes.");
  });

  test("says since when a side does not answer, and from when the list is", () => {
    const lines = frameLines(looked([volume("a")], { troubles: [trouble], readAt: NOW - 7_000 }), screen);
    expect(lines.slice(0, 2)).toEqual([
      "1 volume, none with a problem, as of 2026-03-01T11:59:53Z; Ctrl-C ends",
      "RDS does not answer since 2026-03-01T11:59:55Z: no route\\u{1b}[2J",
    ]);
    expect(lines.join("\n")).toContain("vms/a");
    expect(frameLines(looked(undefined), screen)[0]).toContain("nothing read yet");
  });
});
