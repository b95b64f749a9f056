import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";

const FOLDER = join(import.meta.dir, "../../.github/workflows");
const ACTIONLINT = Bun.which("actionlint");
const names = readdirSync(FOLDER);

test.skipIf(ACTIONLINT === null)(
  `workflows pass actionlint${ACTIONLINT === null ? " (needs actionlint)" : ""}`,
  () => {
    // Without shellcheck and pyflakes, which this machine may have or not.
    const args = [ACTIONLINT ?? "", "-shellcheck=", "-pyflakes=", ...names.map((name) => join(FOLDER, name))];
    const { exitCode, stdout } = Bun.spawnSync(args, { timeout: 20_000 });
    expect([exitCode, String(stdout)]).toEqual([0, ""]);
  },
);

test("workflows have no right but to read, unless a job says so, and end by themselves", () => {
  for (const name of names) {
    const { permissions, jobs } = parse(readFileSync(join(FOLDER, name), "utf8"));
    expect([name, permissions]).toEqual([name, { contents: "read" }]);
    for (const [job, { "timeout-minutes": minutes }] of Object.entries<{ "timeout-minutes"?: number }>(jobs))
      expect([name, job, typeof minutes]).toEqual([name, job, "number"]);
  }
});

test("what a workflow runs of this repository is there", () => {
  for (const name of names) {
    const text = readFileSync(join(FOLDER, name), "utf8");
    for (const [path] of text.matchAll(/(?<![\w/])(?:\.ci|scripts)\/[a-z]+/g))
      expect([name, path, readFileSync(join(FOLDER, "../..", path), "utf8").startsWith("#!")]).toEqual([
        name,
        path,
        true,
      ]);
  }
});
