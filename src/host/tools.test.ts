import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { NODE_TOOLS } from "./tools.ts";

const source = join(import.meta.dir, "..");
const files = [...new Bun.Glob("**/*.ts").scanSync(source)].filter(
  (path) => !/\.(test|fixture)\.ts$/.test(path),
);
const text = (path: string) => readFileSync(join(source, path), "utf8");
const names: readonly string[] = NODE_TOOLS.map(({ name }) => name);

test("programs are started in one place only, which the compiler lets execute nothing but the list", () => {
  const starters = files.filter((path) => /child_process|Bun\.spawn|Deno\.Command/.test(text(path)));
  // No part of a node: the plugin of kubectl starts kubectl, the simulator copies image files with cp.
  expect(starters.sort()).toEqual([
    "cli/kubectl/main.ts",
    "host/exec.ts",
    "simulator/backend/sparse-copy.ts",
  ]);
  expect(text("host/exec.ts")).toContain("Command<Program extends string = ToolName>");
});

test("every program that is named at a call is in the list, and every one of the list is named somewhere", () => {
  const called = files.flatMap((path) =>
    [...text(path).matchAll(/\bprogram: "([^"]+)"/g)].map(([, name = ""]) => name),
  );
  expect(called.length).toBeGreaterThan(10);
  expect(called.filter((name) => !names.includes(name))).toEqual([]);
  const all = files
    .filter((path) => path !== "node/tools.ts")
    .map(text)
    .join("\n");
  const unnamed = names.filter((name) => !new RegExp(`["\`]${name.replace(/\.(ext4|xfs)$/, ".")}`).test(all));
  expect(unnamed).toEqual([]);
});

test("no name twice", () => {
  expect(new Set(names).size).toBe(names.length);
});
