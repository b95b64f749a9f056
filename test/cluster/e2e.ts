import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import process from "node:process";
import type { Cluster } from "./cluster.ts";
import { makeE2eImages } from "./e2e-images.ts";
import { canGrowExt4 } from "./grow.ts";

const repository = resolve(import.meta.dirname, "../..");
/** What restarts nodes over SSH, which these nodes do not have; and what needs images of populators, which nobody publishes as modules. */
const SKIPPED = String.raw`\[Disruptive\]|with any volume data source`;
const WORKERS = 8;
const TESTDRIVER = join(import.meta.dirname, "testdriver.yaml");

interface Spec {
  readonly State: string;
  readonly LeafNodeType: string;
  readonly LeafNodeText: string;
  readonly ContainerHierarchyTexts: readonly string[] | null;
  /** Nanoseconds. */
  readonly RunTime: number;
  readonly Failure?: { readonly Message: string };
}

/**
 * Runs Kubernetes' External Storage suite against the driver. A spec that does not apply counts as skipped; as failed too, unless
 * docs/conformance.md has a line with the reason that the suite gives.
 * @param focus regular expression on the names of specs; without it everything but the disruptive ones
 */
export async function runE2e(cluster: Cluster, focus: string | undefined): Promise<number> {
  const { programs, state } = cluster.place;
  await cluster.load(await makeE2eImages(programs));
  // The suite does not know of a size that hosts see only after another attach.
  await cluster.rds.switches({ "online-resize": "at-once" });
  const directory = join(state, "e2e");
  await mkdir(directory, { recursive: true });
  await makeClass(cluster);
  const bin = (name: string) => join(programs, "bin", name);
  const report = join(directory, "report.json");
  const args = [
    ...[
      `--procs=${WORKERS}`,
      `--focus=External.Storage.*${focus ?? ""}`,
      "--timeout=60m",
      "--no-color",
      "-v",
    ],
    ...(focus === undefined ? [`--skip=${SKIPPED}`] : []),
    ...["--poll-progress-after=120s", `--output-dir=${directory}`, "--json-report=report.json"],
    ...[bin("e2e.test"), "--", `--kubeconfig=${cluster.kubeconfig}`, "--provider=skeleton"],
    ...[
      `--kubectl-path=${bin("kubectl")}`,
      `--storage.testdriver=${TESTDRIVER}`,
      `--report-dir=${directory}`,
    ],
    ...["--delete-namespace-on-failure=true", "--dump-logs-on-failure=false", "--disable-log-dump"],
  ];
  console.error(`cluster: the suite runs; its log is ${join(directory, "log")}`);
  const code = await new Promise<number>((done, fail) => {
    const log = createWriteStream(join(directory, "log"));
    const child = spawn(bin("ginkgo"), args, { stdio: ["ignore", "pipe", "pipe"], cwd: directory });
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    child.on("error", fail);
    child.on("close", (exit) => done(exit ?? 1));
  });
  await cluster.rds.switches({ "online-resize": "after-reexport" });
  return await tell(report, code);
}

/** Makes the storage class that the suite copies: it decides about the filesystem where the suite does not. */
async function makeClass(cluster: Cluster): Promise<void> {
  const fsType = (await canGrowExt4(cluster)) ? "ext4" : "xfs";
  await cluster.api.apply({
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: { name: "rds-e2e" },
    provisioner: "rds.csi.srvlab.io",
    parameters: { "csi.storage.k8s.io/fstype": fsType },
    reclaimPolicy: "Delete",
    volumeBindingMode: "Immediate",
    allowVolumeExpansion: true,
  });
}

/** Writes the sum. @returns the exit code */
async function tell(report: string, code: number): Promise<number> {
  const suites = JSON.parse(await readFile(report, "utf8")) as { SpecReports: Spec[] | null }[];
  const page = await readFile(join(repository, "docs/conformance.md"), "utf8");
  const reasons = page.split("\n").flatMap((line) => /^\| `([^`]+)` \|/.exec(line)?.[1] ?? []);
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const bySuite = new Map<string, { passed: number; failed: number; skipped: number; seconds: number }>();
  for (const spec of suites.flatMap((suite) => suite.SpecReports ?? [])) {
    if (spec.LeafNodeType !== "It") continue;
    const pattern = spec.ContainerHierarchyTexts?.find((text) => text.startsWith("[Testpattern")) ?? "";
    const name = `${pattern} ${spec.LeafNodeText}`;
    // Not chosen by focus and skip: ginkgo gives no reason.
    if (spec.State === "pending" || (spec.State === "skipped" && (spec.Failure?.Message ?? "") === ""))
      continue;
    const suite = /^\[[^\]]*\] (?:\[[^\]]*\] )*(\S+)/.exec(pattern)?.[1] ?? pattern;
    const sum = bySuite.get(suite) ?? { passed: 0, failed: 0, skipped: 0, seconds: 0 };
    bySuite.set(suite, sum);
    if (spec.State === "passed") {
      sum.passed += 1;
      sum.seconds += spec.RunTime / 1e9;
    } else if (spec.State === "skipped") {
      sum.skipped += 1;
      if (whole && !reasons.some((reason) => name.includes(reason))) {
        console.log(
          `  does not apply, and docs/conformance.md does not say why: ${name}: ${spec.Failure?.Message}`,
        );
        counts.failed += 1;
      }
    } else {
      sum.failed += 1;
      console.log(`  ${spec.State}: ${name}\n    ${spec.Failure?.Message.slice(0, 800)}`);
    }
  }
  for (const [suite, { passed, failed, skipped, seconds }] of [...bySuite].sort()) {
    const average = passed === 0 ? "" : `, ${(seconds / passed).toFixed(1)} s each`;
    console.log(`${suite}: ${passed} passed, ${failed} failed, ${skipped} do not apply${average}`);
    counts.passed += passed;
    counts.failed += failed;
    counts.skipped += skipped;
  }
  if (code !== 0 && counts.failed === 0) counts.failed = 1;
  console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : 0;
  return process.exitCode;
}
