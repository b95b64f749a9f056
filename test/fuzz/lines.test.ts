import { expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { requireName } from "../../src/csi/fields.ts";
import type { Capability } from "../../src/domain/access-mode.ts";
import { DriverError } from "../../src/domain/errors/driver-error.ts";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import { controllerOf, Findings } from "./controller.ts";
import { consoleOf, replyTo, transportTo } from "./distorted.ts";
import { FUZZ_SEED, Random, SHORT_SECONDS } from "./random.ts";

const BLOCK: Capability = {
  accessMode: "MULTI_NODE_MULTI_WRITER",
  accessType: "block",
  fsType: "",
  mountFlags: [],
};

/**
 * A line without the content of its literals and numbers. A literal ends at the first quote that has no backslash before it, as RouterOS
 * reads it; the nonce counts as a number.
 */
function structureOf(line: string): string {
  const nonce = /~ok:([0-9a-f]+)~/.exec(line)?.[1] ?? "";
  const plain = nonce === "" ? line : line.replaceAll(nonce, "0");
  return plain.replace(/"(?:[^"\\]|\\.)*"/gs, '""').replace(/\b\d+\b/g, "0");
}

/** One life of a volume, with texts in every place that a caller chooses. */
async function live(
  random: Random,
  text: (place: string) => string,
  structures: Set<string>,
  sent: (line: string) => void,
): Promise<void> {
  const device = await consoleOf("current");
  const findings = new Findings();
  const transport = transportTo(
    (line) => replyTo(device, line),
    ({ line, reply }) => {
      structures.add(structureOf(line));
      sent(line);
      return reply;
    },
  );
  const on = controllerOf(transport, findings, device.clock);
  const { signal } = new AbortController();
  const tried = async (call: () => Promise<unknown>) => {
    try {
      await call();
    } catch (error) {
      if (!(error instanceof DriverError) || error.id === "internal") throw error;
    }
  };
  const name = text("name") || "x";
  const id = volumeIdFromName(name);
  const range = { requiredBytes: 1n << 20n, limitBytes: 0n };
  const parameters = {
    ...(random.chance(0.3) ? { pool: text("pool") } : {}),
    "csi.storage.k8s.io/pvc/namespace": text("namespace"),
    "csi.storage.k8s.io/pvc/name": text("claim"),
  };
  const request = {
    name,
    range,
    capabilities: [BLOCK],
    parameters,
    mutableParameters: {},
    source: undefined,
  };
  await tried(async () => {
    requireName("name", name);
    await on.volumes.create({ ...request, signal });
  });
  // A hand that knows RouterOS may have written anything there.
  await device.device.addForeignDisk({
    ...{
      slot: volumeIdFromName("foreign"),
      path: `storage-pool/${volumeIdFromName("foreign")}.img`,
      size: 1n << 20n,
    },
    // The simulator holds texts as bytes.
    comment: Buffer.from(text("comment")).toString("latin1"),
  });
  for (const nodeId of ["node-a", text("node"), "node-b"]) {
    await tried(() =>
      on.attachments.publish({ volumeId: id, nodeId, capability: BLOCK, readonly: false, signal }),
    );
  }
  const mutableParameters = { [text("parameter")]: text("value"), keepAliveTmo: "9" };
  await tried(() => on.modifications.modify({ volumeId: id, mutableParameters, signal }));
  await tried(() =>
    on.modifications.modify({ volumeId: id, mutableParameters: { queueSize: "64" }, signal }),
  );
  await tried(() => on.volumes.list(signal));
  await tried(() => on.volumes.capacity([BLOCK], { pool: text("pool") }, signal));
  await tried(() => on.rds.hasVolumes(text("node"), 1, signal));
  await tried(() => on.rds.find(volumeIdFromName("foreign"), signal));
  await tried(() => on.rds.file(text("path"), signal));
  await tried(() => on.volumes.delete(volumeIdFromName("foreign"), signal));
  for (const nodeId of ["node-a", text("node"), "node-b"]) {
    await tried(() => on.attachments.unpublish(id, nodeId, signal));
  }
  await tried(() =>
    on.expansions.expand({
      volumeId: id,
      range: { ...range, requiredBytes: 2n << 20n },
      capability: BLOCK,
      signal,
    }),
  );
  await tried(() => on.volumes.delete(id, signal));
  expect(findings.list()).toEqual([]);
}

test(
  `${SHORT_SECONDS} s of hostile texts in every place: each line has a structure that harmless texts give, and is printable ASCII`,
  async () => {
    const random = new Random(FUZZ_SEED);
    const known = new Set<string>();
    // A claim that is too long for a record: the create is undone.
    const usual = ["storage-pool", "node-a", "node-b", "other", "x", "", "y".repeat(5_000)];
    for (let round = 0; round < 80; round += 1)
      await live(
        random,
        () => random.pick(usual),
        known,
        () => {},
      );
    const found = new Set<string>();
    let lines = 0;
    const end = performance.now() + SHORT_SECONDS * 1_000;
    while (performance.now() < end) {
      await live(
        random,
        () => (random.chance(0.8) ? random.text() : random.pick(usual)),
        found,
        (line) => {
          lines += 1;
          expect(line).toMatch(/^[\x20-\x7e]+$/);
        },
      );
    }
    console.log(`fuzz: ${lines} lines of ${found.size} structures, ${known.size} are known`);
    expect([...found].filter((structure) => !known.has(structure))).toEqual([]);
    expect(found.size).toBeGreaterThan(5);
  },
  SHORT_SECONDS * 1_000 + 60_000,
);
