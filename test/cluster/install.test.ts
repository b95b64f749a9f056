import { describe, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { parseAllDocuments } from "yaml";
import { ROOT } from "../docs/pages.fixture.ts";
import { type Api, Refused, type Thing } from "./api.ts";
import { NODES } from "./cluster.ts";
import { attempt, run } from "./run.ts";
import { api, cluster } from "./world.ts";

describe("the manifests", () => {
  test("are applied again without a warning and without a change", async () => {
    const input = await cluster.manifests();
    const kubectl = `${cluster.place.programs}/bin/kubectl`;
    const env = { KUBECONFIG: cluster.kubeconfig };
    const get = async () => {
      const { stdout } = await attempt(kubectl, ["get", "-f", "-", "-o", "json"], { input, env });
      return (JSON.parse(stdout).items as Thing[]).map(({ kind, metadata }) => [
        `${kind} ${metadata.name}`,
        metadata.generation,
        metadata.uid,
      ]);
    };
    const before = await get();
    expect(before.length).toBe(parseAllDocuments(input).length);
    const applied = await attempt(kubectl, ["apply", "--server-side", "-f", "-"], { input, env });
    expect([applied.code, applied.stderr]).toEqual([0, ""]);
    expect(await get()).toEqual(before);
    const diff = await attempt(kubectl, ["diff", "--server-side", "-f", "-"], { input, env });
    expect([diff.code, diff.stdout]).toEqual([0, ""]);
  });

  test("leave the node plugin no namespace but its own: elsewhere Pod Security refuses its pods", async () => {
    const { spec } = await api.get("DaemonSet", "rds-csi-node", "rds-csi");
    const metadata = {
      name: "install-baseline",
      labels: { "pod-security.kubernetes.io/enforce": "baseline" },
    };
    await api.apply({ apiVersion: "v1", kind: "Namespace", metadata });
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "node", namespace: metadata.name },
      spec: { ...spec.template.spec, serviceAccountName: "default" },
    };
    expect(await refusalOf(api.apply(pod))).toMatch(/violates PodSecurity "baseline:latest".*privileged/);
    await api.delete("Namespace", metadata.name);
  });
});

describe("docs/install.md", () => {
  /** The shell blocks for a cluster in a section of the page, with this cluster's site in place of the reader's. */
  async function blocks(heading: string): Promise<string[]> {
    const page = await readFile(join(ROOT, "docs/install.md"), "utf8");
    const [section = ""] = page.split(`## ${heading}\n`)[1]?.split("\n## ") ?? [];
    const found = section.matchAll(/<!-- cluster -->\n```sh\n(.*?)```/gs);
    return [...found].map(([, text = ""]) =>
      text.replaceAll("manifests/sites/home", `${cluster.place.state}/site`),
    );
  }

  const shell = (text: string) =>
    run("bash", ["-ec", `cd ${ROOT}; ${text}`], {
      timeoutMs: 180_000,
      env: { KUBECONFIG: cluster.kubeconfig, PATH: `${cluster.place.programs}/bin:${process.env.PATH}` },
    });

  test("its commands put the driver into the cluster", async () => {
    const [apply = "", diagnose = ""] = await blocks("4. Into the cluster");
    // A second apply by another manager than the first.
    expect(await shell(apply.replace("apply -k", "apply --server-side --force-conflicts -k"))).toContain(
      'daemon set "rds-csi-node" successfully rolled out',
    );
    // These nodes are namespaces themselves, whose driver does not see the processes of the computer; nothing else is wrong.
    const found = (await shell(`${diagnose.trim()} || [ $? = 4 ]`)).matchAll(/^ +id +(\S+)/gm);
    expect([...found].map(([, id]) => id)).toEqual(["host-pid-off", "kubernetes-forbidden"]);
  });

  test("its first volume", async () => {
    const [first = "", last = ""] = await blocks("5. The first volume");
    const said = await shell(first);
    expect(said).toMatch(/pod\/rds-filesystem condition met\n.* UTC \d{4}\n/);
    expect(said).toMatch(/attached +1Gi +default\/rds-filesystem +node-\d/);
    expect(await shell(last)).toContain('pod "rds-filesystem" deleted');
  });

  test("its commands take the driver out again, nothing of it is left, and another install works", async () => {
    const [remove = ""] = await blocks("Uninstall");
    const input = await cluster.manifests();
    expect(await shell(remove)).toContain('namespace "rds-csi" deleted');
    const env = { KUBECONFIG: cluster.kubeconfig };
    const kubectl = `${cluster.place.programs}/bin/kubectl`;
    const left = await attempt(kubectl, ["get", "-f", "-", "-o", "name", "--ignore-not-found"], {
      input,
      env,
    });
    expect([left.stdout, left.stderr.replace(/.*namespaces "rds-csi" not found\n?/g, "")]).toEqual(["", ""]);
    for (const { name } of cluster.nodes) {
      const unregistered = ({ spec }: Thing) =>
        !(spec.drivers ?? []).some((each: Thing) => each.name === "rds.csi.srvlab.io");
      await api.await("CSINode", name, undefined, "without the driver", unregistered, 120_000);
    }
    await cluster.applySite();
    await cluster.awaitDriver();
  });
});

