import { existsSync } from "node:fs";
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { newEd25519Key } from "../../src/domain/openssh-key.ts";
import { CONTROL } from "./addresses.ts";
import { SIDECARS, sidecarImage } from "./images.ts";
import { INSIDE, type Machine } from "./machine.ts";
import { until } from "./run.ts";

const CURRENT = resolve(import.meta.dirname, "../../manifests");
const CONFIG = {
  "rds-address": CONTROL,
  "rds-user": "csi",
  "rds-key-file": "/etc/rds/key",
  "rds-host-key-file": "/etc/rds/known_hosts",
  "nvme-address": CONTROL,
  pool: "storage-pool",
  orchestrator: "kubernetes",
};

const ARGUMENT = "/spec/template/spec/containers/0/args/3";
const STATE_DIR = [
  { op: "test", path: ARGUMENT, value: "--state-dir=/var/lib/rds-csi" },
  { op: "replace", path: ARGUMENT, value: "--state-dir=/var/lib/rds-csi/$(RDS_CSI_NODE_ID)" },
];

/** A site's own settings. */
export interface SiteOptions {
  /** config.yaml, over the one here. */
  readonly config: Readonly<Record<string, string>>;
  /** Patches of the manifests, as kustomize takes them. */
  readonly patches: readonly object[];
  /** Of the manifests, those that the version has; all that a whole cluster takes, if not given. */
  readonly components?: readonly string[];
}

/** A site without NVMe: loop devices over the files of the simulated RDS. */
const LOOP: SiteOptions = {
  config: { "data-path": "loop", "loop-exports-dir": `${INSIDE.rds}/exports` },
  // One kernel names the files of all loop devices, so the nodes' directories need paths of their own.
  patches: [{ target: { kind: "DaemonSet", name: "rds-csi-node" }, patch: JSON.stringify(STATE_DIR) }],
};

/** Makes the folder of an installation, as docs/install.md has it: key, settings, kustomization. The host key is still missing. */
export async function makeSite(directory: string, options: SiteOptions = LOOP): Promise<void> {
  await mkdir(directory, { recursive: true });
  const key = newEd25519Key();
  await writeFile(join(directory, "rds-csi-key"), key.private, { mode: 0o600 });
  await writeFile(join(directory, "rds-csi-key.pub"), `${key.public}\n`);
  await writeSettings(directory, CURRENT, options);
}

/**
 * Makes the folder of an installation that has the key and the host key of another one.
 * @param from folder of the other
 * @param manifests of the driver's version, a directory
 * @param settings in addition to those of the other
 * @param patches of the manifests, in addition to those of the other
 */
export async function makeSiteFrom(
  from: string,
  directory: string,
  manifests = CURRENT,
  settings: Readonly<Record<string, string>> = {},
  patches: readonly object[] = [],
): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const name of ["rds-csi-key", "known_hosts"]) await copyFile(join(from, name), join(directory, name));
  await writeSettings(directory, manifests, {
    config: { ...LOOP.config, ...settings },
    patches: [...LOOP.patches, ...patches],
  });
}

async function writeSettings(
  directory: string,
  manifests: string,
  { config, patches, components = ["kubevirt", "monitoring", "snapshots"] }: SiteOptions,
): Promise<void> {
  const lines = Object.entries({ ...CONFIG, ...config }).map(([name, value]) => `${name}: ${value}\n`);
  await writeFile(join(directory, "config.yaml"), lines.join(""));
  const images = SIDECARS.map((name) => {
    const { name: newName, tag: newTag } = sidecarImage(name);
    return { name: `registry.k8s.io/sig-storage/${name}`, newName, newTag };
  });
  const kustomization = {
    apiVersion: "kustomize.config.k8s.io/v1beta1",
    kind: "Kustomization",
    resources: [relative(directory, join(manifests, "base"))],
    // An earlier version has fewer.
    components: components
      .map((name) => join(manifests, "components", name))
      .filter((component) => existsSync(component))
      .map((component) => relative(directory, component)),
    images,
    patches,
    configMapGenerator: [
      { name: "rds-csi-config", namespace: "rds-csi", behavior: "replace", files: ["config.yaml"] },
    ],
    secretGenerator: [
      {
        name: "rds-csi-rds",
        namespace: "rds-csi",
        files: ["key=rds-csi-key", "known_hosts"],
        options: { disableNameSuffixHash: true },
      },
    ],
  };
  await writeFile(join(directory, "kustomization.yaml"), JSON.stringify(kustomization, undefined, 2));
}

/**
 * Starts the simulated RDS in the control machine and pins its host key in the site.
 * @param site directory of the site
 */
export async function startRds(control: Machine, site: string, args: readonly string[] = []): Promise<void> {
  const at = (name: string) => `${INSIDE.machine}/${name}`;
  const here = (name: string) => join(control.directory, name);
  await writeFile(here("rds-user.pub"), await readFile(join(site, "rds-csi-key.pub")));
  // Left behind by one that was killed.
  await rm(here("rds-ready"), { force: true });
  await control.daemon("rds", [
    `${INSIDE.repository}/dist/rds-csi`,
    ...["simulate", "--listen", `${CONTROL}:22`, "--dir", INSIDE.rds, "--backend", "files", "--user", "csi"],
    ...["--authorized-keys-file", at("rds-user.pub"), "--host-key-file", at("rds-host-key")],
    ...["--ready-file", at("rds-ready"), "--control-socket", at("rds.sock")],
    ...["--command-log", at("rds-commands.jsonl"), "--pool", "storage-pool:btrfs:200GiB", ...args],
  ]);
  const ready = () => readFile(here("rds-ready"), "utf8").catch(() => undefined);
  await until("the simulated RDS", async () => (await ready()) !== undefined, { timeoutMs: 20_000 });
  await writeFile(join(site, "known_hosts"), await readFile(here("rds-host-key")));
}
