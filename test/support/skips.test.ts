import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const TESTS = join(import.meta.dir, "..");

/** Conditions of skips in a source whose title leaves the reason out. */
function silentSkips(source: string): string[] {
  return [
    ...source.matchAll(
      /^[^"'`\n]*skipIf\(((?:[^()]|\([^()]*\))+)\)(?:\.each\([^)]*\))?\(\s*(["'`])(.*?)\2,/gms,
    ),
  ]
    .filter(([, , , title = ""]) => !/\$\{no\w+\}|\$\{(?:missing|skipped)\}|\(needs [^)]+\)/.test(title))
    .map(([, condition = ""]) => condition);
}

describe("a test that is skipped", () => {
  test("says why in its title", () => {
    const files = readdirSync(TESTS, { recursive: true }).map(String);
    const sources = files.filter((path) => path.endsWith(".ts") && !path.endsWith("skips.test.ts"));
    expect(sources.length).toBeGreaterThan(20);
    for (const path of sources)
      expect([path, silentSkips(readFileSync(join(TESTS, path), "utf8"))]).toEqual([path, []]);
  });

  test("without a reason in its title is found", () => {
    expect(silentSkips('test.skipIf(tool === null)("builds", () => {});')).toEqual(["tool === null"]);
    expect(silentSkips('test.skipIf(!has("x"))(\n  "builds (needs x)",\n  () => {});')).toEqual([]);
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a source text
    expect(silentSkips("describe.skipIf(no !== '')(`builds ${noTool}`, () => {});")).toEqual([]);
  });
});
