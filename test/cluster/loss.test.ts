import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { isReady, type Thing } from "./api.ts";
import { NODES } from "./cluster.ts";
import { until } from "./run.ts";
import { startRds } from "./site.ts";
import { api, attachmentsOf, cluster, diskOf, Scope } from "./world.ts";

const scope = new Scope("loss");
const [A, B] = NODES;
const CLAIM = "PersistentVolumeClaim";
const OUT_OF_SERVICE = {
  key: "node.kubernetes.io/out-of-service",
  value: "nodeshutdown",
  effect: "NoExecute",
};

/** A claim with data, and a pod that has it. @returns the sum of the data */
async function filled(name: string, node: string): Promise<string> {
  await scope.claim(name);
  await scope.pod(`${name}-1`, { claims: [name], node });
  await scope.ready(`${name}-1`);
  return await scope.shell(
    `${name}-1`,
    "dd if=/dev/urandom of=/data/f bs=64k count=16 2>/dev/null; sync; sha256sum /data/f",
  );
}

describe("the RDS is away", () => {
  test("pods go on, new claims wait and say why, and everything goes on when it is back", async () => {
    const sum = await filled("steady", A);
    const volume = await scope.bound("steady");
    await cluster.control.kill("rds");
    expect(await scope.shell("steady-1", "echo more >/data/g; sync; sha256sum /data/f")).toBe(sum);
    await scope.claim("waiting");
    const said = await scope.event(CLAIM, "waiting", "ProvisioningFailed", /rpc error/);
    expect(said).toContain("Unavailable");
    // A pod that ends meanwhile is not kept: its node needs nobody for that.
    await scope.remove("steady-1");
    await scope.pod("steady-2", { claims: ["steady"], node: B });
    await startRds(cluster.control, join(cluster.place.state, "site"));
    await scope.bound("waiting");
    await scope.ready("steady-2", 180_000);
    expect(await scope.shell("steady-2", "cat /data/g; sha256sum /data/f")).toBe(`more\n${sum}`);
    await scope.remove("steady-2");
    for (const name of ["steady", "waiting"]) await scope.drop(name);
    expect(await diskOf(volume)).toBeUndefined();
  });
});

describe("a node loses power", () => {
  test("after the out-of-service taint its volume goes to the other node, and it comes back clean", async () => {
    const sum = await filled("lost", A);
    const volume = (await scope.bound("lost")).metadata.name;
    const before = await diskOf(await scope.bound("lost"));
    await cluster.node(A).end();
    await api.await("Node", A, undefined, "not ready", (node) => !isReady(node), 120_000);
    await scope.pod("lost-2", { claims: ["lost"], node: B });
    // Nobody knows yet that the node is off: the volume is not given away.
    await scope.event("Pod", "lost-2", "FailedAttachVolume", /Multi-Attach error/);
    expect((await attachmentsOf(volume)).map(({ spec }) => spec.nodeName)).toEqual([A]);
    const { spec } = await api.get("Node", A);
    await api.patch("Node", A, undefined, { spec: { taints: [...(spec.taints ?? []), OUT_OF_SERVICE] } });
    await scope.ready("lost-2", 180_000);
    expect(await scope.shell("lost-2", "sha256sum /data/f")).toBe(sum);
    expect((await attachmentsOf(volume)).map(({ spec }) => spec.nodeName)).toEqual([B]);
    // The name that the node knew is gone: it could not write if it came back now.
    expect((await diskOf(await scope.bound("lost")))?.nqn).not.toBe(before?.nqn);

    await cluster.boot(A);
    const node = await api.get("Node", A);
    const taints = node.spec.taints.filter(({ key }: Thing) => key !== OUT_OF_SERVICE.key);
    await api.patch("Node", A, undefined, { spec: { taints } });
    await scope.remove("lost-2");
    await scope.pod("lost-3", { claims: ["lost"], node: A });
    await scope.ready("lost-3", 120_000);
    expect(await scope.shell("lost-3", "sha256sum /data/f")).toBe(sum);
    await scope.remove("lost-3");
    await scope.drop("lost");
  });

  test("and comes back: its pod gets its volume again, with every byte that was synced", async () => {
    const sum = await filled("rebooted", A);
    await cluster.node(A).end();
    await cluster.boot(A);
    await scope.ready("rebooted-1", 120_000);
    await until("the data", async () => (await scope.shell("rebooted-1", "sha256sum /data/f")) === sum);
    expect(
      (await api.get("Pod", "rebooted-1", scope.namespace)).status.containerStatuses[0].restartCount,
    ).toBe(1);
    await scope.remove("rebooted-1");
    await scope.drop("rebooted");
  });
});
