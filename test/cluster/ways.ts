import { copyFile, cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { stringify } from "yaml";
import { blocksOf, readPage } from "../docs/page.fixture.ts";
import { ROOT } from "../docs/pages.fixture.ts";
import { CONTROL } from "./addresses.ts";
import type { Cluster } from "./cluster.ts";
import { SIDECARS, sidecarImage } from "./images.ts";
import { INSIDE } from "./machine.ts";
import { attempt, run } from "./run.ts";

const HELM = Bun.which("helm");
/** Names of the sidecars in the chart's values. */
const VALUES: Readonly<Record<string, string>> = {
  "csi-provisioner": "provisioner",
  "csi-attacher": "attacher",
  "csi-resizer": "resizer",
  "csi-snapshotter": "snapshotter",
  livenessprobe: "livenessProbe",
  "csi-node-driver-registrar": "nodeDriverRegistrar",
};

/** How a person installs, changes and removes the driver, by the commands of a page. */
export interface Way {
  readonly name: string;
  /** Why it cannot be gone here, for a title; else empty. */
  readonly missing: string;
  /** Makes the reader's folder, with the files `known_hosts` and `rds-csi-key`. @returns its path */
  prepare(): Promise<string>;
  /** @returns the commands' output */
  install(): Promise<string>;
  /** Sets the log level to `debug`. */
  upgrade(): Promise<void>;
  rollback(): Promise<void>;
  uninstall(): Promise<void>;
  /** All objects of the installation, as YAML. */
  manifest(): Promise<string>;
  /** Removes what a test that failed has left, and the folder. Never throws. */
  clear(): Promise<void>;
}

/** Runs commands of a page as a person types them in a folder. @returns their output */
export function typed(cluster: Cluster, folder: string, text: string): Promise<string> {
  return run("bash", ["-ec", `cd ${folder}\n${text}`], {
    timeoutMs: 300_000,
    env: environment(cluster, folder),
  });
}

/** The one block of shell commands of a page that has this text. */
export async function commandsOf(page: string, text: string): Promise<string> {
  const found = blocksOf(await readPage(page)).filter(
    (block) => block.language === "sh" && block.text.includes(text),
  );
  if (found.length !== 1) throw new Error(`${found.length} blocks of ${page} have ${text}`);
  return found[0]?.text ?? "";
}

const environment = (cluster: Cluster, folder: string) => ({
  KUBECONFIG: cluster.kubeconfig,
  HOME: folder,
  PATH: `${cluster.place.programs}/bin:${process.env.PATH}`,
});

/** By docs/helm.md. @param site folder of the cluster's own installation, whose key is taken */
export function helmWay(cluster: Cluster, site: string): Way {
  let folder = "";
  const page = async (word: string, line?: number): Promise<string> => {
    const text = await commandsOf("helm.md", word);
    const chosen = line === undefined ? text : (text.split("\n")[line] ?? "");
    return await typed(cluster, folder, chosen.replaceAll("manifests/chart", "./chart"));
  };
  async function writeValues(more: Readonly<Record<string, string>> = {}): Promise<void> {
    const image = (repository: string, tag: string) => ({ repository, tag });
    const sidecars = SIDECARS.map((name) => {
      const { name: repository, tag } = sidecarImage(name);
      return [VALUES[name] ?? name, { image: image(repository, tag) }];
    });
    const values = {
      config: {
        ...{ "rds-address": CONTROL, "rds-user": "csi", "nvme-address": CONTROL, pool: "storage-pool" },
        ...{ "data-path": "loop", "loop-exports-dir": `${INSIDE.rds}/exports` },
        ...more,
      },
      image: { repository: "docker.io/library/rds-csi" },
      sidecars: Object.fromEntries(sidecars),
      networkPolicy: { rdsCidrs: [`${CONTROL}/32`] },
      ...{ kubevirt: { enabled: true }, snapshots: { enabled: true }, monitoring: { enabled: true } },
    };
    await writeFile(join(folder, "values.yaml"), stringify(values));
  }
  return {
    name: "helm",
    missing: HELM === null ? " (skipped: needs helm)" : "",
    async prepare() {
      folder = await mkdtemp(join(tmpdir(), "rds-csi-chart-"));
      await cp(join(ROOT, "manifests/chart"), join(folder, "chart"), { recursive: true });
      // One kernel names the files of all loop devices, so the nodes' directories need paths of their own (site.ts).
      const node = join(folder, "chart/templates/node.yaml");
      const text = await readFile(node, "utf8");
      const dir = "--state-dir=/var/lib/rds-csi";
      const own = text.replace(`${dir}\n`, `${dir}/$(RDS_CSI_NODE_ID)\n`);
      if (own === text) throw new Error(`the chart has no line ${dir}`);
      await writeFile(node, own);
      for (const name of ["rds-csi-key", "known_hosts"]) await copyFile(join(site, name), join(folder, name));
      await writeValues();
      return folder;
    },
    async install() {
      const said = await page("helm install");
      // What NOTES.txt names as next.
      const next = [...said.matchAll(/^ {2}(kubectl -n rds-csi (?:rollout|exec deployment).*)$/gm)];
      if (next.length !== 3) throw new Error(`helm names ${next.length} commands as next: ${said}`);
      for (const [, line = ""] of next) await typed(cluster, folder, line);
      return said;
    },
    async upgrade() {
      await writeValues({ "log-level": "debug" });
      await page("helm upgrade", 0);
    },
    rollback: async () => void (await page("helm rollback", 1)),
    uninstall: async () => void (await page("helm uninstall")),
    manifest: () => typed(cluster, folder, "helm get manifest rds-csi -n rds-csi"),
    async clear() {
      if (folder === "") return;
      const args = ["uninstall", "rds-csi", "-n", "rds-csi", "--wait"];
      await attempt(HELM ?? "helm", args, { env: environment(cluster, folder), timeoutMs: 120_000 });
      await rm(folder, { recursive: true });
    },
  };
}

/** By docs/install.md. @param site folder of the cluster's own installation, which is the reader's */
export function kustomizeWay(cluster: Cluster, site: string): Way {
  const config = join(site, "config.yaml");
  let before = "";
  const page = async (word: string): Promise<string> => {
    const text = await commandsOf("install.md", word);
    return await typed(cluster, site, text.replaceAll("manifests/sites/home", "."));
  };
  const apply = () => page("kubectl apply -k manifests/sites/home");
  return {
    name: "kustomize",
    missing: "",
    prepare: async () => {
      before = await readFile(config, "utf8");
      return site;
    },
    install: apply,
    async upgrade() {
      await writeFile(config, `${before}log-level: debug\n`);
      await apply();
    },
    async rollback() {
      await writeFile(config, before);
      await apply();
    },
    uninstall: async () => void (await page("kubectl delete -k manifests/sites/home")),
    manifest: () => cluster.manifests(),
    clear: () => writeFile(config, before),
  };
}
