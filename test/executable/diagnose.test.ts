import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { problemsOf } from "../support/diagnosis-schema.ts";
import { executable, noDevices, shortDirectory } from "../support/executable.ts";
import { capture } from "../support/processes.ts";
import { GIB, MIB, mount } from "../support/rpc.ts";
import { type Stand, startStand } from "../support/stand.ts";

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
    ...["--state-dir", join(stand.directory, "node-a.state")],
    ...["--endpoint", `unix://${stand.nodeSocket("node-a")}`, "--node-id", "node-a", ...more],
  );

interface Report {
  readonly worst: string | null;
  readonly findings: readonly { readonly id: string; readonly severity: string }[];
  readonly volumes: readonly {
    readonly handle: string;
    readonly brokenAt: string | null;
    readonly links: readonly { readonly link: string; readonly state: string }[];
  }[];
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

test("with the configuration file of controller and nodes, whose key only the controller has: not asked, nothing wrong", async () => {
  const file = join(base, "config.yaml");
  const address = stand.rdsFlags[stand.rdsFlags.indexOf("--rds-address") + 1];
  const lines = [`rds-address: ${address}`, "rds-key-file: /nonexistent/key", "nvme-address: 127.0.0.1"];
  await writeFile(file, `${lines.join("\n")}\n`);
  const { stdout } = await run("--config", file, "-o", "json");
  const report = JSON.parse(stdout);
  expect(report.checks.find(({ id }: { id: string }) => id === "rds")).toMatchObject({
    state: "not-asked",
    detail: "/nonexistent/key, the key of the RDS's user, is not here",
  });
  expect(report.findings.map(({ id }: { id: string }) => id)).not.toContain("rds-key-unusable");
  // Where the nodes' NVMe/TCP should answer is known from that file too.
  const known = { address: "127.0.0.1", port: 4420, sources: ["nvme-address"] };
  expect(report.facts.storage.value).toEqual([expect.objectContaining(known)]);
});

test("without the RDS's options it is not asked; --bundle writes a new file and no key", async () => {
  const bundle = join(base, "bundle.json");
  const { stdout } = await run("--bundle", bundle);
  expect(stdout).toContain("not asked: no --rds-address");
  const text = await readFile(bundle, "utf8");
  expect(JSON.parse(text)).toMatchObject({ kind: "DiagnosisBundle", config: { nodeId: "node-a" } });
  const again = await run("--bundle", bundle);
  expect([again.code, again.stdout]).toEqual([2, ""]);
  expect(again.stderr).toContain(`--bundle names ${bundle}, which exists`);
  const nowhere = join(base, "none", "bundle.json");
  const refused = await run("--bundle", nowhere);
  expect([refused.code, refused.stdout]).toEqual([2, ""]);
  expect(refused.stderr).toContain(`--bundle names ${nowhere}, whose directory does not exist`);
});

test("a volume that the node does not know is said", async () => {
  const { stderr } = await run("--volume", "csi-nothing");
  expect(stderr).toContain("this node knows no volume csi-nothing");
});

test.skipIf(noDevices !== "")(
  `a mounted volume, and its record cleared behind its back ${noDevices}`,
  async () => {
    const { volume } = await stand.controller.createVolume({
      name: "mounted",
      capacityRange: { requiredBytes: 64n * MIB, limitBytes: GIB },
      volumeCapabilities: [mount()],
    });
    const volumeId = volume?.volumeId ?? "";
    const [stagingTargetPath, targetPath] = [join(base, "staging"), join(base, "target")];
    await mkdir(stagingTargetPath);
    const { publishContext } = await stand.controller.controllerPublishVolume({
      volumeId,
      nodeId: "node-a",
      volumeCapability: mount(),
    });
    const staged = { volumeId, publishContext, stagingTargetPath, volumeCapability: mount() };
    const node = stand.node("node-a");
    await node.nodeStageVolume(staged);
    await node.nodePublishVolume({ ...staged, targetPath });
    const look = async () => {
      const { stdout } = await run(...stand.rdsFlags, "-o", "json", "--volume", volumeId);
      const { volumes, findings } = JSON.parse(stdout) as Report;
      return { volumes, ids: findings.map(({ id }) => id).filter((id) => id.startsWith("volume-")) };
    };
    try {
      const well = await look();
      expect(well.volumes.map(({ handle, brokenAt }) => [handle, brokenAt])).toEqual([[volumeId, null]]);
      expect(well.ids).toEqual([]);
      await stand.controller.controllerUnpublishVolume({ volumeId, nodeId: "node-a" });
      const broken = await look();
      expect([broken.volumes[0]?.brokenAt, broken.ids]).toEqual(["record", ["volume-not-attached"]]);
    } finally {
      await node.nodeUnpublishVolume({ volumeId, targetPath });
      await node.nodeUnstageVolume({ volumeId, stagingTargetPath });
      await stand.controller.deleteVolume({ volumeId });
    }
  },
);
