import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { ROOT } from "./pages.fixture.ts";

test("generated pages are current (scripts/docs writes them)", () => {
  const { status, stderr } = spawnSync(process.execPath, ["scripts/lib/write-docs.ts", "--check"], {
    cwd: ROOT,
    encoding: "utf8",
  });
  expect(stderr).toBe("");
  expect(status).toBe(0);
});
