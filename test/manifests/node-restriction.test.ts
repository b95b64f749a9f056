import { expect, test } from "bun:test";
import { evaluate } from "@marcbachmann/cel-js";
import { startupTaintKey } from "../../src/node/startup-taint.ts";
import { noKustomize } from "./kustomize.fixture.ts";
import { build, type Manifest, ofKind, resourcesIn } from "./manifests.fixture.ts";
import { NAMESPACE } from "./rbac.fixture.ts";

const [policy] = ofKind(resourcesIn("base"), "ValidatingAdmissionPolicy");
const [binding] = ofKind(resourcesIn("base"), "ValidatingAdmissionPolicyBinding");
const [account] = ofKind(resourcesIn("base"), "ServiceAccount").filter(({ metadata }) =>
  metadata.name.endsWith("node"),
);

const NODE_NAME = "authentication.kubernetes.io/node-name";
const startup = { key: startupTaintKey("rds.csi.srvlab.io"), effect: "NoExecute" };
const other = { key: "example.org/gpu", effect: "NoSchedule" };
const nodeOf = (taints: object[] | undefined, over: Manifest = {}) => ({
  metadata: { name: "node-a", labels: { zone: "1" }, annotations: { a: "b" }, ...over.metadata },
  spec: { ...(taints === undefined ? {} : { taints }), ...over.spec },
});

/** What the API server answers an update; "not asked" when the policy is not about it. */
function answer(object: object, oldObject: object, user: Manifest = {}): string {
  const userInfo = {
    username: `system:serviceaccount:${NAMESPACE}:${account.metadata.name}`,
    extra: { [NODE_NAME]: ["node-a"] },
    ...user,
  };
  const context = { object, oldObject, request: { userInfo } };
  const holds = ({ expression }: Manifest) => {
    const value = evaluate(expression, context);
    if (typeof value !== "boolean") throw new Error(`${expression} is ${value}`);
    return value;
  };
  if (!policy.spec.matchConditions.every(holds)) return "not asked";
  return policy.spec.validations.find((each: Manifest) => !holds(each))?.message ?? "allowed";
}

test("the admission policy is bound, fails closed, and is about updates of Nodes", () => {
  expect(binding.spec).toEqual({ policyName: policy.metadata.name, validationActions: ["Deny"] });
  expect(policy.spec.failurePolicy).toBe("Fail");
  const [rule, ...more] = policy.spec.matchConstraints.resourceRules;
  expect(more).toEqual([]);
  expect(rule).toEqual({
    apiGroups: [""],
    apiVersions: ["v1"],
    operations: ["UPDATE"],
    resources: ["nodes"],
  });
});

const own = "rds-csi changes the Node of its own pod only";
const only = "rds-csi removes its start-up taint, and leaves all other taints";
const alone = "rds-csi changes nothing of a Node but its taints";

test("lets a node remove the start-up taint from its own Node, and nothing else", () => {
  const tainted = nodeOf([startup, other]);
  expect(answer(nodeOf([other]), tainted)).toBe("allowed");
  expect(answer(nodeOf(undefined), nodeOf([startup]))).toBe("allowed");
  expect(answer(nodeOf(undefined), nodeOf(undefined))).toBe("allowed");
  // Of two effects one may go before the other; who removes a taint leaves the order of the others.
  const both = [startup, other, { ...startup, effect: "NoSchedule" }];
  expect(answer(nodeOf(both.slice(1)), nodeOf(both))).toBe("allowed");
  // What the API server itself writes at each change.
  const versions = { resourceVersion: "8", generation: 3, managedFields: [{ manager: "rds-csi" }] };
  expect(answer(nodeOf([other], { metadata: versions }), tainted)).toBe("allowed");

  const elsewhere = { metadata: { name: "node-b" } };
  expect(answer(nodeOf([other], elsewhere), nodeOf([startup, other], elsewhere))).toBe(own);
  expect(answer(nodeOf([other]), tainted, { extra: {} })).toBe(own);
  expect(answer(nodeOf([other]), tainted, { extra: { [NODE_NAME]: [] } })).toBe(own);
  expect(answer(nodeOf([other]), tainted, { extra: { [NODE_NAME]: ["node-a", "node-b"] } })).toBe(own);
});

test.each([
  ["removed", [startup]],
  ["removed, all of them", undefined],
  ["removed beside the start-up taint", []],
  ["added", [startup, other, { key: "x", effect: "NoExecute" }]],
  ["given another effect", [{ ...other, effect: "NoExecute" }]],
  ["given another value", [{ ...other, value: "no" }]],
  ["given another time", [{ ...other, timeAdded: "2027-01-01T00:00:00Z" }]],
])("no other taint is %s", (_, taints) => {
  expect(answer(nodeOf(taints), nodeOf([startup, other]))).toBe(only);
});

