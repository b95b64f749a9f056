import { describe, expect, test } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { parseProfile } from "../../src/probe/device-profile.ts";
import { blocksOf, readPage } from "../docs/page.fixture.ts";
import { KUSTOMIZE, noKustomize } from "./kustomize.fixture.ts";
import { MANIFESTS, type Manifest, named, ofKind, parseManifests, templates } from "./manifests.fixture.ts";

// The way of a device profile into the controller's pod, by the commands of docs/probe.md: kustomize and Helm.

const HELM = Bun.which("helm");
const BOX = `# Made by \`rds-csi probe\`: what one RDS answered.
format: 1
answered: 1
probedAt: 2026-11-28T08:00:00.000Z
probedBy: 0.2.0
stages:
  - read-only
switches:
  no-space-text: "failure: {{ none }} left: #1"
answers:
  line-ends:
    answer: crlf
    came: '"csi-probe\\r\\n"'
`;

/** The block of docs/probe.md that has `part` in it. */
async function block(part: string): Promise<string> {
  const found = blocksOf(await readPage("probe.md")).filter(({ text }) => text.includes(part));
  if (found.length !== 1) throw new Error(`${found.length} blocks with ${part}`);
  return found[0]?.text ?? "";
}

/** Runs lines of a shell in a folder that has a site, and box.yaml. @param after looks at the folder */
function inFolder(script: string): string {
  const folder = mkdtempSync(join(tmpdir(), "rds-csi-profile-"));
  try {
    cpSync(MANIFESTS, join(folder, "manifests"), { recursive: true });
    const site = join(folder, "manifests/sites/home");
    cpSync(join(MANIFESTS, "examples/site"), site, { recursive: true });
    writeFileSync(join(site, "rds-csi-key"), "key\n");
    writeFileSync(join(site, "known_hosts"), "192.0.2.10 ssh-ed25519 AAAA\n");
    writeFileSync(join(folder, "box.yaml"), BOX);
    const config = { "rds-address": "192.0.2.10", "nvme-address": "192.0.2.10" };
    writeFileSync(join(folder, "values.yaml"), stringify({ config }));
    const env = { PATH: `${process.env.PATH}:/usr/bin`, HOME: folder };
    const done = Bun.spawnSync(["/bin/bash", "-euc", script], { cwd: folder, env, timeout: 20_000 });
    if (done.exitCode !== 0) throw new Error(`${script}: ${done.stderr}`);
    return String(done.stdout);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The objects bring the file whole to the path that the configuration names, in every container `driver`. */
function expectProfile(objects: readonly Manifest[]): void {
  const [map] = ofKind(objects, "ConfigMap");
  const path = parse(map.data["config.yaml"])["device-profile"];
  expect(path).toBe("/etc/rds-csi/device-profile.yaml");
  expect(parseProfile(map.data["device-profile.yaml"], "f")).toEqual(parseProfile(BOX, "f"));
  for (const { spec } of templates(objects)) {
    const pod = spec.template.spec;
    const mount = named(named(pod.containers, "driver").volumeMounts, "config");
    expect(mount.mountPath).toBe("/etc/rds-csi");
    // No items, so that every key of the ConfigMap is a file.
    expect(named(pod.volumes, "config").configMap).toEqual({ name: map.metadata.name });
  }
}

describe("a device profile", () => {
  test.skipIf(noKustomize !== "")(
    `gets into the pods by the commands of the page, with kustomize${noKustomize}`,
    async () => {
      const commands = await block("cp box.yaml manifests/sites/home/");
      const building = [...(KUSTOMIZE ?? []), "manifests/sites/home"].join(" ");
      expectProfile(parseManifests(inFolder(`${commands}\n${building}`), "the site"));
    },
  );

  test.skipIf(HELM === null)(
    `gets into the pods by the command of the page, with helm${HELM === null ? " (needs helm)" : ""}`,
    async () => {
      const command = await block("helm upgrade");
      const [upgrade, template] = ["helm upgrade", "helm template"];
      expect(command).toContain("--set-file deviceProfile=box.yaml");
      const rendered = inFolder(command.replace(upgrade, template).replace(" --wait", ""));
      const objects = parseManifests(rendered, "the chart").filter((each) => each !== null);
      expectProfile(objects);
      // Another profile restarts the pods.
      const without = parseManifests(
        inFolder("helm template rds-csi manifests/chart -n rds-csi -f values.yaml"),
        "the chart",
      ).filter((each) => each !== null);
      const sums = [objects, without].map((each) =>
        templates(each).map(({ spec }) => spec.template.metadata.annotations["checksum/config"]),
      );
      expect(new Set(sums.flat()).size).toBe(2);
      expect(Object.keys(ofKind(without, "ConfigMap")[0].data)).toEqual(["config.yaml"]);
    },
  );

  test("the site's example names the file that the page copies", async () => {
    const text = readFileSync(join(MANIFESTS, "examples/site/kustomization.yaml"), "utf8");
    expect(text).toContain("      # - device-profile.yaml\n");
  });
});
