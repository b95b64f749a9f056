import { describe, expect, test } from "bun:test";
import { evidenceOf, titlesOf, withFiles } from "./evidence.ts";

const named = (file: string, ...titles: string[]) =>
  `[\`${file}\`](../${file}) › ${titles.map((title) => `"${title}"`).join("; ")}`;

describe("tests that a page names", () => {
  const titles = new Map([
    ["src/a.test.ts", ["stays", "more than that stays too"]],
    ["src/moved/b.test.ts", ["moves", "twice"]],
    ["test/c.lab.ts", ["moves elsewhere", "twice"]],
  ]);
  const page = "docs/page.md";

  test("are read with each title of a file", () => {
    const text = `| ${named("src/a.test.ts", "x", "y")}, ${named("test/c.lab.ts", "z")} |`;
    expect(evidenceOf(text)).toEqual([
      { file: "src/a.test.ts", title: "x" },
      { file: "src/a.test.ts", title: "y" },
      { file: "test/c.lab.ts", title: "z" },
    ]);
  });

  test("keep their file while it has the title, or a title with that part", () => {
    const text = `a ${named("src/a.test.ts", "stays", "that stays")} b`;
    expect(withFiles(text, page, titles)).toBe(text);
  });

  test("get the file to which they have moved, each its own", () => {
    expect(withFiles(named("src/b.test.ts", "moves elsewhere", "moves", "stays"), page, titles)).toBe(
      [
        named("test/c.lab.ts", "moves elsewhere"),
        named("src/moved/b.test.ts", "moves"),
        named("src/a.test.ts", "stays"),
      ].join(", "),
    );
  });

  test("are an error where no file has the title, or several others have it", () => {
    expect(() => withFiles(named("src/a.test.ts", "nowhere"), page, titles)).toThrow(
      'docs/page.md names tests that are not found: "nowhere" is in no file',
    );
    expect(() => withFiles(named("src/a.test.ts", "twice"), page, titles)).toThrow(
      '"twice" is in src/moved/b.test.ts and test/c.lab.ts',
    );
  });

  test("are an error where they are named in another form", () => {
    for (const text of ['`src/a.test.ts` › "stays"', "[`src/a.test.ts`](../src/a.test.ts) › “stays”"])
      expect(() => withFiles(text, page, titles)).toThrow("without a link, or without a title");
  });

  test("are found by the titles of tests, groups and scenarios, not by other texts", () => {
    const source =
      'test.skipIf(no(1))("a \\"b\\"", 1); scenario(\n  `c d`,\n); describe("e"); lab(`f`, {}); expect("g");';
    expect(titlesOf(source)).toEqual(['a "b"', "c d", "e", "f"]);
  });
});
