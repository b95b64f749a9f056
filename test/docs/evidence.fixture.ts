import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./pages.fixture.ts";

/** A test that a page names as its evidence. */
export interface Evidence {
  /** Path from the root. */
  readonly file: string;
  /** Its title, or the part of it that no loop fills in. */
  readonly name: string;
}

/**
 * The tests that a text names: [`file`](link) › "title". Further titles of the same file may follow, each after a semicolon.
 * @throws when a file of tests is named in another form, or without a title
 */
export function evidenceOf(text: string): Evidence[] {
  const found = [...text.matchAll(/\[`([^`]+\.(?:test|lab)\.ts)`\]\([^)]+\)((?:(?: ›|;) "[^"]+")*)/g)];
  const mentions = [...text.matchAll(/\.(?:test|lab)\.ts`\]/g)].length;
  if (found.length !== mentions)
    throw new Error(`${mentions} files of tests are named, ${found.length} with a link`);
  return found.flatMap(([whole, file = "", titles = ""]) => {
    if (titles === "") throw new Error(`no title after ${whole}`);
    return [...titles.matchAll(/"([^"]+)"/g)].map(([, name = ""]) => ({ file, name }));
  });
}

const TITLE =
  /\b(?:test\w*|describe|scenario|lab)(?:\.\w+)*(?:\((?:[^()]|\([^()]*\))*\))?\(\s*(["'`])((?:\\.|(?!\1)[^\\])*)\1/gs;

/** The titles of the tests, groups and scenarios in a source text, as written: with its placeholders. */
export function titlesOf(source: string): string[] {
  return [...source.matchAll(TITLE)].map(([, , title = ""]) => title.replaceAll('\\"', '"'));
}

/** What is wrong with a piece of evidence; undefined if its test exists. */
export function problemOf({ file, name }: Evidence): string | undefined {
  const path = join(ROOT, file);
  if (!existsSync(path)) return `${file} does not exist`;
  const titles = titlesOf(readFileSync(path, "utf8"));
  return titles.some((title) => title.includes(name)) ? undefined : `${file} has no test "${name}"`;
}
