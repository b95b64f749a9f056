import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fragments, type Page, pageOf, pages, ROOT } from "./pages.fixture.ts";

/** Targets of links, and references to things in the repository, that do not exist. */
function broken({ path, prose, code }: Page): string[] {
  const wrong: string[] = [];
  for (const [, target = ""] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^https:\/\//.test(target)) continue;
    const [file = "", fragment] = target.split("#");
    const found = normalize(join(dirname(path), file === "" ? path : file));
    if (found.startsWith("..") || !existsSync(join(ROOT, found))) wrong.push(target);
    else if (
      fragment !== undefined &&
      !fragments(pageOf(found, readFileSync(join(ROOT, found), "utf8"))).has(fragment)
    )
      wrong.push(target);
  }
  for (const word of code.flatMap((text) => text.split(" "))) {
    const named = /^(?:(?:src|test|docs|scripts|proto|manifests|\.ci)\/[A-Za-z0-9._/-]+|[A-Z]+\.md)$/.test(
      word,
    );
    // The reader's own folder, which docs/install.md has them make.
    if (named && !word.startsWith("manifests/sites/home") && !existsSync(join(ROOT, word))) wrong.push(word);
  }
  return wrong;
}

describe("links and paths", () => {
  for (const page of pages) {
    test(`${page.path}: every link and every path of the repository leads somewhere`, () => {
      expect(broken(page)).toEqual([]);
    });
  }

  test("a broken link, fragment or path is found", () => {
    const text =
      "[a](nowhere.md) [b](../README.md#no-such-heading) [c](../../etc) `src/none.ts` [d](README.md)";
    expect(broken(pageOf("docs/x.md", text))).toEqual([
      "nowhere.md",
      "../README.md#no-such-heading",
      "../../etc",
      "src/none.ts",
    ]);
  });

  test("docs/README.md lists every page of docs", () => {
    const index = pages.find(({ path }) => path === "docs/README.md")?.text;
    for (const { path } of pages) {
      if (path.startsWith("docs/") && path !== "docs/README.md")
        expect(index).toContain(`](${path.slice(5)})`);
    }
  });
});

/** Addresses outside of the ranges for documentation, but for the loopback and the unspecified address. */
function addresses(text: string): string[] {
  const v4 = [...text.matchAll(/(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])/g)].map(([found]) => found);
  const v6 = [...text.matchAll(/(?<![\w:~-])(?:[0-9a-f]{1,4}:){2,}[0-9a-f:]*[0-9a-f]/gi)].map(
    ([found]) => found,
  );
  return [
    ...v4.filter(
      (found) => !/^(192\.0\.2\.|198\.51\.100\.|203\.0\.113\.|127\.0\.0\.1$|0\.0\.0\.0$)/.test(found),
    ),
    ...v6.filter((found) => !/^2001:db8:/i.test(found)),
  ];
}

test("addresses are from the ranges for documentation", () => {
  expect(addresses("203.0.114.1, 192.0.2.7, 127.0.0.1, fe80:1:2::3, 2001:db8:1::2")).toEqual([
    "203.0.114.1",
    "fe80:1:2::3",
  ]);
  for (const { path, text } of pages) expect([path, addresses(text)]).toEqual([path, []]);
});
