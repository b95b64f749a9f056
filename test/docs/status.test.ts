import { describe, expect, test } from "bun:test";
import { SWITCH_DOCS } from "../../src/simulator/switches.ts";
import { page, section, tableRows } from "./pages.fixture.ts";

const status = page("docs/status.md");

describe("docs/status.md", () => {
  test("the assumptions are exactly the switches of the simulator", () => {
    const rows = tableRows(section(status, "Never seen on hardware")).slice(1);
    const listed = rows.flatMap(([, names = ""]) =>
      [...names.matchAll(/`([^`]+)`/g)].map(([, name]) => name ?? ""),
    );
    expect(listed.toSorted()).toEqual(SWITCH_DOCS.map(({ name }) => name).toSorted());
  });

  test("every spec of csi-sanity is counted in docs/conformance.md, and no skip stands twice", () => {
    const conformance = page("docs/conformance.md");
    const runs = tableRows(section(conformance, "Figures")).slice(1);
    for (const [profile, type, layout, ...counts] of runs) {
      const sum = counts.reduce((total, count) => total + Number(count), 0);
      expect([profile, type, layout, sum, counts[1]]).toEqual([profile, type, layout, 96, "0"]);
    }
    const prefixes = tableRows(section(conformance, "Skipped specs"))
      .slice(1)
      .map(([prefix = ""]) => prefix);
    for (const prefix of prefixes) {
      expect(prefix).toMatch(/^`[^`]{20,}`$/);
      const shadowed = prefixes.filter((other) => other !== prefix && other.startsWith(prefix.slice(0, -1)));
      expect([prefix, shadowed]).toEqual([prefix, []]);
    }
    expect(new Set(prefixes).size).toBe(prefixes.length);
  });
});
