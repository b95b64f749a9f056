import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "../docs/pages.fixture.ts";
import { noPrometheus, startPrometheus, type TestPrometheus } from "../support/prometheus.ts";
import type { Thing } from "./api.ts";
import { authorityOf, NODES } from "./cluster.ts";
import { INSIDE } from "./machine.ts";
import { attempt, until } from "./run.ts";
import { startRds } from "./site.ts";
import { PlayedMachine } from "./virt-controller.ts";
import { commandsOf, helmWay, kustomizeWay, typed } from "./ways.ts";
import { api, attachedNodes, awaitNodes, cluster, Scope } from "./world.ts";

// What a person does with the documents, from the installation to the end, in order.

const [A, B] = NODES;
const SITE = join(cluster.place.state, "site");
const ALERT = "RdsCsiRdsKeyRefused";
const block = { block: true, mode: "ReadWriteMany", storageClass: "rds-vm" } as const;

beforeAll(async () => void (await cluster.kubectl(["delete", "-k", SITE], { timeoutMs: 180_000 })), 300_000);
afterAll(async () => {
  // As the cluster was made.
  await cluster.applySite();
  await cluster.awaitDriver();
}, 300_000);

for (const way of [helmWay(cluster, SITE), kustomizeWay(cluster, SITE)]) {
  const missing = way.missing || noPrometheus;
  describe.skipIf(missing !== "")(`from the installation to the end, by ${way.name}${missing}`, () => {
    const scope = new Scope(`life-${way.name}`);
    let folder = "";
    let directory = "";
    let prometheus: TestPrometheus | undefined;
    let machine: PlayedMachine;
    let sum = "";

    beforeAll(async () => {
      if (missing !== "") return;
      directory = await mkdtemp(join(tmpdir(), "rds-csi-life-"));
      folder = await way.prepare();
    });

    afterAll(async () => {
      if (missing !== "") return;
      await prometheus?.stop();
      await rm(directory, { recursive: true });
      await way.clear();
    }, 300_000);

    test("its page installs it", async () => {
      await way.install();
      await cluster.awaitDriver();
    });

    test("the first claim", async () => {
      await scope.claim("first");
      await scope.pod("first-1", { claims: ["first"], node: A });
      await scope.ready("first-1");
      await scope.shell("first-1", "dd if=/dev/urandom of=/data/f bs=64k count=16 2>/dev/null; sync");
      sum = await scope.shell("first-1", "sha256sum /data/f");
    });

    test("kubectl rds looks at it, with a kubeconfig and without the key", async () => {
      await symlink(join(ROOT, "dist/rds-csi"), join(directory, "kubectl-rds"));
      const rds = (words: string) =>
        typed(cluster, directory, `PATH=${directory}:$PATH; kubectl rds ${words} || [ $? = 4 ]`);
      const claim = `${scope.namespace}/first`;
      expect(await rds("volumes list")).toMatch(new RegExp(`attached .* ${claim} +${A} `));
      expect(await rds(`volumes show ${claim}`)).toContain(
        (await scope.bound("first")).spec.csi.volumeHandle,
      );
      // These nodes are namespaces themselves (install.test.ts).
      expect(await rds(`diagnose ${A}`)).toMatch(
        /^Node node-1: [\s\S]*id +host-pid-off[\s\S]*VOLUMES\n.*life-/,
      );
    });

    test("the first live migration, with the class of the manifests", async () => {
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

    test("an alert fires, and its runbook leads to its end", async () => {
      const { spec } = await api.get("PrometheusRule", "rds-csi", "rds-csi");
      // As they are, but that the alert in question does not wait five minutes.
      const groups = (spec.groups as Thing[]).map((group) => ({
        ...group,
        rules: group.rules.map((rule: Thing) => (rule.alert === ALERT ? { ...rule, for: "1s" } : rule)),
      }));
      prometheus = await startPrometheus(directory, await jobs(), groups);
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
      const seen = await typed(cluster, folder, await commandsOf(page, "kubectl -n rds-csi logs"));
      expect(seen).toContain("hostKeyMismatch");
      expect(await scope.shell("first-1", "sha256sum /data/f")).toBe(sum);

      // The key at the console of the RDS, which startRds has noted in the site.
      const shown = await readFile(join(SITE, "known_hosts"), "utf8");
      await writeFile(
        join(folder, "known_hosts"),
        `${await readFile(join(folder, "known_hosts"), "utf8")}\n${shown}\n`,
      );
      const pods = async () =>
        (
          (await api.list(
            "Pod",
            "rds-csi",
            "?labelSelector=app.kubernetes.io/component=controller",
          )) as Thing[]
        )
          .map(({ metadata }) => metadata.name)
          .sort();
      const before = await pods();
      await typed(cluster, folder, await commandsOf(page, "create secret"));
      const list = "kubectl -n rds-csi exec deployment/rds-csi-controller -c driver -- rds-csi volumes list";
      await until("an answer of the RDS", () => typed(cluster, folder, list).then(Boolean, () => false), {
        timeoutMs: 240_000,
      });
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
      await way.upgrade();
      const upgraded = await started();
      expect(upgraded.filter((name) => before.includes(name))).toEqual([]);
      before = upgraded;
      await way.rollback();
      expect((await started()).filter((name) => before.includes(name))).toEqual([]);
      await cluster.awaitDriver();
      expect(await scope.shell("first-1", "sha256sum /data/f")).toBe(sum);
      const { status } = await api.get("Pod", "first-1", scope.namespace);
      expect(status.containerStatuses[0].restartCount).toBe(0);
      expect(await attachedNodes((await scope.bound("machine")).metadata.name)).toEqual([B]);
    });

    test("its page takes it out again, and nothing of it is left", async () => {
      await machine.stop();
      await scope.remove("first-1");
      // Its class keeps volumes.
      const { metadata } = await scope.bound("machine");
      await api.patch("PersistentVolume", metadata.name, undefined, {
        spec: { persistentVolumeReclaimPolicy: "Delete" },
      });
      for (const claim of ["first", "machine"]) await scope.drop(claim);
      const manifest = await way.manifest();
      await way.uninstall();
      const env = { KUBECONFIG: cluster.kubeconfig };
      const kubectl = `${cluster.place.programs}/bin/kubectl`;
      const ask = ["get", "-f", "-", "-o", "name", "--ignore-not-found"];
      const left = await attempt(kubectl, ask, { input: manifest, env });
      expect([left.stdout, left.stderr.replace(/.*namespaces "rds-csi" not found\n?/g, "")]).toEqual([
        "",
        "",
      ]);
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
}
