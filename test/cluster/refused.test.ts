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

/** Lines of the logs of a container of both controllers that hold a text. */
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

/** How often events were told: a series of them counts anew. */
function sum(events: readonly Thing[]): number {
  return events.reduce((total, { count, series }) => total + (series?.count ?? count ?? 1), 0);
}

function within(value: number | undefined, least: number, most: number): void {
  expect(value).toBeGreaterThanOrEqual(least);
  expect(value).toBeLessThanOrEqual(most);
}

test("an attach that is refused for five minutes fills neither events nor logs, and asks the RDS a few times only", async () => {
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
  const events = {
    pod: await api.events("Pod", "intruder", scope.namespace),
    claim: await api.events("PersistentVolumeClaim", "held", scope.namespace),
    attachment: await api.events("VolumeAttachment", attachment.metadata.name, "default"),
  };
  const about = (list: readonly Thing[], reason: string) => list.filter((event) => event.reason === reason);
  const refusals = about(events.pod, "FailedAttachVolume");
  const conflicts = about(events.claim, "AttachmentConflict");
  const seen = {
    objects: [refusals.length, conflicts.length, events.attachment.length],
    times: [sum(refusals), sum(conflicts)],
    driver: await logged("driver", since, volumeHandle),
    attacher: await logged("csi-attacher", since, volumeHandle),
    commands: (await commands(volumeHandle)) - before,
  };
  console.log(`${MINUTES} minutes of a refused attach: ${JSON.stringify(seen)}`);
  // The attach-detach controller tries ten times in that time, with pauses that double up to two minutes.
  expect(seen.objects).toEqual([1, 1, 0]);
  within(seen.times[0], 5, 14);
  within(seen.times[1], 1, 6);
  within(seen.driver, 5, 25);
  within(seen.attacher, 5, 40);
  within(seen.commands, 5, 70);
  await scope.remove("intruder", "holder");
  await scope.drop("held");
});
