import { describe, expect, test } from "bun:test";
import { parseAllDocuments } from "yaml";
import { page, pages } from "./pages.fixture.ts";

describe("blocks of code", () => {
  test("every block says its language", () => {
    for (const { path, blocks } of pages) {
      expect([path, blocks.filter(({ language }) => language === "")]).toEqual([path, []]);
      // An odd fence would hide everything behind it from these tests.
      expect([path, (page(path).text.match(/^```/gm) ?? []).length]).toEqual([path, blocks.length * 2]);
    }
  });

  test("YAML and JSON parse", () => {
    const found = pages.flatMap(({ path, blocks }) => blocks.map((block) => ({ path, ...block })));
    for (const { path, language, text } of found) {
      if (language === "yaml")
        expect([path, parseAllDocuments(text).flatMap(({ errors }) => errors)]).toEqual([path, []]);
      if (language === "json") expect(() => JSON.parse(text)).not.toThrow();
    }
    expect(found.some(({ language }) => language === "yaml")).toBe(true);
  });
});
