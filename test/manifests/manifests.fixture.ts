import { describe } from "bun:test";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { parseAllDocuments } from "yaml";
import { newEd25519Key } from "../../src/domain/openssh-key.ts";
import { KUSTOMIZE, noKustomize } from "./kustomize.fixture.ts";

/** A Kubernetes object as it stands in a file. */
// biome-ignore lint/suspicious/noExplicitAny: what is in it is what the tests look at
export type Manifest = any;

export const MANIFESTS = resolve(import.meta.dir, "../../manifests");
/** What can be built, by folder. */
export const BUILDS = [
  "base",
  "overlays/kubevirt",
  "overlays/monitoring",
  "overlays/kubelet-root",
  "overlays/without-node-restriction",
  "overlays/diagnose-pods",
  "overlays/snapshots",
  "overlays/dashboards",
  "examples/site",
] as const;

/** Objects of a YAML text. @throws what the parser finds, warnings too */
export function parseManifests(text: string, from: string): Manifest[] {
  return parseAllDocuments(text, { version: "1.2", uniqueKeys: true }).map((document) => {
    const problem = document.errors[0] ?? document.warnings[0];
    if (problem !== undefined) throw new Error(`${from}: ${problem.message}`);
    return document.toJS();
  });
}

/** Every YAML file below manifests/, by its path from there. */
export const files: ReadonlyMap<string, readonly Manifest[]> = new Map(
  readdirSync(MANIFESTS, { recursive: true })
    .map(String)
    // Below sites/ are the settings of whoever works here (docs/install.md); the chart has templates of Helm.
    .filter(
      (path) =>
        !/^(sites|chart)\//.test(path) && /\.ya?ml$/.test(path) && statSync(join(MANIFESTS, path)).isFile(),
    )
    .sort()
    .map((path) => [path, parseManifests(readFileSync(join(MANIFESTS, path), "utf8"), path)]),
);

/** The kustomization of a folder. */
export function kustomization(folder: string): Manifest {
  const [found] = files.get(`${folder}/kustomization.yaml`) ?? [];
  if (found === undefined) throw new Error(`${folder} has no kustomization.yaml`);
  return found;
}

/** Objects of the files that a folder's kustomization names as resources, its own files only. */
export function resourcesIn(folder: string): Manifest[] {
  const names: string[] = kustomization(folder).resources ?? [];
  return names
    .filter((name) => name.endsWith(".yaml"))
    .flatMap((name) => {
      const found = files.get(relative(MANIFESTS, resolve(MANIFESTS, folder, name)));
      if (found === undefined) throw new Error(`${folder} names ${name}, which does not exist`);
      return found;
    });
}

/**
 * The objects that kustomize makes of a folder, with a key and host key that exist only for this call.
 * @param overlay kustomization.yaml of a folder that is made for this call, beside base
 */
export function build(folder: string, overlay?: string): Manifest[] {
  if (KUSTOMIZE === undefined) throw new Error("neither kustomize nor kubectl is there");
  const copy = mkdtempSync(join(tmpdir(), "rds-csi-kustomize-"));
  try {
    cpSync(MANIFESTS, copy, { recursive: true });
    writeFileSync(join(copy, "examples/site/rds-csi-key"), newEd25519Key().private);
    writeFileSync(join(copy, "examples/site/known_hosts"), "192.0.2.10 ssh-ed25519 AAAA\n");
    if (overlay !== undefined) {
      mkdirSync(join(copy, folder));
      writeFileSync(join(copy, folder, "kustomization.yaml"), overlay);
    }
    const done = Bun.spawnSync([...KUSTOMIZE, join(copy, folder)], { timeout: 20_000 });
    if (done.exitCode !== 0) throw new Error(`${KUSTOMIZE.join(" ")} ${folder}: ${done.stderr}`);
    if (done.stderr.length > 0) throw new Error(`${KUSTOMIZE.join(" ")} ${folder} warns: ${done.stderr}`);
    return parseManifests(String(done.stdout), folder);
  } finally {
    rmSync(copy, { recursive: true });
  }
}

/**
 * Runs tests on several sets: the files of the base, which need no kustomize, and each build of kustomize. The builds are
 * skipped, with the reason in their names, where neither kustomize nor kubectl is installed.
 */
export function describeSets(tests: (objects: readonly Manifest[]) => void): void {
  describe("the files of base", () => tests(resourcesIn("base")));
  for (const folder of BUILDS)
    describe.skipIf(noKustomize !== "")(`${folder}, built${noKustomize}`, () =>
      tests(noKustomize === "" ? build(folder) : resourcesIn("base")),
    );
}

/** Objects of a kind. */
export function ofKind(objects: readonly Manifest[], kind: string): Manifest[] {
  return objects.filter((object) => object.kind === kind);
}

/** The pod templates: of the controller's Deployment and the node's DaemonSet. */
export function templates(objects: readonly Manifest[]): Manifest[] {
  return objects.filter(({ kind }) => kind === "Deployment" || kind === "DaemonSet");
}

/** The only container, volume or other named thing of a list. */
export function named(list: readonly Manifest[] | undefined, name: string): Manifest {
  const found = (list ?? []).filter((each) => each.name === name);
  if (found.length !== 1) throw new Error(`${found.length} of name ${name}`);
  return found[0];
}
