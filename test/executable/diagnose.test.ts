import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { problemsOf } from "../../src/diagnose/schema.fixture.ts";
import { executable, shortDirectory } from "../support/executable.ts";
import { capture, type Stand, startStand } from "../support/stand.ts";

const schema = JSON.parse(
  await readFile(new URL("../../docs/diagnosis.schema.json", import.meta.url), "utf8"),
);

let base = "";
let stand: Stand;
beforeAll(async () => {
  base = await shortDirectory();
  stand = await startStand({ executable, directory: join(base, "s"), nodes: ["node-a"] });
});
afterAll(async () => {
  await stand?.close();
  await rm(base, { recursive: true });
});

const run = (...more: readonly string[]) =>
  stand.cli(
    "diagnose",
    ...["--data-path", "loop", "--loop-exports-dir", join(stand.directory, "rds/exports")],
    ...["--endpoint", `unix://${stand.nodeSocket("node-a")}`, "--node-id", "node-a", ...more],
  );

interface Report {
  readonly worst: string | null;
  readonly findings: readonly { readonly id: string; readonly severity: string }[];
  readonly checks: readonly { readonly id: string; readonly state: string; readonly detail: string }[];
}

test("JSON is as the published schema says; the exit code is that of the worst finding", async () => {
  const { code, stdout, stderr } = await run(...stand.rdsFlags, "-o", "json");
  expect(stderr).toBe("");
  const report = JSON.parse(stdout) as Report;
  expect(problemsOf(schema, report)).toEqual([]);
  const codes: Record<string, number> = { critical: 4, error: 4, warning: 3, info: 0, null: 0 };
  expect(code).toBe(codes[String(report.worst)] ?? -1);
  const state = Object.fromEntries(report.checks.map((check) => [check.id, check.state]));
  expect(state).toMatchObject({
    rds: "answered",
    plugin: "answered",
    cluster: "not-asked",
    users: "answered",
  });
  expect(report.findings.map(({ id }) => id)).not.toContain("nvme-tcp-module-missing");
});

test("a plugin that does not run, and a key that cannot be used: exit code 4", async () => {
  const { code, stdout } = await capture(executable, [
    ...["diagnose", "--endpoint", join(base, "nobody.sock"), "--node-id", "node-a", "--data-path", "loop"],
    ...["--loop-exports-dir", base, ...stand.rdsFlags.slice(0, 2), "--rds-key-file", "/nonexistent"],
    ...stand.rdsFlags.slice(4),
  ]);
  expect(code).toBe(4);
  expect(stdout).toContain("plugin-socket-missing");
  expect(stdout).toContain("rds-key-unusable");
});

test("without the RDS's options it is not asked; --bundle writes a new file and no key", async () => {
  const bundle = join(base, "bundle.json");
  const { stdout } = await run("--bundle", bundle);
  expect(stdout).toContain("not asked: no --rds-address");
  const text = await readFile(bundle, "utf8");
  expect(JSON.parse(text)).toMatchObject({ kind: "DiagnosisBundle", config: { nodeId: "node-a" } });
  const again = await run("--bundle", bundle);
  expect([again.code, again.stderr]).toEqual([1, expect.stringContaining("EEXIST")]);
});

test("a volume that the node does not know is said", async () => {
  const { stderr } = await run("--volume", "csi-nothing");
  expect(stderr).toContain("this node knows no volume csi-nothing");
});
