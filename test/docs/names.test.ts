import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { commandOptions } from "../../src/cli/options.ts";
import { buildProgram } from "../../src/cli/program.ts";
import { envNameOf } from "../../src/config/option.ts";
import { registryOf } from "../support/registry.ts";
import { pages, ROOT, sources } from "./pages.fixture.ts";

const stop = new AbortController().signal;
const io = { env: {}, out: () => {}, err: () => {}, columns: undefined, colour: false, stop };

function longOptions(command: Command): string[] {
  const own = command.options.flatMap(({ long }) => (typeof long === "string" ? [long] : []));
  return [...own, ...command.commands.flatMap(longOptions)];
}

/** Flags of programs that are not ours, and of test/conformance/csi-sanity.ts. */
const OF_OTHERS = [
  "--unix-socket",
  "--extra-create-metadata",
  "--no-act",
  "--field-selector",
  "--for",
  "--timeout",
  "--platform",
  "--build-arg",
  "--push",
  "--all",
  "--short",
  "--force",
  "--sort-by",
  "--allow-all",
  "--deno",
  "--disable-force-detach-on-timeout",
  "--no-headers",
  "--features",
  "--snapshot-move-data",
  "--include-namespaces",
  "--wait",
  "--set-file",
  "--cascade",
  "--all-namespaces",
  "--dhchap-secret",
  "--tail",
  "--prefix",
  "--max-log-requests",
];

