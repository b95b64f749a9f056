import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { evidenceOf } from "../../scripts/lib/docs/evidence.ts";
import { page, ROOT, section, tableRows } from "./pages.fixture.ts";

const testing = page("docs/testing.md");

/** Layers whose tests lie in folders of their own. */
const FOLDERS = {
  lab: /^test\/lab\//,
  cluster: /^test\/cluster\//,
  executable: /^test\/(executable\/|conformance\/|bench\/|campaign\/|fuzz\/grpc\.)/,
};
const LAYERS = ["logic", "simulator", "loop", ...Object.keys(FOLDERS)];

describe("docs/testing.md", () => {
  // That the tests exist, and their files, is the work of scripts/docs.
  test("every fault has a test or is not built, and the layers of its tests are those of their folders", () => {
    for (const [fault = "", tests = "", where = ""] of tableRows(section(testing, "The fault matrix")).slice(
      1,
    )) {
      const evidence = evidenceOf(tests);
      const layers = where.split(", ");
      if (evidence.length === 0) {
        expect([fault, where]).toEqual([fault, "not built"]);
        continue;
      }
      expect([fault, layers.filter((layer) => !LAYERS.includes(layer))]).toEqual([fault, []]);
      for (const [layer, folder] of Object.entries(FOLDERS))
        expect([fault, layer, layers.includes(layer)]).toEqual([
          fault,
          layer,
          evidence.some(({ file }) => folder.test(file)),
        ]);
    }
  });

  test("what it says to run is there", () => {
    const commands = tableRows(section(testing, "Layers"))
      .slice(1)
      .flatMap(([, , run = ""]) => [...run.matchAll(/`([^`]+)`/g)].map(([, command]) => command ?? ""));
    expect(commands).not.toBeEmpty();
    const paths = commands.flatMap((command) => command.split(" ")).filter((word) => word.includes("/"));
    expect(paths.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });
});
