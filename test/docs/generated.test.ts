import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { commandOptions } from "../../src/cli/options.ts";
import { page, ROOT, tableRows } from "./pages.fixture.ts";

test("generated pages are current (scripts/docs writes them)", () => {
  const { status, stderr } = spawnSync(process.execPath, ["scripts/lib/docs/write-docs.ts", "--check"], {
    cwd: ROOT,
    encoding: "utf8",
  });
  expect(stderr).toBe("");
  expect(status).toBe(0);
});

test("docs/configuration.md has each option of the driver once, marked for exactly the commands that have it", () => {
  const { simulate, ...driver } = commandOptions;
  const tables = tableRows(page("docs/configuration.md").text);
  const [titles = []] = tables;
  const rows = tables.filter((row) => row.length === titles.length).slice(1);
  const listed = rows.map((row) => [
    /^`--([a-z-]+) /.exec(row[0] ?? "")?.[1],
    titles.filter((_, column) => row[column] === "✓"),
  ]);
  const commands = Object.entries(driver).map(
    ([command, table]) => [command, Object.values(table).map(({ name }) => name)] as const,
  );
  const names = [...new Set(commands.flatMap(([, options]) => options))];
  expect(listed).toEqual(
    names.map((name) => [
      name,
      commands.filter(([, options]) => options.includes(name)).map(([command]) => command),
    ]),
  );
  expect(Object.keys(simulate).length).toBeGreaterThan(5);
});
