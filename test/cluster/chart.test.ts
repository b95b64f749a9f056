import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFile, cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { stringify } from "yaml";
import { blocksOf, readPage } from "../docs/page.fixture.ts";
import { ROOT } from "../docs/pages.fixture.ts";
import { noPrometheus, startPrometheus, type TestPrometheus } from "../support/prometheus.ts";
import { CONTROL } from "./addresses.ts";
import type { Thing } from "./api.ts";
import { authorityOf, NODES } from "./cluster.ts";
import { SIDECARS, sidecarImage } from "./images.ts";
import { INSIDE } from "./machine.ts";
import { attempt, run, until } from "./run.ts";
import { startRds } from "./site.ts";
import { PlayedMachine } from "./virt-controller.ts";
import { api, attachedNodes, awaitNodes, cluster, Scope } from "./world.ts";

// What a person does with docs/helm.md, from the installation to the end, in order.

const [A, B] = NODES;
const HELM = Bun.which("helm");
const why = HELM === null ? " (needs helm)" : noPrometheus;
const SITE = join(cluster.place.state, "site");
const ALERT = "RdsCsiRdsKeyRefused";
/** Names of the sidecars in the chart's values. */
const VALUES: Readonly<Record<string, string>> = {
  "csi-provisioner": "provisioner",
  "csi-attacher": "attacher",
  "csi-resizer": "resizer",
  "csi-snapshotter": "snapshotter",
  livenessprobe: "livenessProbe",
  "csi-node-driver-registrar": "nodeDriverRegistrar",
};
const block = { block: true, mode: "ReadWriteMany", storageClass: "rds-vm" } as const;

