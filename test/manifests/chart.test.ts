import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { blocksOf, readPage } from "../docs/page.fixture.ts";
import { KUSTOMIZE } from "./kustomize.fixture.ts";
import { build, MANIFESTS, type Manifest, ofKind, parseManifests } from "./manifests.fixture.ts";

const HELM = Bun.which("helm");
const missing = [HELM === null ? "helm" : "", KUSTOMIZE === undefined ? "kustomize or kubectl" : ""];
const noHelm = missing.some((each) => each !== "")
  ? ` (needs ${missing.filter((each) => each !== "").join(", ")})`
  : "";

/** A program that ends well or badly. */
function helm(...args: readonly string[]): { code: number; out: string; err: string } {
  const home = mkdtempSync(join(tmpdir(), "rds-csi-helm-"));
  try {
    const env = { PATH: process.env.PATH, HOME: home };
    const { exitCode, stdout, stderr } = Bun.spawnSync([HELM ?? "helm", ...args], { timeout: 20_000, env });
    return { code: exitCode, out: String(stdout), err: String(stderr) };
  } finally {
    rmSync(home, { recursive: true });
  }
}

/** Renders the chart with values. */
function render(values: unknown, { chart = join(MANIFESTS, "chart"), namespace = "rds-csi" } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "rds-csi-chart-"));
  try {
    const file = join(folder, "values.yaml");
    writeFileSync(file, stringify(values));
    return helm("template", "rds-csi", chart, "-n", namespace, "-f", file);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function objectsOf(values: unknown, options?: Parameters<typeof render>[1]): Manifest[] {
  const { code, out, err } = render(values, options);
  if (code !== 0) throw new Error(err);
  return parseManifests(out, "the chart").filter((each) => each !== null);
}

/** Lists whose order means nothing, by the key that names their items. */
const UNORDERED: Readonly<Record<string, string>> = {
  containers: "name",
  env: "name",
  volumes: "name",
  volumeMounts: "mountPath",
};

/** An object without what the two ways do differently: order, the hash of the configuration, the text of the configuration. */
function normal(value: Manifest, key = ""): Manifest {
  if (Array.isArray(value)) {
    const by = UNORDERED[key];
    const items = value.map((each) => normal(each));
    return by === undefined ? items : items.toSorted((a, b) => (a[by] < b[by] ? -1 : 1));
  }
  if (value === null || typeof value !== "object") {
    if (key === "config.yaml") return parse(value);
    // Base64, which kustomize cuts into lines.
    if (key === "key" || key === "known_hosts") return String(value).replaceAll("\n", "");
    return key === "name" && typeof value === "string"
      ? value.replace(/^(rds-csi-config)-\w{10}$/, "$1")
      : value;
  }
  const entries = Object.entries(value)
    .filter(([name]) => name !== "checksum/config")
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([name, each]) => [name, normal(each, name)]));
}

