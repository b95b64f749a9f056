import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { buildProgram } from "../../src/cli/program.ts";
import { KUSTOMIZE, noKustomize } from "../manifests/kustomize.fixture.ts";
import { BUILDS, files } from "../manifests/manifests.fixture.ts";
import { lacking, type PageSteps, startPageSteps } from "./page-steps.fixture.ts";
import { page, pages, ROOT } from "./pages.fixture.ts";

// Runs docs/install.md in its order, up to the first step that needs a cluster. Compares the later steps, and those of
// docs/upgrade.md, with the manifests.

const executable = join(ROOT, "dist/rds-csi");
const missing = existsSync(executable)
  ? lacking(["bash", "cp", "ssh", "scp", "ssh-keygen", "ssh-keyscan", "sed"])
  : "(needs dist/rds-csi)";
const RDS = "192.0.2.10";
const SITE = "manifests/sites/home";
/** The same of another version, and standard input. */
const ELSEWHERE = [SITE, `../rds-csi-old/${SITE}`, "-"];

const io = {
  env: {},
  out: () => {},
  err: () => {},
  columns: undefined,
  colour: false,
  stop: new AbortController().signal,
};

const { blocks } = page("docs/install.md");
const steps = blocks.filter(({ note }) => note === "run in a test").map(({ text }) => text);
const upgrade = page("docs/upgrade.md").blocks.filter(({ language }) => language === "sh");
const inCluster = [...blocks.filter(({ note }) => note === "cluster"), ...upgrade].map(({ text }) => text);

/** `kubectl kustomize` as the page writes it: kubectl itself, or a stand-in that calls kustomize. */
const kubectl = (): readonly string[] => {
  if (KUSTOMIZE === undefined) return ["kubectl() { :; }"];
  const [program, subcommand] = KUSTOMIZE;
  return subcommand === "kustomize" ? [] : [`kubectl() { ${program} build "$2"; }`];
};

/** The text of the step that has `part` in it. */
function step(part: string): string {
  const found = steps.filter((text) => text.includes(part));
  expect([part, found.length]).toEqual([part, 1]);
  return found[0] ?? "";
}

describe.skipIf(missing !== "")(`docs/install.md ${missing}`, () => {
  const outputs = new Map<string, string>();
  let run: PageSteps | undefined;

  beforeAll(async () => {
    run = await startPageSteps({
      address: RDS,
      replace: { "192.0.2.0/25": "127.0.0.0/8" },
      functions: () => [
        `mkdir -p manifests && cp -rn ${ROOT}/manifests/{base,components,examples,overlays,rds} manifests/`,
        "scripts/build() { :; }",
        `dist/rds-csi() { ${executable} "$@"; }`,
        ...kubectl(),
      ],
    });
    for (const [index, text] of steps.entries()) {
      outputs.set(text, await run.shell(text));
      if (index > 0) continue;
      // What the page tells the reader to do with an editor.
      const config = join(run.directory, SITE, "config.yaml");
      const own = (await readFile(config, "utf8")).replace(RDS, `127.0.0.1:${run.simulator.port}`);
      await writeFile(config, own);
    }
  }, 240_000);
  afterAll(() => run?.close());

  const outputOf = (part: string): string => outputs.get(step(part)) ?? "";

  test("the steps make a user on the RDS who may log in with the new key", () => {
    expect(steps.length).toBeGreaterThan(4);
    expect(outputOf("bootstrap.rsc")).toContain("user csi: added");
    expect(outputOf("bootstrap.rsc")).toContain("Script file loaded and executed successfully");
  });

  test("the fingerprint of the page's command is that of the console", () => {
    const [fingerprint = ""] = run?.simulator.hostKeyFingerprints ?? [];
    expect(fingerprint).toStartWith("SHA256:");
    expect(outputOf("ssh-keygen -lf")).toContain(fingerprint);
    expect(outputOf("bootstrap.rsc")).toContain("host key: ed25519, to be read at the console");
  });

  test("the preflight prints what the page shows, with nothing but that user's rights", () => {
    const shown = blocks.find(({ language }) => language === "text")?.text.trim() ?? "";
    expect(shown).not.toBe("");
    expect(outputOf("dist/rds-csi volumes list").trim()).toBe(shown);
    expect(run?.simulator.commands.filter(({ outcome }) => outcome !== "ok")).toEqual([]);
  });

  test.skipIf(noKustomize !== "")(
    `kubectl kustomize builds the site as the page writes it, with key and pin${noKustomize}`,
    () => {
      const documents = parseAllDocuments(outputOf("kubectl kustomize")).map((each) => each.toJS());
      const secret = documents.find(({ kind }) => kind === "Secret");
      expect(Object.keys(secret.data).toSorted()).toEqual(["key", "known_hosts"]);
      expect(Buffer.from(secret.data.key, "base64").toString()).toContain("OPENSSH PRIVATE KEY");
      const images = JSON.stringify(documents).match(/"image":"images[^"]+"/g) ?? [];
      expect(new Set(images)).toEqual(new Set(['"image":"images.example.org/storage/rds-csi:0.2.0-dev"']));
      expect(images).toHaveLength(2);
    },
  );
});

