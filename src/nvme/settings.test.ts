import { expect, test } from "bun:test";
import { BLOCK, MIB, startStack } from "../../test/support/rds-stack.ts";
import { encodePublishContext } from "../domain/publish-context.ts";
import { DEFAULT_SETTINGS } from "../domain/record/volume-record.ts";
import type { Target } from "../host/data-path.ts";
import { createNodeSystem } from "../host/system.ts";
import { checkContext, requireKnownVolume } from "../node/verbs/validate.ts";
import { silentLogger } from "../observability/log.ts";

/** What a node is told to connect, for a volume of a StorageClass with these parameters. */
async function targetOf(parameters: Record<string, string>): Promise<Target> {
  const stack = await startStack();
  try {
    const signal = AbortSignal.timeout(30_000);
    const range = { requiredBytes: 8n * MIB, limitBytes: 0n };
    const wish = { name: "pvc-1", range, capabilities: [BLOCK], parameters, mutableParameters: {} };
    const { id } = await stack.volumes.create({ ...wish, source: undefined, signal });
    const request = { volumeId: id, nodeId: "node-a", capability: BLOCK, readonly: false, signal };
    const context = await stack.attachments.publish(request);
    const system = createNodeSystem();
    const node = { system, dataPath: undefined as never, nodeId: "node-a", clusterId: "test" };
    const full = { ...node, nqnPrefix: "nqn.2000-02.com.mikrotik", logger: silentLogger };
    return checkContext(full, requireKnownVolume(id), encodePublishContext(context)).target;
  } finally {
    await stack.close();
  }
}

test("every connection setting of a StorageClass reaches the node, through record and publish context", async () => {
  const wanted = {
    ctrlLossTmo: 600,
    reconnectDelay: 7,
    keepAliveTmo: 11,
    fastIoFailTmo: 30,
    nrIoQueues: 3,
    queueSize: 64,
  };
  const parameters = Object.fromEntries(Object.entries(wanted).map(([key, value]) => [key, String(value)]));
  expect(await targetOf(parameters)).toMatchObject(wanted);
  const { migrationGuard, migrationTimeoutSeconds, ...defaults } = DEFAULT_SETTINGS;
  expect(Object.keys(wanted)).toEqual(Object.keys(defaults));
  expect(await targetOf({})).toMatchObject(defaults);
});
