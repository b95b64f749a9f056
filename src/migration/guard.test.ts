import { describe, expect, test } from "bun:test";
import { type ClaimUser, judgeClaimUsers } from "./guard.ts";

const pod = (name: string, over: Partial<ClaimUser> = {}): ClaimUser => ({
  namespace: "vms",
  name,
  uid: `uid-${name}`,
  node: "node-a",
  phase: "Running",
  labels: {},
  owners: [],
  ...over,
});
const launcher = (name: string, vmi: string, over: Partial<ClaimUser> = {}): ClaimUser =>
  pod(name, {
    labels: {
      "kubevirt.io": "virt-launcher",
      "kubevirt.io/created-by": `uid-${vmi}`,
      "vm.kubevirt.io/name": vmi,
    },
    owners: [{ kind: "VirtualMachineInstance", name: vmi, uid: `uid-${vmi}` }],
    ...over,
  });
const hotplug = (name: string, owner: ClaimUser): ClaimUser =>
  pod(name, {
    labels: { "kubevirt.io": "hotplug-disk" },
    owners: [{ kind: "Pod", name: owner.name, uid: owner.uid }],
  });

function judge(users: readonly ClaimUser[], others: readonly ClaimUser[] = [], holder = "node-a"): string {
  const evidence = judgeClaimUsers(holder, users, (user) =>
    [...users, ...others].find((each) =>
      user.owners.some((owner) => owner.kind === "Pod" && owner.uid === each.uid),
    ),
  );
  return "reason" in evidence ? `${evidence.kind}: ${evidence.reason}` : evidence.kind;
}

describe("the migration guard", () => {
  test("source and target launcher of one machine are a migration", () => {
    expect(judge([launcher("src", "vm1"), launcher("dst", "vm1", { phase: "Pending" })])).toBe("proven");
  });

  test("two machines, or a machine and a plain pod, are not; the pods are named", () => {
    expect(judge([launcher("a", "vm1"), launcher("b", "vm2")])).toBe(
      "not-proven: pod vms/a, pod vms/b belong to different virtual machines",
    );
    expect(judge([launcher("a", "vm1"), pod("importer")])).toBe(
      "not-proven: pod vms/importer belongs to no virtual machine",
    );
    expect(judge([pod("x"), pod("y")])).toBe("not-proven: pod vms/x, pod vms/y belong to no virtual machine");
    expect(judge([])).toBe("not-proven: no running pod uses the claim");
  });

  test("completed pods do not count, terminating ones do", () => {
    expect(
      judge([launcher("a", "vm1"), pod("importer", { phase: "Succeeded" }), pod("old", { phase: "Failed" })]),
    ).toBe("proven");
    expect(judge([pod("importer", { phase: "Succeeded" })])).toStartWith("not-proven: no running pod");
    expect(judge([launcher("a", "vm1"), launcher("b", "vm2", { phase: "Unknown" })])).toStartWith(
      "not-proven",
    );
  });

  test("hot-plug pods belong to the machine of their owner; without an owner to none", () => {
    const [src, dst] = [launcher("src", "vm1"), launcher("dst", "vm1")];
    expect(judge([hotplug("hp-1", src), hotplug("hp-2", dst)], [src, dst])).toBe("proven");
    expect(
      judge([hotplug("hp-1", src), hotplug("hp-2", launcher("c", "vm2"))], [src, launcher("c", "vm2")]),
    ).toStartWith("not-proven");
    expect(judge([hotplug("hp-1", src)])).toBe("not-proven: pod vms/hp-1 belongs to no virtual machine");
    const chain = hotplug("hp-1", src);
    expect(judge([hotplug("hp-2", chain)], [chain, src])).toStartWith("not-proven");
    // A launcher that holds another claim of the same machine does not lend its identity by label alone.
    expect(
      judge([
        pod("fake", { labels: { "kubevirt.io": "hotplug-disk", "kubevirt.io/created-by": "uid-vm1" } }),
      ]),
    ).toStartWith("not-proven");
  });

  test("a machine that was deleted and made again under its name is another machine", () => {
    expect(
      judge([
        launcher("old", "vm1"),
        launcher("new", "vm1", {
          labels: {},
          owners: [{ kind: "VirtualMachineInstance", name: "vm1", uid: "uid-again" }],
        }),
      ]),
    ).toStartWith("not-proven");
  });

  test("old KubeVirt: by name, when not every pod has a UID", () => {
    const old = (name: string, vm: string) => pod(name, { labels: { "vm.kubevirt.io/name": vm } });
    expect(judge([old("a", "vm1"), old("b", "vm1")])).toBe("proven");
    expect(judge([old("a", "vm1"), old("b", "vm2")])).toStartWith("not-proven");
    expect(judge([old("a", "vm1"), launcher("b", "vm1")])).toBe("proven");
    expect(
      judge([old("a", "vm1"), pod("b", { labels: { "kubevirt.io/created-by": "uid-vm1" } })]),
    ).toStartWith("not-proven");
  });

  test("nothing migrates from a node without a pod of the machine", () => {
    const [source, target] = [launcher("src", "vm1"), launcher("dst", "vm1", { node: "node-b" })];
    expect(judge([source, target])).toBe("proven");
    // The source's pod was deleted by force while its node is cut off: the machine elsewhere is a new instance.
    expect(judge([target])).toBe(
      "not-proven: no running pod uses the claim on node node-a, so nothing can be migrating from there",
    );
    expect(judge([launcher("src", "vm1", { phase: "Succeeded" }), target])).toStartWith(
      "not-proven: no running pod",
    );
    expect(judge([target, launcher("x", "vm1", { node: undefined })])).toStartWith(
      "not-proven: no running pod",
    );
  });

  test("many offenders are not all printed", () => {
    expect(judge(Array.from({ length: 8 }, (_, index) => pod(`p${index}`)))).toContain(
      "pod vms/p4 and 3 more belong to no",
    );
  });
});