describe("docs/install.md, what needs a cluster", () => {
  const base = (file: string) => files.get(file) ?? [];
  const commands = inCluster.flatMap((text) => text.replaceAll("\\\n", " ").trim().split("\n"));

  test("every folder that a page builds or applies is the reader's own, or can be built as it stands", () => {
    const builds = pages.flatMap(({ path, blocks: all }) =>
      all
        .filter(({ language }) => language === "sh")
        .flatMap(({ text }) => [...text.matchAll(/kubectl (?:kustomize|\w+ -k) (\S+)/g)])
        .map(([, folder = ""]) => ({ path, folder }))
        // Of other projects.
        .filter(({ folder }) => !folder.startsWith('"https://')),
    );
    expect(builds.length).toBeGreaterThan(3);
    // It lacks a key and a host key.
    const incomplete = "examples/site";
    const whole = BUILDS.filter((folder) => folder !== incomplete).map((folder) => `manifests/${folder}`);
    expect(builds.filter(({ folder }) => !ELSEWHERE.includes(folder) && !whole.includes(folder))).toEqual([]);
  });

  test("every block says whether it was run", () => {
    const silent = blocks.filter(({ language, note }) => language === "sh" && note === "");
    expect(silent).toEqual([]);
    expect(commands.length).toBeGreaterThan(10);
  });

  test("files, workloads and containers are those of the manifests", () => {
    const workloads = ["base/controller.yaml", "base/node.yaml"].flatMap(base);
    const names = workloads.map(({ kind, metadata }) => `${kind.toLowerCase()}/${metadata.name}`);
    let seen = 0;
    for (const command of commands) {
      for (const [, path = ""] of command.matchAll(/ -[fk] (\S+)/g)) {
        if (ELSEWHERE.includes(path) || path === "Containerfile") continue;
        expect([command, existsSync(join(ROOT, path))]).toEqual([command, true]);
        seen += 1;
      }
      for (const [workload = ""] of command.matchAll(/\b(?:deployment|daemonset)\/[a-z-]+/g)) {
        expect(names).toContain(workload);
        const { spec } = workloads[names.indexOf(workload)];
        const [, container] = / -c (\S+)/.exec(command) ?? [];
        const containers = spec.template.spec.containers.map(({ name }: { name: string }) => name);
        if (container !== undefined) expect(containers).toContain(container);
        expect(command).toContain(`-n ${base("base/namespace.yaml")[0].metadata.name}`);
        seen += 1;
      }
    }
    expect(seen).toBeGreaterThan(8);
  });

  test("commands of the driver exist", () => {
    const program = buildProgram(io, () => {});
    const called = commands.flatMap(
      (command) => / -- rds-csi ([a-z]+)(?: ([a-z]+))?/.exec(command)?.slice(1) ?? [],
    );
    const words = called.filter((word) => word !== undefined);
    expect(words).toContain("diagnose");
    const names = program.commands.flatMap((each) => [
      each.name(),
      ...each.commands.map((sub) => sub.name()),
    ]);
    for (const word of words) expect(names).toContain(word);
  });

  test("objects that are waited for are those of the examples", () => {
    const examples = ["examples/pods/filesystem.yaml", "examples/kubevirt/machine.yaml"].flatMap(base);
    const names = examples.map(({ kind, metadata }) => `${kind.toLowerCase()}/${metadata.name}`);
    const waited = commands.flatMap(
      (command) => / (pod|virtualmachine)\/\S+/.exec(command)?.[0]?.trim() ?? [],
    );
    expect(waited.length).toBeGreaterThan(1);
    for (const name of waited) expect(names).toContain(name);
  });
});
