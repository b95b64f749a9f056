import { expect, test } from "bun:test";
import { NODE_RATINGS, VOLUME_RATINGS } from "../../src/inspect/health.ts";
import { page, section, tableRows } from "./pages.fixture.ts";

const rows = tableRows(section(page("docs/alerts.md"), "Health of volumes")).map((row) =>
  row.map((cell) => cell.replaceAll("`", "")),
);

test("the reasons of docs/alerts.md are those of the code, with status and finding or cause", () => {
  const rated = Object.entries({ ...VOLUME_RATINGS, ...NODE_RATINGS }).flatMap(([id, rating]) =>
    "status" in rating ? [[rating.reason, rating.status.toUpperCase().replace("-", "_"), id]] : [],
  );
  const listed = rows.filter(([, status = ""]) => /^(DEGRADED|INACCESSIBLE|DATA_LOSS)$/.test(status));
  expect(listed.toSorted()).toEqual(rated.toSorted());
  expect(rated.length).toBeGreaterThan(20);
});
