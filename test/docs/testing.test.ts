import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { evidenceOf, problemOf, titlesOf } from "./evidence.fixture.ts";
import { page, ROOT, section, tableRows } from "./pages.fixture.ts";

const testing = page("docs/testing.md");

/** The faults that the project set out to withstand. */
const FAULTS = [
  "control link cut before or after the command took effect",
  "slow link, over the sidecar's timeout",
  "SSH session limit reached",
  "wrong host key",
  "array reboot with I/O in flight",
  "disk pool full",
  "name collision with a hand-made disk",
  "truncated CLI output",
  "localised CLI output",
  "the namespace appears late",
  "... or with the wrong size",
  "two nodes with the same host NQN",
  "driver killed at each step of CreateVolume",
  "... of a clone",
  "... of Stage and Unstage",
  "kubelet restart during publish",
  "stale staging directory after node reboot",
  "target pod deleted before it is ready",
  "third node",
  "unpublish of the target first",
  "unpublish of both",
  "node NotReady, and the out-of-service taint",
  "clock jump",
];
/** Not in the driver yet, so there is nothing to break. */
const NOT_BUILT = ["... of a clone"];

/** Which layers the files of tests can prove something in; a file of the lab or the cluster always, and only, that layer. */
const LAYERS = ["logic", "simulator", "loop", "executable", "cluster", "lab"];

describe("docs/testing.md", () => {
  const rows = tableRows(section(testing, "The fault matrix")).slice(1);

  test("every line of the fault matrix is there, once", () => {
    const faults = rows.map(([fault = ""]) => fault);
    // What was learned later follows.
    expect(faults.slice(0, FAULTS.length)).toEqual(FAULTS);
    expect(new Set(faults).size).toBe(faults.length);
  });

  test("every line names tests, all of which exist", () => {
    for (const [fault = "", tests = "", where = ""] of rows) {
      const evidence = evidenceOf(tests);
      if (NOT_BUILT.includes(fault)) {
        expect([fault, evidence.length, where]).toEqual([fault, 0, "not built"]);
        continue;
      }
      expect([fault, evidence.length > 0]).toEqual([fault, true]);
      expect([fault, ...evidence.map(problemOf).filter((problem) => problem !== undefined)]).toEqual([fault]);
      const layers = where.split(", ");
      expect([fault, layers.filter((layer) => !LAYERS.includes(layer))]).toEqual([fault, []]);
      // What is said of lab and executable is in the path of a test.
      expect([fault, layers.includes("lab")]).toEqual([
        fault,
        evidence.some(({ file }) => file.startsWith("test/lab/")),
      ]);
      expect([fault, layers.includes("cluster")]).toEqual([
        fault,
        evidence.some(({ file }) => file.startsWith("test/cluster/")),
      ]);
      expect([fault, layers.includes("executable")]).toEqual([
        fault,
        evidence.some(({ file }) => /^test\/(executable\/|conformance\/|fuzz\/grpc\.)/.test(file)),
      ]);
    }
  });

  test("what it says to run is there", () => {
    const commands = tableRows(section(testing, "Layers"))
      .slice(1)
      .flatMap(([, , run = ""]) => [...run.matchAll(/`([^`]+)`/g)].map(([, command]) => command ?? ""));
    expect(commands.length).toBeGreaterThan(6);
    const paths = commands.flatMap((command) => command.split(" ")).filter((word) => word.includes("/"));
    expect(paths.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });

  test("a test that does not exist, or is named in another form, is found", () => {
    const named = (title: string) => `[\`test/lab/spine.lab.ts\`](../test/lab/spine.lab.ts) › "${title}"`;
    const ok = "written on one node, read on the other, nothing left behind";
    expect(evidenceOf(`${named(ok)}; "a", ${named("b")}`).map(({ name }) => name)).toEqual([ok, "a", "b"]);
    expect(evidenceOf(named(ok)).map(problemOf)).toEqual([undefined]);
    // A name that is somewhere in the file, but is no title.
    expect(problemOf({ file: "test/lab/spine.lab.ts", name: "sha256sum" })).toContain("has no test");
    expect(problemOf({ file: "test/lab/none.lab.ts", name: ok })).toContain("does not exist");
    expect(() => evidenceOf("[`test/lab/spine.lab.ts`](../test/lab/spine.lab.ts)")).toThrow("no title");
    expect(() => evidenceOf("[`spine.lab.ts`]")).toThrow("1 files of tests are named, 0 with a link");
    expect(
      titlesOf('test.skipIf(no(1))("a \\"b\\"", 1); scenario(\n  `c d`,\n); describe("e"); lab(`f`, {});'),
    ).toEqual(['a "b"', "c d", "e", "f"]);
  });
});
