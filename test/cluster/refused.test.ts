import { beforeAll, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Thing } from "./api.ts";
import { NODES } from "./cluster.ts";
import { until } from "./run.ts";
import { api, attachedNodes, attachmentsOf, cluster, refusal, Scope } from "./world.ts";

const scope = new Scope("refused");
const [A, B] = NODES;
const MINUTES = 5;
const COMMANDS = join(cluster.control.directory, "rds-commands.jsonl");
beforeAll(() => scope.storageClass("vm", { migrationGuard: "enforce" }));

/** How often a text stands in the logs of a container of both controllers, by line. */
async function logged(container: string, since: string, text: string): Promise<number> {
  const selector = "app.kubernetes.io/component=controller";
  const pods = await api.list("Pod", "rds-csi", `?labelSelector=${selector}`);
  const args = (pod: string) => ["logs", "-n", "rds-csi", pod, "-c", container, `--since-time=${since}`];
  const logs = await Promise.all(pods.map(({ metadata }) => cluster.kubectl(args(metadata.name))));
  return logs
    .join("\n")
    .split("\n")
    .filter((line) => line.includes(text)).length;
}

/** Lines that the RDS has run and that name a volume. */
async function commands(handle: string): Promise<number> {
  const lines = (await readFile(COMMANDS, "utf8")).split("\n");
  return lines.filter((line) => line.includes(handle)).length;
}

/** How often an event was counted. */
const timesOf = ({ count, series }: Thing): number => series?.count ?? count ?? 1;

test(`an attach that is refused for ${MINUTES} minutes fills neither events nor logs, and asks the RDS little`, async () => {
  await scope.claim("held", { mode: "ReadWriteMany", block: true, storageClass: "refused-vm" });
  const volume = await scope.bound("held");
  const { name } = volume.metadata;
  const { volumeHandle } = volume.spec.csi;
  await scope.pod("holder", { claims: ["held"], block: true, node: A });
  await scope.ready("holder");
  const before = await commands(volumeHandle);
  const since = new Date().toISOString();
  await scope.pod("intruder", { claims: ["held"], block: true, node: B });
  await refusal(name, B, /no live migration is proven/);
  const end = Date.now() + MINUTES * 60_000;
  await until(`the end of ${MINUTES} minutes`, () => Date.now() > end, {
    timeoutMs: (MINUTES + 1) * 60_000,
    pauseMs: 1_000,
  });
  expect(await attachedNodes(name)).toEqual([A]);

  const attachment = (await attachmentsOf(name)).find(({ spec }) => spec.nodeName === B);
  const found = {
    pod: await api.events("Pod", "intruder", scope.namespace),
    claim: await api.events("PersistentVolumeClaim", "held", scope.namespace),
    attachment: await api.events("VolumeAttachment", attachment.metadata.name, "default"),
  };
  const told = Object.values(found)
    .flat()
    .map((event) => `${timesOf(event)} x ${event.involvedObject.kind} ${event.reason}: ${event.message}`);
  const sums = {
    commands: (await commands(volumeHandle)) - before,
    "lines of the driver": await logged("driver", since, volumeHandle),
    "lines of external-attacher": await logged("csi-attacher", since, volumeHandle),
  };
  console.log(JSON.stringify({ sums, told }, undefined, 1));
  expect(found.pod.length).toBeLessThanOrEqual(10);
  await scope.remove("intruder", "holder");
  await scope.drop("held");
});
