import { describe, expect, test } from "bun:test";
import { type ClaimOwner, type ClaimUser, judgeClaimUsers, owningPod, vmiOf } from "./guard.ts";

const vmi = (name: string, over: Partial<ClaimOwner> = {}): ClaimOwner => ({
  apiVersion: "kubevirt.io/v1",
  kind: "VirtualMachineInstance",
  name,
  uid: `uid-${name}`,
  controller: true,
  ...over,
});
const pod = (name: string, node: string | undefined, over: Partial<ClaimUser> = {}): ClaimUser => ({
  namespace: "vms",
  name,
  uid: `uid-${name}`,
  node,
  phase: "Running",
  owners: [],
  ...over,
});
const launcher = (name: string, machine: string, node: string | undefined, over: Partial<ClaimUser> = {}) =>
  pod(name, node, { owners: [vmi(machine)], ...over });
const hotplug = (name: string, owner: ClaimUser): ClaimUser =>
  pod(name, owner.node, {
    owners: [{ apiVersion: "v1", kind: "Pod", name: owner.name, uid: owner.uid, controller: true }],
  });
const SOURCE = launcher("src", "vm1", "node-a");
const TARGET = launcher("dst", "vm1", "node-b");

function judge(users: readonly ClaimUser[], others: readonly ClaimUser[] = []): string {
  const judged = judgeClaimUsers({ holder: "node-a", requester: "node-b" }, users, (user) =>
    [...users, ...others].find((each) => user.owners.some((owner) => owner.name === each.name)),
  );
  return "reason" in judged ? judged.reason : judged.vmi.uid;
}

describe("the migration guard, by the pods", () => {
  test("source and target launcher of one machine, on either node", () => {
    expect(judge([SOURCE, TARGET])).toBe("uid-vm1");
    expect(judge([SOURCE, launcher("dst", "vm1", "node-b", { phase: "Pending" })])).toBe("uid-vm1");
  });

  test("two machines, or a machine and a plain pod, are not; the pods are named", () => {
    expect(judge([SOURCE, launcher("b", "vm2", "node-b")])).toBe(
      "pod vms/src, pod vms/b belong to different virtual machines",
    );
    expect(judge([SOURCE, pod("importer", "node-b")])).toBe("pod vms/importer belongs to no virtual machine");
    expect(judge([pod("x", "node-a"), pod("y", "node-b")])).toBe(
      "pod vms/x, pod vms/y belong to no virtual machine",
    );
    expect(judge([])).toBe("no running pod uses the claim");
  });

  test("completed pods do not count, terminating ones do", () => {
    const done = [
      pod("importer", "node-c", { phase: "Succeeded" }),
      pod("old", "node-c", { phase: "Failed" }),
    ];
    expect(judge([SOURCE, TARGET, ...done])).toBe("uid-vm1");
    expect(judge(done)).toBe("no running pod uses the claim");
    expect(judge([SOURCE, TARGET, launcher("b", "vm2", "node-c", { phase: "Unknown" })])).toContain(
      "different virtual machines",
    );
  });

  test("nothing migrates from a node without a running pod of the machine", () => {
    const NOT_THERE = "no running pod uses the claim on node node-a, so nothing can be migrating from there";
    // The source's pod was deleted by force while its node is cut off: the machine elsewhere is a new instance.
    expect(judge([TARGET])).toBe(NOT_THERE);
    expect(judge([{ ...SOURCE, phase: "Succeeded" }, TARGET])).toBe(NOT_THERE);
    expect(judge([{ ...SOURCE, phase: "Pending" }, TARGET])).toBe(NOT_THERE);
    expect(judge([{ ...SOURCE, node: undefined }, TARGET])).toBe(NOT_THERE);
  });

  test("whether only the detach of the holder is missing: no other workload is left, or what is there ends", () => {
    const waits = (users: readonly ClaimUser[]): boolean | undefined => {
      const judged = judgeClaimUsers({ holder: "node-a", requester: "node-b" }, users, () => undefined);
      return judged.kind === "not-proven" ? judged.waits : undefined;
    };
    const ending = { terminating: true };
    const again = launcher("again", "vm1-again", "node-b");
    for (const users of [
      [],
      [TARGET],
      [SOURCE],
      [pod("cloner", "node-b")],
      [pod("importer", "node-a", ending), TARGET],
      [{ ...SOURCE, ...ending }, again],
      [{ ...SOURCE, ...ending, phase: "Unknown" }, again, pod("unscheduled", undefined)],
    ])
      expect({ users, waits: waits(users) }).toEqual({ users, waits: true });
    for (const users of [
      [SOURCE, again],
      [SOURCE, pod("backup", "node-b")],
      [pod("importer", "node-a"), TARGET],
      [{ ...SOURCE, ...ending }, SOURCE, again],
      [pod("x", "node-b"), pod("y", "node-c")],
      [{ ...SOURCE, ...ending }, again, pod("y", "node-c")],
      [{ ...SOURCE, phase: "Pending" }, TARGET],
    ])
      expect({ users, waits: waits(users) }).toEqual({ users, waits: false });
    expect(judge([{ ...SOURCE, ...ending }, again])).toBe(
      "pod vms/src still ends on node node-a, so nothing migrates from there",
    );
    // A source that ends while its migration runs proves as much as before.
    expect(judge([{ ...SOURCE, ...ending }, TARGET])).toBe("uid-vm1");
  });

  test("nothing migrates to a node without a pod of the machine", () => {
    const NOT_THERE = "no pod of the virtual machine is on node node-b, so nothing can be migrating there";
    expect(judge([SOURCE])).toBe(NOT_THERE);
    expect(judge([SOURCE, { ...TARGET, node: undefined }])).toBe(NOT_THERE);
    expect(judge([SOURCE, { ...TARGET, node: "node-c" }])).toBe(NOT_THERE);
    expect(judge([SOURCE, { ...TARGET, phase: "Failed" }])).toBe(NOT_THERE);
  });

  test("hot-plug pods belong to the machine of their owner; without an owner to none", () => {
    expect(judge([hotplug("hp-1", SOURCE), hotplug("hp-2", TARGET)], [SOURCE, TARGET])).toBe("uid-vm1");
    const other = launcher("c", "vm2", "node-b");
    expect(judge([hotplug("hp-1", SOURCE), hotplug("hp-2", other)], [SOURCE, other])).toContain(
      "different virtual machines",
    );
    expect(judge([hotplug("hp-1", SOURCE)])).toBe("pod vms/hp-1 belongs to no virtual machine");
    const chain = hotplug("chain", TARGET);
    expect(judge([SOURCE, hotplug("hp-2", chain)], [chain, TARGET])).toBe(
      "pod vms/hp-2 belongs to no virtual machine",
    );
    // A launcher of that name which was made anew is not the owner.
    expect(judge([SOURCE, hotplug("hp-2", TARGET)], [{ ...TARGET, uid: "uid-again" }])).toBe(
      "pod vms/hp-2 belongs to no virtual machine",
    );
  });

  test("only the controller reference of KubeVirt's group and kind names a machine", () => {
    for (const owner of [
      vmi("vm1", { controller: false }),
      vmi("vm1", { apiVersion: "kubevirt.io" }),
      vmi("vm1", { apiVersion: "x.kubevirt.io/v1" }),
      vmi("vm1", { kind: "VirtualMachine" }),
      vmi("vm1", { uid: "" }),
    ])
      expect(judge([SOURCE, pod("b", "node-b", { owners: [owner] })])).toBe(
        "pod vms/b belongs to no virtual machine",
      );
    const versioned = pod("b", "node-b", { owners: [vmi("vm1", { apiVersion: "kubevirt.io/v1alpha3" })] });
    expect(judge([SOURCE, versioned])).toBe("uid-vm1");
  });

  test("a machine that was deleted and made again under its name is another machine", () => {
    const again = pod("new", "node-b", { owners: [vmi("vm1", { uid: "uid-again" })] });
    expect(judge([SOURCE, again])).toContain("different virtual machines");
  });

  test("many offenders are not all printed", () => {
    expect(judge([SOURCE, ...Array.from({ length: 8 }, (_, index) => pod(`p${index}`, "node-b"))])).toContain(
      "pod vms/p4 and 3 more belong to no",
    );
  });
});

