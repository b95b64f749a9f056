import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { cleanUp, loopsBelow, mountsBelow } from "../support/leftovers.ts";
import { startStand } from "../support/stand.ts";

/**
 * Runs the official csi-sanity against the compiled executable: controller and node as two processes on two
 * sockets, the simulator behind them; each access type under each profile, with both layouts of volumes. Skipped specs must be listed in
 * docs/conformance.md. With `--deno` all three run from source under that Deno.
 *
 *     bun test/conformance/csi-sanity.ts [--deno <path of deno>] <path of csi-sanity> [profile] [mount|block] [subvolume|plain]
 *
 * `all` stands for any.
 */
const { values, positionals } = parseArgs({ options: { deno: { type: "string" } }, allowPositionals: true });
const [sanity = "", onlyProfile, onlyType, onlyLayout] = positionals;
const runtime = values.deno === undefined ? "" : " under Deno";
const chosen = (names: readonly string[], only = "all") =>
  names.filter((name) => only === "all" || name === only);
const PROFILES = chosen(["current", "hostile", "strict"], onlyProfile);
const TYPES = chosen(["mount", "block"], onlyType);
const LAYOUTS = chosen(["subvolume", "plain"], onlyLayout);
/** Specs that need a snapshot or clone of a volume, which the layout plain cannot have. */
const NEEDS_SUBVOLUME = "Snapshot|from an existing source";

interface Spec {
  readonly State: string;
  readonly LeafNodeType: string;
  readonly LeafNodeText: string;
  readonly ContainerHierarchyTexts: readonly string[] | null;
}

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const allowedSkips = (await readFile("docs/conformance.md", "utf8"))
  .split("\n")
  .flatMap((line) => /^\| `([^`]+)` \|/.exec(line)?.[1] ?? []);

/** The executable, or a program that runs its source under Deno. */
async function executableIn(base: string): Promise<string> {
  if (values.deno === undefined) return resolve("dist/rds-csi");
  const program = join(base, "rds-csi");
  const command = [values.deno, "run", "--quiet", "--allow-all", resolve("src/main.ts")];
  await writeFile(program, `#!/bin/sh\nexec ${command.map((word) => `'${word}'`).join(" ")} "$@"\n`, {
    mode: 0o755,
  });
  return program;
}

async function runOnce(profile: string, type: string, layout: string): Promise<Counts> {
  const base = await mkdtemp(join(tmpdir(), "rds-csi-sanity-"));
  const directory = join(base, "s");
  const report = join(base, "report.json");
  const parameters = join(base, "parameters.yaml");
  await writeFile(parameters, `layout: ${layout}\n`);
  const stand = await startStand({
    executable: await executableIn(base),
    directory,
    profile,
    nodes: ["node-a"],
    controller: ["--max-volumes-per-node", "4"],
    node: ["--max-volumes-per-node", "4"],
  });
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  try {
    const work = join(directory, "work");
    await mkdir(work);
    const attributes = join(base, "attributes.yaml");
    await writeFile(attributes, 'keepAliveTmo: "9"\nqueueSize: "64"\n');
    const code = await new Promise<number>((done, fail) => {
      const child = spawn(
        sanity,
        [
          "--csi.endpoint",
          `unix://${stand.nodeSocket("node-a")}`,
          "--csi.controllerendpoint",
          `unix://${stand.controllerSocket}`,
          "--csi.mountdir",
          join(work, "target"),
          "--csi.stagingdir",
          join(work, "staging"),
          "--csi.testvolumesize",
          String(1024 ** 3),
          "--csi.testvolumeaccesstype",
          type,
          "--csi.testvolumemutableparameters",
          attributes,
          "--csi.testnodevolumeattachlimit",
          "--csi.testvolumeparameters",
          parameters,
          ...(layout === "plain" ? ["--ginkgo.skip", NEEDS_SUBVOLUME] : []),
          "--ginkgo.json-report",
          report,
          "--ginkgo.no-color",
        ],
        { stdio: ["ignore", "pipe", "pipe"] },
      );
      let output = "";
      child.stdout.on("data", (data) => (output += data));
      child.stderr.on("data", (data) => (output += data));
      child.on("error", fail);
      child.on("close", (exit) => {
        if (exit !== 0) console.log(output.slice(-20_000));
        done(exit ?? 1);
      });
    });
    const suites = JSON.parse(await readFile(report, "utf8")) as { SpecReports: Spec[] | null }[];
    for (const spec of suites.flatMap((suite) => suite.SpecReports ?? [])) {
      if (spec.LeafNodeType !== "It") continue;
      const name = [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText].join(" ");
      if (spec.State === "passed") counts.passed += 1;
      else if (spec.State === "skipped" || spec.State === "pending") {
        counts.skipped += 1;
        const byLayout = layout === "plain" && new RegExp(NEEDS_SUBVOLUME).test(name);
        if (!byLayout && !allowedSkips.some((prefix) => name.startsWith(prefix))) {
          console.log(`  skipped, but not listed in docs/conformance.md: ${name}`);
          counts.failed += 1;
        }
      } else {
        counts.failed += 1;
        console.log(`  ${spec.State}: ${name}`);
      }
    }
    if (code !== 0 && counts.failed === 0) counts.failed = 1;
    const left = [...(await mountsBelow(directory)), ...(await loopsBelow(directory))];
    if (left.length > 0) {
      console.log(`  left behind: ${left.join(", ")}`);
      counts.failed += 1;
    }
    if (counts.failed > 0) {
      for (const log of ["controller", "node-a"]) {
        console.log(
          `--- ${log}.log\n${(await readFile(join(directory, `${log}.log`), "utf8")).slice(-6_000)}`,
        );
      }
    }
  } finally {
    await stand.close();
    await cleanUp(directory);
    await rm(base, { recursive: true });
  }
  console.log(
    `csi-sanity${runtime} ${profile} ${type} ${layout}: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`,
  );
  return counts;
}

const total: Counts = { passed: 0, failed: 0, skipped: 0 };
const combinations = PROFILES.flatMap((profile) =>
  TYPES.flatMap((type) => LAYOUTS.map((layout) => [profile, type, layout] as const)),
);
/** Takes one combination after the other. */
async function runSome(): Promise<void> {
  for (let next = combinations.shift(); next !== undefined; next = combinations.shift()) {
    const { passed, failed, skipped } = await runOnce(...next);
    total.passed += passed;
    total.failed += failed;
    total.skipped += skipped;
  }
}
await Promise.all([runSome(), runSome()]);
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
