import { describe, expect, test } from "bun:test";
import {
  driftedFacts,
  listTranscript,
  TRANSCRIPT_WIDTH,
  wellFacts,
} from "../../scripts/lib/docs/volumes-transcripts.ts";
import { VOLUME_FINDING_IDS, volumeCatalogue } from "../../src/inspect/catalogue.ts";
import { compareVolume } from "../../src/inspect/compare.ts";
import { page, section, tableRows } from "./pages.fixture.ts";

const volumes = page("docs/volumes.md");
const transcripts = volumes.blocks.filter(({ language }) => language === "text").map(({ text }) => text);

describe("docs/volumes.md", () => {
  test("lists every drift once with severity, meaning and remedy of the catalogue, the worst first", () => {
    const [, ...rows] = tableRows(section(volumes, "Drift"));
    const listed = rows.map(([id = "", severity, , meaning, remedy]) => [
      id.replaceAll("`", ""),
      { severity, meaning, remedy },
    ]);
    expect(listed).toHaveLength(VOLUME_FINDING_IDS.length);
    const wanted = VOLUME_FINDING_IDS.map((id) => {
      const { severity, title, meaning, remedy } = volumeCatalogue[id];
      return [id, { severity, meaning: `${title}. ${meaning}`.trim(), remedy }] as const;
    });
    expect(Object.fromEntries(listed)).toEqual(Object.fromEntries(wanted));
    const severities = rows.map(([, severity = ""]) =>
      ["critical", "error", "warning", "info"].indexOf(severity),
    );
    expect(severities).toEqual(severities.toSorted());
  });

  test("names in other pages of what `volumes show` finds are ids of drift", () => {
    const named = section(page("docs/troubleshooting.md"), "Something is left over")
      .split("\n")
      .filter((line) => line.includes("volumes show"))
      .flatMap((line) => [...line.matchAll(/`([a-z]+(?:-[a-z]+)+)`/g)].map(([, id = ""]) => id));
    expect(named.length).toBeGreaterThan(2);
    for (const id of named) expect(VOLUME_FINDING_IDS as readonly string[]).toContain(id);
  });

  test("the transcripts of list and show fit the terminal, one volume is well and one is not", () => {
    expect(transcripts.map((text) => text.split("\n")[0])).toEqual([
      "$ rds-csi volumes list",
      "$ rds-csi volumes list --namespace vms --problems",
      "$ rds-csi volumes list --node worker-9",
      "$ rds-csi volumes list --watch | cat",
      "$ rds-csi volumes show vms/database",
      "$ rds-csi volumes show vms/web",
      "$ rds-csi volumes orphans",
      "$ rds-csi volumes orphans --delete --all",
    ]);
    for (const text of transcripts.filter((each) => !each.includes("--watch"))) {
      for (const line of text.split("\n")) expect([...line].length).toBeLessThanOrEqual(TRANSCRIPT_WIDTH);
    }
    expect(compareVolume(wellFacts)).toEqual([]);
    expect(compareVolume(driftedFacts).map(({ id }) => id)).toEqual(["not-exported", "expansion-pending"]);
  });

  test("the volumes that are shown are those of the list", () => {
    const list = listTranscript();
    for (const { handle } of [wellFacts, driftedFacts]) {
      expect(list).toContain(` ${handle.slice(0, 12)}`);
      expect(transcripts.some((text) => text.includes(`\nVolume ${handle}: `))).toBe(true);
    }
    for (const state of ["available", "attached", "broken", "foreign"])
      expect(list).toMatch(new RegExp(`^${state} `, "m"));
  });
});
