import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

/** A test that a page names as its evidence. */
export interface Evidence {
  /** Path from the root of the repository. */
  readonly file: string;
  /** The test's title, or the part of it that no loop fills in. */
  readonly title: string;
}

/** Titles of tests, groups and scenarios by the path of their file from the root. */
export type Titles = ReadonlyMap<string, readonly string[]>;

/** One file with its titles: [`file`](link) › "title"; "title". */
const MENTION = /\[`([^`]+\.(?:test|lab)\.ts)`\]\([^)]+\)((?:(?: ›|;) "[^"]+")+)/g;
const TITLE =
  /\b(?:test\w*|describe|scenario|lab)(?:\.\w+)*(?:\((?:[^()]|\([^()]*\))*\))?\(\s*(["'`])((?:\\.|(?!\1)[^\\])*)\1/gs;

/** The tests that a text names. */
export function evidenceOf(text: string): Evidence[] {
  return [...text.matchAll(MENTION)].flatMap(([, file = "", titles = ""]) =>
    [...titles.matchAll(/"([^"]+)"/g)].map(([, title = ""]) => ({ file, title })),
  );
}

/** The titles in the source of a test, as written: with the placeholders of loops. */
export function titlesOf(source: string): string[] {
  return [...source.matchAll(TITLE)].map(([, , title = ""]) => title.replaceAll('\\"', '"'));
}

/** The titles of every test and lab scenario below a root. */
export function titlesBelow(root: string): Titles {
  const files = ["src", "test", "scripts"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true })
      .map((path) => join(folder, String(path)))
      .filter((path) => /\.(?:test|lab)\.ts$/.test(path)),
  );
  return new Map(files.sort().map((path) => [path, titlesOf(readFileSync(join(root, path), "utf8"))]));
}

/**
 * Writes the file and the link of each test that a page names by its title: a test that has moved is found again.
 * @param page path of the page from the root
 * @throws Error with every title that no file has, or that several other files have, and where a test is named in another form
 */
export function withFiles(text: string, page: string, titles: Titles): string {
  const problems: string[] = [];
  const written = text.replace(MENTION, (mention) => {
    const found = evidenceOf(mention).map(({ file, title }) => {
      const files = filesOf(title, file, titles);
      if (files.length !== 1) problems.push(`"${title}" is in ${files.join(" and ") || "no file"}`);
      return { file: files[0] ?? file, title };
    });
    return found
      .map(({ file, title }, index) =>
        file === found[index - 1]?.file
          ? `; "${title}"`
          : `${index === 0 ? "" : ", "}[\`${file}\`](${relative(dirname(page), file)}) › "${title}"`,
      )
      .join("");
  });
  const named = text.match(/\.(?:test|lab)\.ts`(?:\]\([^)]*\))? ›/g)?.length ?? 0;
  if (named !== [...text.matchAll(MENTION)].length)
    problems.push('a file stands without a link, or without a title in "" after it');
  if (problems.length > 0) throw new Error(`${page} names tests that are not found: ${problems.join("; ")}`);
  return written;
}

/** The named file if it still has the title; else every file with exactly this title; else every file with it as a part. */
function filesOf(title: string, named: string, titles: Titles): string[] {
  const having = (fits: (each: string) => boolean) =>
    [...titles].filter(([, all]) => all.some(fits)).map(([file]) => file);
  const partly = having((each) => each.includes(title));
  if (partly.includes(named)) return [named];
  const exactly = having((each) => each === title);
  return exactly.length > 0 ? exactly : partly;
}
