import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { Glob } from "bun";

const root = join(import.meta.dir, "../../src");

/** The folders of src: each may import from those to its right, and from itself. */
const ORDER =
  "main.ts cli diagnose csi records controller node inspect simulator config probe rds nvme mount host migration kubernetes routeros observability domain".split(
    " ",
  );

const files = [...new Glob("**/*.ts").scanSync(root)].filter((file) => !/\.(test|fixture)\.ts$/.test(file));
const imports = new Map(
  files.map((file) => {
    const text = readFileSync(join(root, file), "utf8");
    const found = text.matchAll(
      /(?:^|\n)(?:import|export)\b[^;"']*?from\s+"(\.[^"]+)"|\bimport\(\s*"(\.[^"]+)"/g,
    );
    return [file, [...found].map(([, from, lazy]) => normalize(join(dirname(file), from ?? lazy ?? "")))];
  }),
);
const folder = (file: string): string => file.split("/")[0] ?? "";

test("every folder of src imports only from folders below it", () => {
  const backwards = files.flatMap((file) =>
    (imports.get(file) ?? [])
      .filter(
        (to) => !(ORDER.indexOf(folder(file)) <= ORDER.indexOf(folder(to))) || !ORDER.includes(folder(file)),
      )
      .map((to) => `${file} -> ${to}`),
  );
  expect(backwards).toEqual([]);
});

test("no file of src imports itself by way of others", () => {
  // What is reached from a file and reaches it lies on a circle with it.
  const reach = (from: string): Set<string> => {
    const seen = new Set<string>();
    const visit = (file: string): void => {
      for (const to of imports.get(file) ?? []) {
        if (seen.has(to)) continue;
        seen.add(to);
        visit(to);
      }
    };
    visit(from);
    return seen;
  };
  expect(files.filter((file) => reach(file).has(file))).toEqual([]);
});