describe("the account of a node", () => {
  /** The API with the rights that the driver on a node has. */
  async function asNode(name: string): Promise<Api> {
    const pods = await api.list("Pod", "rds-csi", "?labelSelector=app.kubernetes.io/component=node");
    const pod = pods.find(({ spec }) => spec.nodeName === name);
    const path = "/api/v1/namespaces/rds-csi/serviceaccounts/rds-csi-node/token";
    const boundObjectRef = { apiVersion: "v1", kind: "Pod", name: pod.metadata.name, uid: pod.metadata.uid };
    const { status } = await api.request("POST", path, { spec: { boundObjectRef } });
    return api.as(status.token);
  }

  test("may change no other node, and of its own only the start-up taint", async () => {
    const [own, other] = NODES;
    const node = await asNode(own);
    const taint = { key: "rds.csi.srvlab.io/agent-not-ready", effect: "NoExecute" };
    const label = { metadata: { labels: { mine: "yes" } } };
    const forbidden = "rds-csi changes the Node of its own pod only";
    expect(await refusalOf(node.patch("Node", other, undefined, label))).toContain(forbidden);
    expect(await refusalOf(node.patch("Node", own, undefined, label))).toContain(
      "nothing of a Node but its taints",
    );
    expect(await refusalOf(node.patch("Node", own, undefined, { spec: { unschedulable: true } }))).toContain(
      "nothing of a Node but its taints",
    );
    expect(await refusalOf(node.patch("Node", own, undefined, { spec: { taints: [taint] } }))).toContain(
      "removes its start-up taint, and leaves all other taints",
    );
    expect(await refusalOf(node.list("ConfigMap", "rds-csi"))).toContain("forbidden");
  });

  test("loses the start-up taint by the driver, which has just started", async () => {
    const [, name] = NODES;
    const taint = { key: "rds.csi.srvlab.io/agent-not-ready", effect: "NoSchedule" };
    await api.patch("Node", name, undefined, { spec: { taints: [taint] } });
    const pods = await api.list("Pod", "rds-csi", "?labelSelector=app.kubernetes.io/component=node");
    const pod = pods.find(({ spec }) => spec.nodeName === name);
    await api.delete("Pod", pod.metadata.name, "rds-csi");
    await api.awaitGone("Pod", pod.metadata.name, "rds-csi", 90_000);
    const free = ({ spec }: Thing) => !spec.taints?.some(({ key }: Thing) => key === taint.key);
    await api.await("Node", name, undefined, "without the start-up taint", free, 120_000);
    await cluster.awaitDriver();
  });
});

/** Why the API server refuses a request; "" if it does not. */
async function refusalOf(request: Promise<unknown>): Promise<string> {
  try {
    await request;
    return "";
  } catch (error) {
    if (error instanceof Refused) return error.message;
    throw error;
  }
}
