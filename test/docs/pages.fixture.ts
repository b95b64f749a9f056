import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

/** Root of the repository. */
export const ROOT = resolve(import.meta.dirname, "../..");

/** A fenced block of a page. */
export interface Block {
  readonly language: string;
  readonly text: string;
  /** The HTML comment on the line before it, without its marks; "" if there is none. */
  readonly note: string;
}

/** A Markdown page of the repository. */
export interface Page {
  /** Path from the root. */
  readonly path: string;
  readonly text: string;
  readonly blocks: readonly Block[];
  /** The text without its fenced blocks. */
  readonly prose: string;
  /** Inline code, outside of fenced blocks. */
  readonly code: readonly string[];
}

const FENCE = /^(?:<!-- (.*) -->\n)?```(\w*)\n([\s\S]*?)^```$/gm;

/** Reads a text as a page. */
export function pageOf(path: string, text: string): Page {
  const blocks = [...text.matchAll(FENCE)].map(([, note = "", language = "", body = ""]) => ({
    note,
    language,
    text: body,
  }));
  const prose = text.replace(FENCE, "");
  const code = [...prose.matchAll(/`([^`\n]+)`/g)].map(([, inline = ""]) => inline.replaceAll("\\|", "|"));
  return { path, text, blocks, prose, code };
}

/** Every page: at the root and in docs. */
export const pages: readonly Page[] = [".", "docs"].flatMap((folder) =>
  readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith(".md"))
    .sort()
    .map((name) => {
      const path = folder === "." ? name : `${folder}/${name}`;
      return pageOf(path, readFileSync(join(ROOT, path), "utf8"));
    }),
);

/** One page by its path. */
export function page(path: string): Page {
  const found = pages.find((each) => each.path === path);
  if (found === undefined) throw new Error(`${path} does not exist`);
  return found;
}

/** The rows of every table of a text, without headings: cells without their blanks. */
export function tableRows(text: string): string[][] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("|") && !/^\|(\s*:?-+:?\s*\|)+$/.test(line))
    .map((line) =>
      line
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim().replaceAll("\\|", "|")),
    );
}

/** The text of a section: from its heading to the next one of any level. */
export function section({ path, text }: Page, heading: string): string {
  const found = text
    .split(/^(?=#{1,6} )/m)
    .find((part) => part.split("\n")[0]?.replace(/^#+ /, "") === heading);
  if (found === undefined) throw new Error(`${path} has no section ${JSON.stringify(heading)}`);
  return found;
}

/** Fragments that links into a page may have, as forges make them from headings. */
export function fragments({ prose }: Page): Set<string> {
  return new Set(
    [...prose.matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, "")
        .replace(/\s/g, "-"),
    ),
  );
}

/** Every file of the given folders whose name ends so, as one text. */
export function sources(folders: readonly string[], ending: RegExp): string {
  return folders
    .flatMap((folder) =>
      readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && ending.test(entry.name))
        .map((entry) => readFileSync(join(entry.parentPath, entry.name), "utf8")),
    )
    .join("\n");
}
