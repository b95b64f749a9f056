import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EXPLAINED } from "./explained.ts";
import { mutantsOf } from "./mutants.ts";
import { OPEN } from "./open.ts";
import { PLACES } from "./places.ts";
import { withSources } from "./sources.ts";
import { regexReplacements, scriptReplacements } from "./text-mutants.ts";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "rds-csi-mutants-"));
  const compilerOptions = { noLib: true, types: [], allowImportingTsExtensions: true, noEmit: true };
  writeFileSync(join(directory, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** The sources that one source is changed into. */
async function changed(text: string): Promise<readonly string[]> {
  writeFileSync(join(directory, "a.ts"), text);
  return withSources(directory, ["a.ts"], (file, source) =>
    mutantsOf(file, source).map(
      ({ start, end, text: other }) => text.slice(0, start) + other + text.slice(end),
    ),
  );
}

test("conditions, comparisons and their parts are changed", async () => {
  expect(await changed("if (a < b && c) f();")).toEqual([
    "if (true) f();",
    "if (false) f();",
    "if (a < b || c) f();",
    "if (a < b) f();",
    "if (c) f();",
    "if (a <= b && c) f();",
    "if (a >= b && c) f();",
    "if (a < b && c) ;",
  ]);
  expect(await changed("x = !a ? b ?? 1 : true;")).toEqual([
    ";",
    "x = true ? b ?? 1 : true;",
    "x = false ? b ?? 1 : true;",
    "x = a ? b ?? 1 : true;",
    "x = !a ? b : true;",
    "x = !a ? b ?? (1 + 1) : true;",
    "x = !a ? b ?? 1 : false;",
  ]);
});

test("statements, waits, texts and calls are changed", async () => {
  expect(await changed('async function f() { await g("x"); return a.some(b); }')).toEqual([
    "async function f() { ; return a.some(b); }",
    'async function f() { g("x"); return a.some(b); }',
    'async function f() { await g(""); return a.some(b); }',
    'async function f() { await g("x"); return undefined as never; }',
    'async function f() { await g("x"); return a.every(b); }',
  ]);
});

test("types, imports, lines of the log, deadlines and words for people are left alone", async () => {
  expect(
    await changed(`import { a } from "./b.ts";
interface B { readonly kind: "c" }
const x: "d" | B = y;
const LONG_MS = 20;
logger.info("e", 1);
if (x > 0) node.logger.debug("f");
const z = { detail: "g" };`),
  ).toEqual([]);
});

test("the same change in the same function twice has two names", async () => {
  writeFileSync(join(directory, "a.ts"), "function f() { return [1, 1]; }");
  const keys = await withSources(directory, ["a.ts"], (file, source) =>
    mutantsOf(file, source).map(({ key }) => key),
  );
  expect(keys.slice(1)).toEqual(["a.ts f: 1 → (1 + 1)", "a.ts f: 1 → (1 + 1) (2)"]);
});

test("regular expressions lose anchors and quantifiers, and classes turn round", () => {
  const texts = (source: string) =>
    regexReplacements(source).map(
      ({ start, end, text }) => source.slice(0, start) + text + source.slice(end),
    );
  expect(texts("/^[a-z]\\d{2,4}$/")).toEqual([
    "/[a-z]\\d{2,4}$/",
    "/^[a-z]\\d{2,4}/",
    "/^[^a-z]\\d{2,4}$/",
    "/^[a-z]\\D{2,4}$/",
    "/^[a-z]\\d$/",
  ]);
});

test("RouterOS script loses statements and conditions, and gets other operators", () => {
  const source = "`/a where x and y; :if (n > 0) do={ b; c }`";
  const texts = scriptReplacements(source).map(
    ({ start, end, text }) => source.slice(0, start) + text + source.slice(end),
  );
  expect(texts).toEqual([
    "`/a where x or y; :if (n > 0) do={ b; c }`",
    "`/a where x and y; :if (n >= 0) do={ b; c }`",
    "`/a where x; :if (n > 0) do={ b; c }`",
    "`:if (n > 0) do={ b; c }`",
    "`/a where x and y; `",
  ]);
});

test("the sources and tests of each place are there, and each explanation is of one of them, once", () => {
  const sources = PLACES.flatMap((place) => place.sources);
  const files = sources.flatMap(({ file, tests }) => [file, ...tests.flat()]);
  expect(files.filter((file) => !existsSync(join(import.meta.dir, "../../..", file)))).toEqual([]);
  const keys = EXPLAINED.map(({ key }) => key);
  expect(keys.filter((key) => !sources.some(({ file }) => key.startsWith(`${file} `)))).toEqual([]);
  expect(new Set(keys).size).toBe(keys.length);
});

test("the sources that are not judged yet are of the places, once each, and have no explanations", () => {
  const files = PLACES.flatMap((place) => place.sources.map(({ file }) => file));
  expect(OPEN.filter((file) => !files.includes(file))).toEqual([]);
  expect(new Set(OPEN).size).toBe(OPEN.length);
  expect(EXPLAINED.filter(({ key }) => OPEN.some((file) => key.startsWith(`${file} `)))).toEqual([]);
});
