import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Thing } from "./api.ts";
import { NODES } from "./cluster.ts";
import { api, attachmentsOf, diskOf, Scope } from "./world.ts";

const scope = new Scope("attributes");
const CLAIM = "PersistentVolumeClaim";
const CLASSES: Readonly<Record<string, Record<string, string>>> = {
  "attributes-slow": { keepAliveTmo: "20", migrationTimeoutSeconds: "900" },
  "attributes-deep": { queueSize: "64" },
  "attributes-wrong": { queueSize: "default", pool: "storage-pool" },
};

beforeAll(async () => {
  for (const [name, parameters] of Object.entries(CLASSES)) {
    const group = { apiVersion: "storage.k8s.io/v1", kind: "VolumeAttributesClass" };
    await api.apply({ ...group, metadata: { name }, driverName: "rds.csi.srvlab.io", parameters });
  }
});
afterAll(async () => {
  for (const name of Object.keys(CLASSES)) await api.delete("VolumeAttributesClass", name);
});

const change = (claim: string, volumeAttributesClassName: string) =>
  api.patch(CLAIM, claim, scope.namespace, { spec: { volumeAttributesClassName } });

/** Waits until the claim says that its volume has the settings of a class. */
const changed = (claim: string, name: string): Promise<Thing> =>
  api.await(
    CLAIM,
    claim,
    scope.namespace,
    `with ${name}`,
    ({ status }: Thing) =>
      status.currentVolumeAttributesClassName === name && status.modifyVolumeStatus === undefined,
  );

test("a VolumeAttributesClass at the creation and under a running pod, which notices nothing; a wrong one changes nothing", async () => {
  const claim = await scope.claim("data");
  expect(claim.spec.volumeAttributesClassName).toBeUndefined();
  await scope.pod("data", { claims: ["data"], node: NODES[0] });
  await scope.ready("data");
  const volume = await scope.bound("data");
  const comment = async () => (await diskOf(volume))?.comment ?? "";
  const context = async () =>
    (await attachmentsOf(volume.metadata.name)).map(({ status }) => status.attachmentMetadata);
  const before = await context();

  await change("data", "attributes-slow");
  await changed("data", "attributes-slow");
  expect(await comment()).toMatch(/;mt=900;ka=20$/);
  await change("data", "attributes-deep");
  await changed("data", "attributes-deep");
  expect(await comment()).toMatch(/;mt=900;ka=20;qs=64$/);
  expect(await context()).toEqual(before);

  await change("data", "attributes-wrong");
  const message = await scope.event(CLAIM, "data", "VolumeModifyFailed", /pool/);
  expect(message).toContain('VolumeAttributesClass parameter "pool" is fixed when a volume is made');
  expect(await comment()).toMatch(/;mt=900;ka=20;qs=64$/);
  // Out of an infeasible class another one leads.
  await change("data", "attributes-slow");
  await changed("data", "attributes-slow");

  await scope.shell("data", "echo still-here > /data/f; sync");
  await scope.remove("data");
  await scope.pod("again", { claims: ["data"], node: NODES[1] });
  await scope.ready("again");
  expect(await scope.shell("again", "cat /data/f")).toBe("still-here");
  expect((await context())[0]).toMatchObject({ keepAliveTmo: "20", queueSize: "64" });
  await scope.remove("again");
  await scope.drop("data");
});
