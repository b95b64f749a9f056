import { describe, expect, test } from "bun:test";
import { noKustomize } from "./kustomize.fixture.ts";
import { BUILDS, build, files, type Manifest, ofKind, resourcesIn } from "./manifests.fixture.ts";
import { nameOf, problemsOf, schemaOf } from "./schema.fixture.ts";

/** Parts of objects, which only make sense in a build, and kustomize's own files. */
const PARTIAL = new Set([
  "components/monitoring/node-metrics.yaml",
  "components/snapshots/snapshotter.yaml",
  "components/kubelet-root/kubelet-root.yaml",
  "components/without-node-restriction/policy.yaml",
  "components/without-node-restriction/binding.yaml",
  "examples/site/network-policy.yaml",
]);
const CONFIGURATIONS = new Set(["base/config.yaml", "examples/site/config.yaml"]);
/** Kinds that no package has the schema of: other tests check their examples field by field. */
const WITHOUT_SCHEMA = ["StorageProfile", "VolumeSnapshot", "VolumeSnapshotClass", "VolumeSnapshotContent"];

const whole = [...files].filter(
  ([path]) => !PARTIAL.has(path) && !CONFIGURATIONS.has(path) && !path.endsWith("kustomization.yaml"),
);
const objects = whole.flatMap(([, documents]) => documents);
const validated = objects.filter((object) => schemaOf(object) !== undefined);
const LIMIT_MS = 120_000;

describe("every file", () => {
  test("holds objects with a kind and a name, each of another identity", () => {
    for (const [path, documents] of whole) {
      expect([path, documents.length > 0]).toEqual([path, true]);
      for (const { apiVersion, kind, metadata } of documents)
        expect([
          path,
          typeof apiVersion,
          typeof kind,
          typeof (metadata?.name ?? metadata?.generateName),
        ]).toEqual([path, "string", "string", "string"]);
    }
    const names = ["base", "kubevirt", "monitoring", "snapshots", "diagnose-pods"]
      .map((name) => (name === "base" ? name : `components/${name}`))
      .flatMap(resourcesIn)
      .map(nameOf);
    expect(new Set(names).size).toBe(names.length);
  });

  test("is used: by a kustomization, or as an example", () => {
    const used = new Set<string>();
    for (const [path, [found]] of files) {
      const folder = path.replace(/[^/]+$/, "");
      if (!path.endsWith("kustomization.yaml")) continue;
      used.add(path);
      for (const name of found.resources ?? []) used.add(folder + name);
      for (const patch of found.patches ?? []) used.add(folder + patch.path);
      for (const generator of found.configMapGenerator ?? [])
        for (const name of generator.files ?? []) used.add(folder + name);
    }
    const unused = [...files.keys()].filter((path) => !used.has(path) && !path.startsWith("examples/"));
    expect(unused).toEqual([]);
  });

  test(
    `is valid by the API's schemas, without unknown fields; only ${WITHOUT_SCHEMA.join(", ")} are not checked`,
    async () => {
      expect(await problemsOf(validated)).toEqual([]);
      const unchecked = objects.filter((object) => schemaOf(object) === undefined).map(({ kind }) => kind);
      expect([...new Set(unchecked)].sort()).toEqual(WITHOUT_SCHEMA);
    },
    LIMIT_MS,
  );
});

describe("the validation finds", () => {
  const broken = (kind: string, breakIt: (object: Manifest) => void): Manifest => {
    const [object] = ofKind(validated, kind);
    const copy = structuredClone(object);
    breakIt(copy);
    return copy;
  };
  const container = (object: Manifest) => object.spec.template.spec.containers[0];
  const cases: readonly [string, Manifest, RegExp][] = [
    ["an unknown field", broken("Deployment", (o) => Object.assign(container(o), { nope: 1 })), /nope/],
    [
      "an unknown field of a securityContext",
      broken("DaemonSet", (o) => Object.assign(container(o).securityContext, { privilged: true })),
      /privilged/,
    ],
    [
      "a wrong type",
      broken("Deployment", (o) => Object.assign(o.spec, { replicas: "2" })),
      /replicas|string/,
    ],
    ["a missing field", broken("Deployment", (o) => void delete o.spec.selector), /selector/],
    [
      "a value that is not allowed",
      broken("Deployment", (o) => Object.assign(container(o), { imagePullPolicy: "Sometimes" })),
      /Sometimes/,
    ],
    [
      "an unknown field of a CRD",
      broken("PodMonitor", (o) => Object.assign(o.spec, { selectr: {} })),
      /selectr/,
    ],
    [
      "an unknown field of KubeVirt",
      broken("VirtualMachine", (o) => Object.assign(o.spec.template.spec.domain, { memry: {} })),
      /memry/,
    ],
    [
      "a wrong API version",
      { apiVersion: "apps/v1", kind: "Deploymnt", metadata: { name: "x" } },
      /Deploymnt/,
    ],
  ];
  test(
    cases.map(([what]) => what).join(", "),
    async () => {
      const whatIsSaid = await problemsOf(cases.map(([, object]) => object));
      for (const [what, , words] of cases)
        expect([what, whatIsSaid.some((line) => words.test(line))]).toEqual([what, true]);
    },
    LIMIT_MS,
  );
});

describe("what kustomize builds", () => {
  for (const folder of BUILDS)
    test.skipIf(noKustomize !== "")(
      `${folder} is valid, in one namespace${noKustomize}`,
      async () => {
        const built = build(folder);
        const checked = built.filter(({ kind }) => !WITHOUT_SCHEMA.includes(kind));
        expect(await problemsOf(checked)).toEqual([]);
        for (const { kind, metadata } of built) {
          const clusterWide =
            /^(Namespace|CSIDriver|StorageClass|VolumeSnapshotClass|ClusterRole(Binding)?|ValidatingAdmissionPolicy(Binding)?)$/.test(
              kind,
            );
          expect([kind, metadata.name, metadata.namespace]).toEqual([
            kind,
            metadata.name,
            clusterWide ? undefined : "rds-csi",
          ]);
          expect(metadata.labels?.["app.kubernetes.io/part-of"] ?? "rds-csi").toBe("rds-csi");
        }
      },
      LIMIT_MS,
    );

  test.skipIf(noKustomize !== "")(
    `another namespace is taken over everywhere, in bindings too${noKustomize}`,
    () => {
      const components = ["kubevirt", "monitoring", "snapshots", "kubelet-root", "diagnose-pods"].map(
        (name) => `../components/${name}`,
      );
      const overlay = { namespace: "storage", resources: ["../base"], components };
      const built = build("elsewhere", JSON.stringify(overlay));
      const text = JSON.stringify(built);
      expect(text).not.toContain('"namespace":"rds-csi"');
      expect(ofKind(built, "Namespace").map(({ metadata }) => metadata.name)).toEqual(["storage"]);
      for (const { subjects } of [...ofKind(built, "RoleBinding"), ...ofKind(built, "ClusterRoleBinding")])
        expect(subjects[0].namespace).toBe("storage");
    },
  );

  test.skipIf(noKustomize !== "")(
    `the images transformer reaches every container of the driver${noKustomize}`,
    () => {
      const text = JSON.stringify(build("examples/site"));
      expect(text.match(/"image":"images\.example\.org\/storage\/rds-csi:0\.2\.0-dev"/g)).toHaveLength(2);
      expect(text).not.toContain('"image":"rds-csi:');
    },
  );
});
