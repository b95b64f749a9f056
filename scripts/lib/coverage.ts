import { readFileSync } from "node:fs";
import process from "node:process";
import { Glob } from "bun";

/** The lines of one source that tests reach, and those that they do not. */
export interface FileCoverage {
  readonly file: string;
  readonly reached: number;
  /** Numbers, ascending. */
  readonly missed: readonly number[];
  /** How many functions there are, and how many are called. */
  readonly functions: number;
  readonly called: number;
}

/** Reads the `DA`, `FNF` and `FNH` lines of an lcov report. Source: geninfo(1). */
export function parseLcov(text: string): readonly FileCoverage[] {
  return text.split("end_of_record").flatMap((record) => {
    const file = /^SF:(.+)$/m.exec(record)?.[1];
    if (file === undefined) return [];
    const lines = [...record.matchAll(/^DA:(\d+),(\d+)/gm)].map(([, line, count]) => [
      Number(line),
      Number(count),
    ]);
    const missed = lines.flatMap(([line = 0, count = 0]) => (count === 0 ? [line] : []));
    const count = (key: string): number => Number(new RegExp(`^${key}:(\\d+)`, "m").exec(record)?.[1] ?? 0);
    const [functions, called] = [count("FNF"), count("FNH")];
    return [{ file, reached: lines.length - missed.length, missed, functions, called }];
  });
}

/** Numbers as ranges: `1-3, 7`. */
export function ranges(numbers: readonly number[]): string {
  const found: [number, number][] = [];
  for (const each of numbers) {
    const last = found.at(-1);
    if (last !== undefined && each === last[1] + 1) last[1] = each;
    else found.push([each, each]);
  }
  return found.map(([from, to]) => (from === to ? String(from) : `${from}-${to}`)).join(", ");
}

const isSource = (file: string): boolean =>
  file.startsWith("src/") && !/\.(test|fixture)\.ts$/.test(file) && !file.startsWith("src/csi/gen/");

/** `40.0 % of 5` */
function share(part: number, whole: number): string {
  return `${((100 * part) / Math.max(1, whole)).toFixed(1)} % of ${whole}`;
}

/** The report: the missed lines of each file, a sum for each folder, the sum of all. */
export function coverageText(files: readonly FileCoverage[], all: readonly string[]): string {
  const seen = files.filter(({ file }) => isSource(file)).sort((a, b) => (a.file < b.file ? -1 : 1));
  const missing = seen.flatMap(({ file, missed }) =>
    missed.length > 0 ? [`${file}: ${ranges(missed)}`] : [],
  );
  const unloaded = all
    .filter((file) => isSource(file) && !seen.some((each) => each.file === file))
    .map((file) => `${file}: never loaded, or types only`);
  const sum = (of: readonly FileCoverage[]): string => {
    const reached = of.reduce((count, each) => count + each.reached, 0);
    const lines = of.reduce((count, each) => count + each.reached + each.missed.length, 0);
    const functions = of.reduce((count, each) => count + each.functions, 0);
    const called = of.reduce((count, each) => count + each.called, 0);
    return `${share(reached, lines)} lines, ${share(called, functions)} functions`;
  };
  const folderOf = (file: string): string => file.split("/").slice(0, 2).join("/");
  const folders = [...new Set(seen.map(({ file }) => folderOf(file)))];
  const sums = folders.map(
    (folder) => `${folder}: ${sum(seen.filter(({ file }) => folderOf(file) === folder))}`,
  );
  return [...missing, ...unloaded, "", ...sums, `coverage of src: ${sum(seen)}`].join("\n");
}

if (import.meta.main) {
  const [report = ""] = process.argv.slice(2);
  console.log(
    coverageText(parseLcov(readFileSync(report, "utf8")), [...new Glob("src/**/*.ts").scanSync(".")].sort()),
  );
}