test("the start-up taint is not added, and not changed", () => {
  expect(answer(nodeOf([startup]), nodeOf(undefined))).toBe(only);
  expect(answer(nodeOf([{ ...startup, effect: "NoSchedule" }]), nodeOf([startup]))).toBe(only);
});

/** A field of a Node, what it is before, and what a node that was taken over would like it to be. */
const FIELDS: readonly [string, unknown, unknown][] = [
  ["metadata.labels", { zone: "1" }, { zone: "2" }],
  ["metadata.annotations", { a: "b" }, { a: "b", c: "d" }],
  ["metadata.finalizers", ["example.org/keep"], []],
  ["metadata.ownerReferences", [], [{ apiVersion: "v1", kind: "ConfigMap", name: "x", uid: "y" }]],
  ["metadata.generateName", "", "node-"],
  ["spec.unschedulable", false, true],
  ["spec.providerID", "", "aws:///x/i-0"],
  ["spec.podCIDR", "198.51.100.0/24", "0.0.0.0/0"],
  ["spec.podCIDRs", ["198.51.100.0/24"], ["0.0.0.0/0"]],
  ["spec.configSource", {}, { configMap: { namespace: "x", name: "y", kubeletConfigKey: "z" } }],
  ["spec.externalID", "", "x"],
  ["metadata.ofTheFuture", "a", "b"],
  ["spec.ofTheFuture", "a", "b"],
];

test.each(FIELDS)("%s is not changed, added or removed, with the start-up taint or without", (path, a, b) => {
  const [part = "", field = ""] = path.split(".");
  const having = (taints: object[], value?: unknown) => {
    const node: Manifest = nodeOf(taints);
    delete node[part][field];
    if (value !== undefined) node[part][field] = value;
    return node;
  };
  for (const [before, after] of [
    [a, b],
    [b, a],
    [undefined, b],
    [b, undefined],
  ])
    for (const taints of [[other], [startup, other]])
      expect([path, before, after, answer(having(taints, after), having([startup, other], before))]).toEqual([
        path,
        before,
        after,
        alone,
      ]);
  expect(answer(having([other], a), having([startup, other], a))).toBe("allowed");
});

test("refuses as forbidden: the driver takes 422, the default, for a lost race and would try for half an hour", () => {
  for (const { reason } of policy.spec.validations) expect(reason).toBe("Forbidden");
});

test("is not about anybody else, and about the driver in any namespace", () => {
  const changed = nodeOf([], { metadata: { name: "node-b" } });
  const old = nodeOf([startup], { metadata: { name: "node-b" } });
  const others = [
    "system:node:node-b",
    "system:serviceaccount:kube-system:node-controller",
    "system:serviceaccount:storage:other-rds-csi-node",
    "x:rds-csi-node",
  ];
  for (const username of others) expect(answer(changed, old, { username })).toBe("not asked");
  const username = "system:serviceaccount:storage:rds-csi-node";
  expect(answer(changed, old, { username })).toStartWith("rds-csi changes");
});

/** The kinds of the policy, which are of version v1 since Kubernetes 1.30. */
const policies = (objects: readonly Manifest[]) =>
  objects.filter(({ apiVersion }) => apiVersion.startsWith("admissionregistration.k8s.io/"));

test("the base has the policy with its binding, as it has the right that the policy narrows", () => {
  const patches = ofKind(resourcesIn("base"), "ClusterRole").flatMap(({ metadata, rules }) =>
    rules.some((rule: Manifest) => rule.resources.includes("nodes") && rule.verbs.includes("patch"))
      ? [metadata.name]
      : [],
  );
  expect(patches).toEqual([account.metadata.name]);
  expect(policies(resourcesIn("base")).map(({ apiVersion, kind }) => `${apiVersion} ${kind}`)).toEqual([
    "admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy",
    "admissionregistration.k8s.io/v1 ValidatingAdmissionPolicyBinding",
  ]);
});

test.skipIf(noKustomize !== "")(
  `where the API has no such policy the rest of the base is the same${noKustomize}`,
  () => {
    const base = build("base");
    expect(policies(base)).toHaveLength(2);
    expect(build("overlays/without-node-restriction")).toEqual(
      base.filter((object) => !policies([object]).length),
    );
  },
);
