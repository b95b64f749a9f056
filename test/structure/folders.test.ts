import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Glob } from "bun";

const repository = join(import.meta.dir, "../..");
const lines = (file: string): number =>
  readFileSync(join(repository, file), "utf8").trimEnd().split("\n").length;
const folders = readdirSync(join(repository, "src"), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

test("every folder of src has a README of five to fifteen lines, and a row in architecture.md", () => {
  const page = readFileSync(join(repository, "docs/architecture.md"), "utf8");
  for (const folder of folders) {
    const length = lines(`src/${folder}/README.md`);
    expect([folder, length >= 5 && length <= 15]).toEqual([folder, true]);
    expect(page).toContain(`| [\`${folder}\`](../src/${folder}/README.md) |`);
  }
});

test("architecture.md and each README name the same file to start reading at", () => {
  const page = readFileSync(join(repository, "docs/architecture.md"), "utf8").split("\n");
  const firstLink = (line: string | undefined) => /\]\(([^)]+)\)/.exec(line ?? "")?.[1] ?? "none";
  for (const folder of folders) {
    const readme = readFileSync(join(repository, "src", folder, "README.md"), "utf8").split("\n");
    const start = firstLink(readme.find((line) => /start reading/i.test(line)));
    const [, , third] = page.find((line) => line.startsWith(`| [\`${folder}\`]`))?.split(" | ") ?? [];
    expect([folder, firstLink(third)]).toEqual([folder, `../src/${folder}/${start}`]);
  }
});

test("no source file is longer than 300 lines, no test file longer than 400", () => {
  const files = [...new Glob("{src,test,scripts}/**/*.ts").scanSync(repository)].filter(
    (file) => !file.startsWith("src/csi/gen/"),
  );
  const limit = (file: string) => (/\.(test|lab)\.ts$/.test(file) ? 400 : 300);
  expect(files.filter((file) => lines(file) > limit(file))).toEqual([]);
});
