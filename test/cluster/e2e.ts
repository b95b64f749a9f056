import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Cluster } from "./cluster.ts";
import { makeE2eImages } from "./e2e-images.ts";
import { tellResults } from "./e2e-results.ts";
import { canGrowExt4 } from "./grow.ts";

/** What restarts nodes over SSH, which these nodes do not have; and what needs images of populators, which nobody publishes as modules. */
const SKIPPED = String.raw`\[Disruptive\]|with any volume data source`;
const WORKERS = 8;
const TESTDRIVER = join(import.meta.dirname, "testdriver.yaml");

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
      "--timeout=30m",
      "--no-color",
      "-v",
    ],
    ...(focus === undefined ? [`--skip=${SKIPPED}`] : []),
    // A spec that fails is repeated once, and named as flaky.
    "--flake-attempts=2",
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
  return await tellResults(report, code);
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
