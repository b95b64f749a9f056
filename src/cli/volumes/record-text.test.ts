import { expect, test } from "bun:test";
import { createVolume, useStack } from "../../../test/support/own-stack.ts";
import { BLOCK, MIB } from "../../../test/support/rds-stack.ts";
import { known, notAsked } from "../../inspect/fact.ts";
import { requireVolume } from "../../rds/volume.ts";
import { recordDocument, recordText } from "./record-text.ts";

const start = useStack();

test("a node that keeps other settings than the volume's by now: which, until its detach", async () => {
  const on = await start();
  const { id } = await createVolume(on);
  const call = { volumeId: id, signal: on.signal };
  await on.attachments.publish({ ...call, nodeId: "node-a", capability: BLOCK, readonly: false });
  const lines = async () => {
    const found = requireVolume(id, await on.rds.find(id, on.signal));
    const text = recordText({ found, copy: notAsked("no cluster") }, false).split("\n");
    return text.filter((line) => /^ +(attached|settings)/.test(line));
  };
  const [before] = await lines();
  await on.modifications.modify({ ...call, mutableParameters: { keepAliveTmo: "9", queueSize: "64" } });
  const [attached, settings] = await lines();
  expect(attached).toBe(`${before}, until its detach keepAliveTmo=5, until its detach queueSize=0`);
  expect(settings).toContain("keepAliveTmo=9");
  await on.attachments.unpublish(id, "node-a", on.signal);
  expect((await lines()).join()).not.toContain("until its detach");
});

test("a clone: its source, layout and size, in words and as JSON", async () => {
  const on = await start();
  const { id } = await createVolume(on);
  const clone = await createVolume(on, {
    name: "pvc-2",
    required: 4n * MIB,
    source: { kind: "volume", id },
  });
  const found = requireVolume(clone.id, await on.rds.find(clone.id, on.signal));
  const shown = { found, copy: known(undefined) };
  const text = recordText(shown, true);
  expect(text).toMatch(new RegExp(`source +${id}\n.*layout +subvolume\n`));
  expect(JSON.parse(JSON.stringify(recordDocument(shown))).record).toMatchObject({
    source: id,
    layout: "subvolume",
    wantedBytes: 4 * Number(MIB),
  });
});
