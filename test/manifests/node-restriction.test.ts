import { expect, test } from "bun:test";
import { evaluate } from "@marcbachmann/cel-js";
import { startupTaintKey } from "../../src/node/startup-taint.ts";
import { type Manifest, ofKind, resourcesIn } from "./manifests.fixture.ts";
import { NAMESPACE } from "./rbac.fixture.ts";

const [policy] = ofKind(resourcesIn("components/node-restriction"), "ValidatingAdmissionPolicy");
const [binding] = ofKind(resourcesIn("components/node-restriction"), "ValidatingAdmissionPolicyBinding");
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

test("lets a node remove taints from its own Node, and nothing else", () => {
  const tainted = nodeOf([startup, other]);
  expect(answer(nodeOf([other]), tainted)).toBe("allowed");
  expect(answer(nodeOf(undefined), nodeOf([startup]))).toBe("allowed");
  expect(answer(nodeOf(undefined), nodeOf(undefined))).toBe("allowed");

  const own = "rds-csi changes the Node of its own pod only";
  const elsewhere = { metadata: { name: "node-b" } };
  expect(answer(nodeOf([other], elsewhere), nodeOf([startup, other], elsewhere))).toBe(own);
  expect(answer(nodeOf([other]), tainted, { extra: {} })).toBe(own);
  expect(answer(nodeOf([other]), tainted, { extra: { [NODE_NAME]: [] } })).toBe(own);

  const only = "rds-csi removes taints only";
  expect(answer(nodeOf([startup, other, { key: "x", effect: "NoExecute" }]), tainted)).toBe(only);
  expect(answer(nodeOf([{ ...other, effect: "NoExecute" }]), tainted)).toBe(only);
  expect(answer(nodeOf([other]), nodeOf(undefined))).toBe(only);

  const alone = "rds-csi leaves labels, annotations and scheduling of a Node alone";
  expect(answer(nodeOf([other], { metadata: { labels: { zone: "2" } } }), tainted)).toBe(alone);
  expect(answer(nodeOf([other], { metadata: { labels: undefined } }), tainted)).toBe(alone);
  expect(answer(nodeOf([other], { metadata: { annotations: { a: "b", c: "d" } } }), tainted)).toBe(alone);
  expect(answer(nodeOf([other], { spec: { unschedulable: true } }), tainted)).toBe(alone);
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