function comparable(objects: readonly Manifest[]): Record<string, Manifest> {
  const named = objects.map((each): [string, Manifest] => [
    `${each.kind} ${each.metadata.name}`,
    normal(each),
  ]);
  const text = named.map(
    ([name, each]) => [name.replace(/^(ConfigMap rds-csi-config)-\w{10}$/, "$1"), each] as const,
  );
  expect(new Set(text.map(([name]) => name)).size).toBe(objects.length);
  return Object.fromEntries(text.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

const CONFIG = { "rds-address": "192.0.2.1", "nvme-address": "192.0.2.1" };
const BASE = { namespace: { create: true }, config: CONFIG };

interface Way {
  readonly components?: readonly string[];
  readonly values?: Record<string, unknown>;
  /** Further lines of the kustomization. */
  readonly more?: Record<string, unknown>;
  readonly namespace?: string;
}

const ON = { enabled: true };
const WAYS: Readonly<Record<string, Way>> = {
  "nothing but the driver": {},
  kubevirt: { components: ["kubevirt"], values: { kubevirt: ON } },
  snapshots: { components: ["snapshots"], values: { snapshots: ON } },
  monitoring: { components: ["monitoring"], values: { monitoring: ON } },
  dashboards: { components: ["dashboards"], values: { monitoring: { dashboards: true } } },
  "monitoring and snapshots": {
    components: ["monitoring", "snapshots"],
    values: { monitoring: ON, snapshots: ON },
  },
  "kubelet's root": {
    components: ["kubelet-root"],
    values: { node: { kubeletRoot: "/var/lib/k0s/kubelet" } },
  },
  "without node restriction": {
    components: ["without-node-restriction"],
    values: { nodeRestriction: { enabled: false } },
  },
  "pods of diagnose": { components: ["diagnose-pods"], values: { diagnosePods: ON } },
  "another namespace": { more: { namespace: "storage" }, namespace: "storage" },
  "everything, with the image by digest": {
    components: [
      "kubevirt",
      "monitoring",
      "snapshots",
      "kubelet-root",
      "without-node-restriction",
      "diagnose-pods",
      "dashboards",
    ],
    values: {
      ...{ kubevirt: ON, monitoring: { ...ON, dashboards: true }, snapshots: ON, diagnosePods: ON },
      node: { kubeletRoot: "/var/lib/k0s/kubelet" },
      nodeRestriction: { enabled: false },
      image: { repository: "images.example.org/rds-csi", digest: `sha256:${"a".repeat(64)}` },
    },
    more: {
      images: [
        { name: "rds-csi", newName: "images.example.org/rds-csi", digest: `sha256:${"a".repeat(64)}` },
      ],
    },
  },
};

describe.skipIf(noHelm !== "")(`the chart of Helm${noHelm}`, () => {
  test.each(Object.entries(WAYS))(
    "makes what kustomize makes: %s",
    (_, { components = [], more, values, namespace }) => {
      const kustomization = {
        ...{ apiVersion: "kustomize.config.k8s.io/v1beta1", kind: "Kustomization", resources: ["../base"] },
        components: components.map((each) => `../components/${each}`),
        ...more,
      };
      const wanted = comparable(build("compared", stringify(kustomization)));
      const found = comparable(
        objectsOf({ ...BASE, ...values }, namespace === undefined ? {} : { namespace }),
      );
      expect(Object.keys(found)).toEqual(Object.keys(wanted));
      expect(found).toEqual(wanted);
    },
  );

  test("makes what examples/site makes, of the values that the page shows", async () => {
    const page = blocksOf(await readPage("helm.md")).find(({ language }) => language === "yaml");
    const values = parse(page?.text ?? "");
    const wanted = build("examples/site");
    const [secret] = ofKind(wanted, "Secret");
    // Helm would take it away when the key is not given again.
    secret.metadata.annotations = { "helm.sh/resource-policy": "keep" };
    const [key, knownHosts] = [secret.data.key, secret.data.known_hosts].map((each) =>
      Buffer.from(each, "base64").toString(),
    );
    const found = comparable(
      objectsOf({
        ...{ ...values, namespace: { create: true }, rds: { key, knownHosts } },
        config: { ...values.config, "log-format": "json" },
      }),
    );
    expect(found).toEqual(comparable(wanted));
  });

  test("every switch and setting has its effect, and no other", () => {
    const changed = (values: Record<string, unknown>): string[] => {
      const [before, after] = [comparable(objectsOf(BASE)), comparable(objectsOf({ ...BASE, ...values }))];
      return [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(
        (name) => !Bun.deepEquals(before[name], after[name]),
      );
    };
    const both = ["Deployment rds-csi-controller", "DaemonSet rds-csi-node"].toSorted();
    const [controller, node] = ["Deployment rds-csi-controller", "DaemonSet rds-csi-node"];
    const toleration = [{ key: "storage", operator: "Exists" }];
    const pod = { tolerations: toleration, nodeSelector: { disk: "fast" }, priorityClassName: "high" };
    const resources = { requests: { cpu: "1" } };
    expect(changed({ controller: { ...pod, resources, replicas: 3 } })).toEqual([controller as string]);
    expect(changed({ node: { ...pod, resources, maxUnavailable: 1 } })).toEqual([node as string]);
    expect(changed({ imagePullSecrets: [{ name: "registry" }] })).toEqual(both);
    expect(changed({ image: { pullPolicy: "Always" } })).toEqual(both);
    expect(changed({ sidecars: { resizer: { image: { tag: "v9" } } } })).toEqual([controller as string]);
    expect(changed({ sidecars: { livenessProbe: { resources } } })).toEqual(both);
    expect(changed({ storageClass: { create: false } })).toEqual(["StorageClass rds"]);
    expect(changed({ storageClass: { isDefault: true } })).toEqual(["StorageClass rds"]);
    expect(changed({ networkPolicy: { enabled: false } })).toEqual(["NetworkPolicy rds-csi-controller"]);
    expect(changed({ networkPolicy: { apiPorts: [8443], rdsPort: 2222 } })).toEqual([
      "NetworkPolicy rds-csi-controller",
    ]);
    expect(changed({ rds: { secret: "other" } })).toEqual([controller as string]);
    expect(changed({ config: { ...CONFIG, pool: "fast" } })).toEqual(["ConfigMap rds-csi-config"]);

    const template = objectsOf({ ...BASE, controller: pod }).find(({ kind }) => kind === "Deployment").spec
      .template;
    expect(template.spec).toMatchObject(pod);
    const none = objectsOf({
      ...BASE,
      node: { tolerations: [], nodeSelector: { "kubernetes.io/os": null }, priorityClassName: "" },
    });
    const spec = none.find(({ kind }) => kind === "DaemonSet").spec.template.spec;
    expect([spec.tolerations, spec.nodeSelector, spec.priorityClassName]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  test("a change of the configuration changes the pods", () => {
    const sums = [CONFIG, { ...CONFIG, pool: "fast" }].map((config) =>
      objectsOf({ ...BASE, config }).flatMap(
        ({ spec }) => spec?.template?.metadata?.annotations?.["checksum/config"] ?? [],
      ),
    );
    expect(sums.map((each) => new Set(each).size)).toEqual([1, 1]);
    expect(sums[0]).not.toEqual(sums[1]);
  });

  test.each([
    ["no address", { config: { "nvme-address": "192.0.2.1" } }, "rds-address"],
    ["a key of config that no command knows", { config: { ...CONFIG, pol: "x" } }, "pol"],
    ["a key of config that the objects fix", { config: { ...CONFIG, "driver-name": "x" } }, "driver-name"],
    ["a value of another type", { ...BASE, controller: { replicas: "two" } }, "replicas"],
    ["a switch that is not there", { ...BASE, kubevrt: { enabled: true } }, "kubevrt"],
    ["a digest that is none", { ...BASE, image: { digest: "latest" } }, "digest"],
    ["a key without host keys", { ...BASE, rds: { key: "k" } }, "rds.knownHosts"],
    ["a relative root of kubelet", { ...BASE, node: { kubeletRoot: "kubelet" } }, "kubeletRoot"],
  ])("refuses %s, and names it", (_, values, name) => {
    const { code, err } = render(values);
    expect([code, err]).toEqual([1, expect.stringContaining(name)]);
  });

  test("passes helm lint, strictly", () => {
    const folder = mkdtempSync(join(tmpdir(), "rds-csi-lint-"));
    try {
      const file = join(folder, "values.yaml");
      writeFileSync(file, stringify(BASE));
      const { code, out, err } = helm("lint", "--strict", join(MANIFESTS, "chart"), "-f", file);
      expect([code, out + err]).toEqual([0, expect.stringContaining("0 chart(s) failed")]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