/** Flags of our own scripts: whatever their texts know. */
const scripts = readdirSync(join(ROOT, "scripts"), { withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map(({ name }) => readFileSync(join(ROOT, "scripts", name), "utf8"))
  .concat(readFileSync(join(ROOT, "scripts/lib/docs/write-docs.ts"), "utf8"))
  .join("\n");

const known = new Set([
  "--help",
  "--version",
  ...OF_OTHERS,
  ...longOptions(buildProgram(io, () => {})),
  "--context",
]);
/** Flags of sidecars, and fields of Kubernetes: what the manifests use, which tests of their own check. */
const manifests = sources(["manifests"], /\.yaml$/);
for (const [flag] of (scripts + manifests).matchAll(/--[a-z][a-z-]+/g)) known.add(flag);

const flagsOf = (text: string): string[] =>
  [...text.matchAll(/(?<![\w-])--[a-z][a-z0-9-]*/g)].map(([flag]) => flag);

describe("names in the documents exist in the code", () => {
  test("flags", () => {
    expect(flagsOf("`--pool x` a--b ---c --no-such")).toEqual(["--pool", "--no-such"]);
    expect(known.has("--no-such")).toBe(false);
    for (const { path, text } of pages) {
      expect([path, flagsOf(text).filter((flag) => !known.has(flag))]).toEqual([path, []]);
    }
  });

  test("commands", () => {
    const names = (command: Command): string[] =>
      command.commands.length === 0
        ? [command.name()]
        : command.commands.flatMap((each) => names(each).map((name) => `${command.name()} ${name}`));
    const leaves = names(buildProgram(io, () => {}));
    const all = new Set(
      leaves.flatMap((leaf) => leaf.split(" ").map((_, at, words) => words.slice(0, at + 1).join(" "))),
    );
    expect(all).toContain("rds-csi volumes show");
    // Not the namespace of that name, and no placeholder.
    const commandsOf = (text: string): string[] =>
      [
        ...text.matchAll(
          /(?<!-n )(?<![\w./-])(?:dist\/)?(rds-csi (?:volumes |snapshots )?[a-z]+)(?![\w/:.-])/g,
        ),
      ].map(([, found = ""]) => found);
    expect(
      commandsOf("`rds-csi volumes list` dist/rds-csi node kubectl -n rds-csi get rds-csi-node"),
    ).toEqual(["rds-csi volumes list", "rds-csi node"]);
    expect(commandsOf("`rds-csi snapshots nothing`")).toEqual(["rds-csi snapshots nothing"]);
    for (const { path, code, blocks } of pages) {
      const shell = blocks.filter(({ language }) => language === "sh").map(({ text }) => text);
      expect([path, [...code, ...shell].flatMap(commandsOf).filter((name) => !all.has(name))]).toEqual([
        path,
        [],
      ]);
    }
  });

  test("environment variables", () => {
    const tables = Object.values(commandOptions).flatMap((table) => Object.values(table));
    const names = new Set([...tables.map(({ name }) => envNameOf(name)), envNameOf("config")]);
    const read = `${sources(
      ["test", "scripts", "src/cli", "src/controller", "src/rds"],
      /^[^.]+(\.test|\.fixture)?(\.ts|\.sh)?$/,
    )} ${readFileSync(join(ROOT, ".ci/run"), "utf8")}`;
    for (const { path, text } of pages) {
      const unknown = [...text.matchAll(/\bRDS_CSI_[A-Z_]+\b/g)]
        .map(([name]) => name)
        .filter((name) => !names.has(name) && !read.includes(name));
      expect([path, unknown]).toEqual([path, []]);
    }
  });

  test("metrics", async () => {
    const all = await Promise.all(
      (["controller", "node"] as const).map((mode) => registryOf(mode).getMetricsAsJSON()),
    );
    const metrics = new Set(all.flat().map(({ name }) => name));
    expect(metrics.size).toBeGreaterThan(8);
    for (const { path, text } of pages) {
      const unknown = [...text.matchAll(/\b(?:rds_csi|process)_[a-z_]+\b/g)]
        .map(([name]) => name.replace(/_(?:bucket|sum|count)$/, ""))
        .filter((name) => !metrics.has(name));
      expect([path, unknown]).toEqual([path, []]);
    }
  });

  test("errors and other names in camel case", () => {
    const code = sources(["src"], /^(?!.*\.(test|fixture)\.ts$).*\.ts$/);
    const scripts = sources(["manifests"], /\.rsc$/);
    const identifiers = new Set(`${code}\n${scripts}\n${manifests}`.match(/[A-Za-z_$][\w$]*/g));
    // Of Kubernetes, KubeVirt and CDI.
    const foreign = [
      "volumeMode",
      "enableServiceLinks",
      "evictionStrategy",
      "scratchSpaceStorageClass",
      "vmStateStorageClass",
    ];
    for (const name of foreign) identifiers.add(name);
    expect(identifiers.has("volumeInUse")).toBe(true);
    expect(identifiers.has("noSuchError")).toBe(false);
    for (const { path, code: inline } of pages) {
      const unknown = inline
        .map((text) => text.replace(/: \S+$/, ""))
        .filter((text) => /^[a-z]+(?:[A-Z][a-z0-9]+)+$/.test(text) && !identifiers.has(text));
      expect([path, unknown]).toEqual([path, []]);
    }
  });

  test("texts that a page looks for in a log", () => {
    const code = sources(["src"], /^(?!.*\.(test|fixture)\.ts$).*\.ts$/).replace(
      /^(?:import|} from) .*$/gm,
      "",
    );
    const literals = [...code.matchAll(/"((?:[^"\\\n]|\\.)*)"/g)].map(([, text = ""]) => text).join("\n");
    const ids = new Set([...code.matchAll(/^ {2}(\w+): entry\./gm)].map(([, id]) => id));
    const isLogged = (word: string) => ids.has(word) || literals.includes(word);
    expect([isLogged("hostKeyMismatch"), isLogged("lease"), isLogged("leader,")]).toEqual([
      true,
      true,
      false,
    ]);
    for (const { path, text } of pages) {
      const words = [...text.matchAll(/logs .*\| grep (?:-E )?'?([\w|, ]+)'?$/gm)].flatMap(([, list = ""]) =>
        list.split("|"),
      );
      expect([path, words.filter((word) => !isLogged(word))]).toEqual([path, []]);
    }
  });
});