describe.skipIf(why !== "")(`the chart, from its installation to its end${why}`, () => {
  const scope = new Scope("chart");
  let folder = "";
  let prometheus: TestPrometheus | undefined;
  let machine: PlayedMachine;
  let sum = "";

  /** A block of commands of docs/helm.md by its first word, or of a runbook; the folder is the reader's, with a chart of this cluster. */
  const shell = (text: string) =>
    run("bash", ["-ec", text.replaceAll("manifests/chart", join(folder, "chart"))], {
      timeoutMs: 300_000,
      env: {
        KUBECONFIG: cluster.kubeconfig,
        HOME: folder,
        PWD: folder,
        PATH: `${cluster.place.programs}/bin:${process.env.PATH}`,
      },
    });
  const inFolder = (text: string) => shell(`cd ${folder}; ${text}`);
  async function commands(page: string, word: string): Promise<string> {
    const found = blocksOf(await readPage(page)).filter(
      ({ language, text }) => language === "sh" && text.includes(word),
    );
    expect([word, found.length]).toEqual([word, 1]);
    return found[0]?.text ?? "";
  }

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

  beforeAll(async () => {
    if (why !== "") return;
    folder = await mkdtemp(join(tmpdir(), "rds-csi-chart-"));
    await cp(join(ROOT, "manifests/chart"), join(folder, "chart"), { recursive: true });
    // One kernel names the files of all loop devices, so the nodes' directories need paths of their own (site.ts).
    const node = join(folder, "chart/templates/node.yaml");
    const text = await readFile(node, "utf8");
    const own = text.replace(
      "--state-dir=/var/lib/rds-csi\n",
      "--state-dir=/var/lib/rds-csi/$(RDS_CSI_NODE_ID)\n",
    );
    expect(own).not.toBe(text);
    await writeFile(node, own);
    for (const name of ["rds-csi-key", "known_hosts"]) await copyFile(join(SITE, name), join(folder, name));
    await writeValues();
    await cluster.kubectl(["delete", "-k", SITE], { timeoutMs: 180_000 });
  }, 300_000);

  afterAll(async () => {
    if (why !== "") return;
    await prometheus?.stop();
    await rm(folder, { recursive: true });
    await shellQuietly();
    // As the cluster was made.
    await cluster.applySite();
    await cluster.awaitDriver();
  }, 300_000);

  /** What a test that failed may have left. */
  async function shellQuietly(): Promise<void> {
    const env = { KUBECONFIG: cluster.kubeconfig, HOME: tmpdir() };
    await attempt(HELM ?? "helm", ["uninstall", "rds-csi", "-n", "rds-csi", "--wait"], {
      env,
      timeoutMs: 120_000,
    });
  }

  test("docs/helm.md installs it, and helm says what comes next", async () => {
    const said = await inFolder(await commands("helm.md", "helm install"));
    expect(said).toContain("kubectl -n rds-csi rollout status deployment/rds-csi-controller");
    await cluster.awaitDriver();
    const next = [...said.matchAll(/^ {2}(kubectl -n rds-csi (?:rollout|exec deployment).*)$/gm)];
    expect(next).toHaveLength(3);
    for (const [, line = ""] of next) await shell(line);
  });

  test("the first claim", async () => {
    await scope.claim("first");
    await scope.pod("first-1", { claims: ["first"], node: A });
    await scope.ready("first-1");
    await scope.shell("first-1", "dd if=/dev/urandom of=/data/f bs=64k count=16 2>/dev/null; sync");
    sum = await scope.shell("first-1", "sha256sum /data/f");
  });

  test("the first live migration, with the class of the chart", async () => {
    await scope.claim("machine", block);
    machine = new PlayedMachine(scope, "machine", ["machine"]);
    await machine.start(A);
    await machine.running();
    const { metadata } = await scope.bound("machine");
    const migration = await machine.migrate(B);
    await migration.ready();
    await awaitNodes(metadata.name, A, B);
    await migration.succeed();
    await awaitNodes(metadata.name, B);
    await scope.event("PersistentVolumeClaim", "machine", "MigrationCompleted", /the volume is on node-2/);
  });

  test("an alert of the chart fires, and its runbook leads to its end", async () => {
    const { spec } = await api.get("PrometheusRule", "rds-csi", "rds-csi");
    // As they are, but that the alert in question does not wait five minutes.
    const groups = (spec.groups as Thing[]).map((group) => ({
      ...group,
      rules: group.rules.map((rule: Thing) => (rule.alert === ALERT ? { ...rule, for: "1s" } : rule)),
    }));
    prometheus = await startPrometheus(folder, await jobs(), groups);
    const firing = async () =>
      (await prometheus?.query(`ALERTS{alertstate="firing",alertname=~"${ALERT}.*"}`)) ?? [];
    await until("the first scrape", async () => (await prometheus?.query("rds_csi_volumes"))?.length !== 0);
    expect(await firing()).toEqual([]);

    // The RDS is replaced by another one with the same disks: it has another host key.
    await cluster.control.kill("rds");
    await cluster.control.run("rm", [`${INSIDE.rds}/ssh_host_ed25519_key`]);
    await startRds(cluster.control, SITE);
    await until("the alert", async () => (await firing()).length > 0, { timeoutMs: 180_000 });
    expect((await firing())[0]?.metric).toMatchObject({ cause: "host-key", severity: "critical" });
    const page = `runbooks/${ALERT}.md`;
    const seen = await shell(await commands(page, "logs deployment/rds-csi-controller"));
    expect(seen).toContain("hostKeyMismatch");
    expect(await scope.shell("first-1", "sha256sum /data/f")).toBe(sum);

    // The key at the console of the RDS, which startRds has noted in the site.
    const shown = await readFile(join(SITE, "known_hosts"), "utf8");
    await writeFile(
      join(folder, "known_hosts"),
      `${await readFile(join(folder, "known_hosts"), "utf8")}\n${shown}\n`,
    );
    const pods = async () =>
      ((await api.list("Pod", "rds-csi", "?labelSelector=app.kubernetes.io/component=controller")) as Thing[])
        .map(({ metadata }) => metadata.name)
        .sort();
    const before = await pods();
    await inFolder(await commands(page, "create secret"));
    const list = "kubectl -n rds-csi exec deployment/rds-csi-controller -c driver -- rds-csi volumes list";
    await until("an answer of the RDS", () => shell(list).then(Boolean, () => false), { timeoutMs: 240_000 });
    // No restart.
    expect(await pods()).toEqual(before);
    await scope.claim("after");
    await scope.bound("after");
    await scope.drop("after");
  });

  test("an upgrade and a rollback leave every pod running, and restart the driver", async () => {
    const started = async () =>
      ((await api.list("Pod", "rds-csi")) as Thing[]).map(({ metadata }) => metadata.name).sort();
    let before = await started();
    await writeValues({ "log-level": "debug" });
    await inFolder(await commands("helm.md", "helm upgrade").then((text) => text.split("\n")[0] ?? ""));
    const upgraded = await started();
    expect(upgraded.filter((name) => before.includes(name))).toEqual([]);
    before = upgraded;
    await inFolder(await commands("helm.md", "helm rollback").then((text) => text.split("\n")[1] ?? ""));
    expect((await started()).filter((name) => before.includes(name))).toEqual([]);
    await cluster.awaitDriver();
    expect(await scope.shell("first-1", "sha256sum /data/f")).toBe(sum);
    const { status } = await api.get("Pod", "first-1", scope.namespace);
    expect(status.containerStatuses[0].restartCount).toBe(0);
    expect(await attachedNodes((await scope.bound("machine")).metadata.name)).toEqual([B]);
  });

  test("docs/helm.md takes it out again, and nothing of it is left", async () => {
    await machine.stop();
    await scope.remove("first-1");
    // Its class keeps volumes.
    const { metadata } = await scope.bound("machine");
    await api.patch("PersistentVolume", metadata.name, undefined, {
      spec: { persistentVolumeReclaimPolicy: "Delete" },
    });
    for (const claim of ["first", "machine"]) await scope.drop(claim);
    const env = { KUBECONFIG: cluster.kubeconfig, HOME: folder };
    const manifest = await run(HELM ?? "helm", ["get", "manifest", "rds-csi", "-n", "rds-csi"], { env });
    expect(await inFolder(await commands("helm.md", "helm uninstall"))).toContain("uninstalled");
    const kubectl = `${cluster.place.programs}/bin/kubectl`;
    const ask = ["get", "-f", "-", "-o", "name", "--ignore-not-found"];
    const left = await attempt(kubectl, ask, { input: manifest, env });
    expect([left.stdout, left.stderr.replace(/.*namespaces "rds-csi" not found\n?/g, "")]).toEqual(["", ""]);
    expect(await api.find("Namespace", "rds-csi")).toBeUndefined();
  });

  /** Scrapes the driver's pods as an administrator, through the API server. */
  async function jobs(): Promise<readonly object[]> {
    const { clusters, users } = JSON.parse(await readFile(cluster.kubeconfig, "utf8"));
    const pods: Thing[] = await api.list("Pod", "rds-csi");
    const { host, protocol } = new URL(clusters[0].cluster.server);
    return pods.map(({ metadata, spec }) => {
      const driver = spec.containers.find(({ name }: Thing) => name === "driver");
      const port = driver.ports.find(({ name }: Thing) => name === "metrics").containerPort;
      return {
        job_name: metadata.name,
        scheme: protocol.replace(":", ""),
        metrics_path: `/api/v1/namespaces/rds-csi/pods/http:${metadata.name}:${port}/proxy/metrics`,
        authorization: { credentials: users[0].user.token },
        tls_config: { ca_file: authorityOf(cluster.place) },
        static_configs: [{ targets: [host] }],
      };
    });
  }
});