describe("the answer of the guard", () => {
  const nodes = { holder: "node-a", requester: "node-b" };
  const owners =
    (...known: readonly ClaimUser[]) =>
    (user: ClaimUser) =>
      known.find((each) => user.owners.some((owner) => owner.name === each.name));

  test("names the machine, its pods on the requesting node and their launchers, and whether the source is silent", () => {
    const expected = {
      kind: "one-vmi",
      vmi: { namespace: "vms", name: "vm1", uid: "uid-vm1" },
      requesters: ["dst", "dst"],
      sourceUnknown: false,
    } as const;
    expect(judgeClaimUsers(nodes, [SOURCE, TARGET], owners())).toEqual(expected);
    const plugged = [hotplug("hp-1", SOURCE), hotplug("hp-2", TARGET)];
    expect(judgeClaimUsers(nodes, plugged, owners(SOURCE, TARGET))).toEqual({
      ...expected,
      requesters: ["hp-2", "dst"],
    });
    const silent = { ...SOURCE, phase: "Unknown" };
    expect(judgeClaimUsers(nodes, [silent, TARGET], owners())).toEqual({ ...expected, sourceUnknown: true });
    expect(judgeClaimUsers(nodes, [silent, SOURCE, TARGET], owners())).toEqual(expected);
  });

  test("names five pods at most, and how many of them end", () => {
    const plain = (count: number) => Array.from({ length: count }, (_, index) => pod(`p${index}`, "node-b"));
    const named = "pod vms/p0, pod vms/p1, pod vms/p2, pod vms/p3, pod vms/p4";
    expect(judge([SOURCE, ...plain(5)])).toBe(`${named} belong to no virtual machine`);
    expect(judge([SOURCE, ...plain(6)])).toBe(`${named} and 1 more belong to no virtual machine`);
    expect(judge([SOURCE, ...plain(7)])).toBe(`${named} and 2 more belong to no virtual machine`);
    const ending = { terminating: true };
    expect(judge([pod("x", "node-a", ending), pod("y", "node-a", ending), TARGET])).toBe(
      "pod vms/x, pod vms/y still end on node node-a, so nothing migrates from there",
    );
  });

  test("takes a machine of KubeVirt's group alone, and a pod of the core group alone as the owner of a pod", () => {
    const owned = (over: Partial<ClaimOwner>) =>
      vmiOf(pod("p", "node-a", { owners: [vmi("vm1", over)] }), owners());
    expect(owned({ apiVersion: "kubevirt.io/v1alpha3" })?.uid).toBe("uid-vm1");
    for (const apiVersion of ["x.kubevirt.io/v1", "kubevirt.io/v1/x", "kubevirtXio/v1", "kubevirt.io/"])
      expect(owned({ apiVersion })).toBeUndefined();
    const byPod = (over: Partial<ClaimOwner>) =>
      owningPod(
        pod("p", "node-a", {
          owners: [{ apiVersion: "v1", kind: "Pod", name: "o", uid: "u", controller: true, ...over }],
        }),
      )?.name;
    expect(byPod({})).toBe("o");
    expect([{ kind: "Job" }, { apiVersion: "batch/v1" }, { controller: false }].map(byPod)).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
});
