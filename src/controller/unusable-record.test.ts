import { describe, expect, test } from "bun:test";
import { createVolume, outcome, useStack } from "../../test/support/own-stack.ts";
import { BLOCK, MIB, type Stack } from "../../test/support/rds-stack.ts";
import type { VolumeId } from "../domain/volume-id.ts";

const start = useStack();

const create = (on: Stack) => createVolume(on);

/** A volume that is attached to node-a, whose comment somebody has changed since. */
async function damaged(
  comment: (before: string) => string,
  over: { exported?: boolean; clusterId?: string } = {},
) {
  const on = await start(over.clusterId === undefined ? {} : { clusterId: over.clusterId });
  const { id } = await create(on);
  await on.attachments.publish({
    volumeId: id,
    nodeId: "node-a",
    capability: BLOCK,
    readonly: false,
    signal: on.signal,
  });
  const disk = () => {
    const found = on.simulator.device.disks.find(({ slot }) => slot === id);
    if (found === undefined) throw new Error("the disk is gone");
    return found;
  };
  await on.simulator.device.setDisk(id, {
    comment: comment(disk().comment),
    ...(over.exported === false ? { "nvme-tcp-export": false } : {}),
  });
  return { on, id, disk, before: structuredClone(disk()) };
}

/** Every call that is about one volume. */
const calls = (on: Stack, id: VolumeId) => ({
  ControllerPublishVolume: outcome(
    on.attachments.publish({
      volumeId: id,
      nodeId: "node-b",
      capability: BLOCK,
      readonly: false,
      signal: on.signal,
    }),
  ),
  "ControllerUnpublishVolume of its node": outcome(on.attachments.unpublish(id, "node-a", on.signal)),
  "ControllerUnpublishVolume of every node": outcome(on.attachments.unpublish(id, "", on.signal)),
  DeleteVolume: outcome(on.volumes.delete(id, on.signal)),
  ValidateVolumeCapabilities: outcome(on.volumes.validate(id, { capabilities: [BLOCK] }, on.signal)),
  ControllerModifyVolume: outcome(
    on.modifications.modify({ volumeId: id, mutableParameters: { queueSize: "64" }, signal: on.signal }),
  ),
  ControllerExpandVolume: outcome(
    on.expansions.expand({
      volumeId: id,
      range: { requiredBytes: 2n * MIB, limitBytes: 0n },
      capability: BLOCK,
      signal: on.signal,
    }),
  ),
});

async function answers(on: Stack, id: VolumeId): Promise<Record<string, string>> {
  const entries: [string, string][] = [];
  for (const [call, answer] of Object.entries(calls(on, id))) entries.push([call, await answer]);
  return Object.fromEntries(entries);
}

describe("a record that cannot be used is not an absent volume", () => {
  for (const [what, comment, reason] of [
    [
      "cut off",
      (before: string) => before.replace(/;t=.*/, ""),
      "its record cannot be read: field t is missing",
    ],
    [
      "of a newer driver",
      (before: string) => before.replace("rds1;", "rds3;"),
      "its record cannot be read: record version 3 is newer than this driver",
    ],
    ["emptied", () => "", "its comment holds no record of this driver"],
  ] as const) {
    for (const controller of ["that remembers it", "that was just started"] as const) {
      test(`${what}: a controller ${controller} refuses every call, names the problem, and changes nothing`, async () => {
        const { on, id, disk, before } = await damaged(comment);
        const there = controller === "that remembers it" ? on : { ...on, ...on.controller() };
        const expected =
          what === "emptied"
            ? `FAILED_PRECONDITION: disk ${id} on the RDS is not managed by this driver: ${reason}`
            : `FAILED_PRECONDITION: the record of volume ${id} on the RDS cannot be used: ${reason}`;
        const found = await answers(there, id);
        expect(found).toEqual(Object.fromEntries(Object.keys(found).map((call) => [call, expected])));
        expect(disk()).toEqual(before);
      });
    }
  }

  test("CreateVolume of the same name says so too, instead of asking for its deletion", async () => {
    const { on, id } = await damaged((before) => before.replace(/;t=.*/, ""));
    expect(await outcome(create(on))).toBe(
      `FAILED_PRECONDITION: the record of volume ${id} on the RDS cannot be used: its record cannot be read: field t is missing`,
    );
  });

  test("also where it is not exported: nobody knows whether a node is to have it", async () => {
    const { on, id } = await damaged((before) => before.replace(/;t=.*/, ""), { exported: false });
    expect(await outcome(on.attachments.unpublish(id, "node-a", on.signal))).toStartWith(
      "FAILED_PRECONDITION: ",
    );
  });

  test("a record of the former id default is refused, with the way to go on, where the cluster's UID is the id", async () => {
    const clusterId = "5ae2a2d8-3f0c-4d0c-9a7e-1f3d0c2b9a01";
    const { on, id, disk, before } = await damaged(
      (comment) => comment.replace(`;c=${clusterId};`, ";c=default;"),
      { clusterId },
    );
    const expected = `FAILED_PRECONDITION: the record of volume ${id} on the RDS cannot be used: it belongs to cluster default, and this one is ${clusterId}; if this installation made it, set cluster-id: default for controller and nodes`;
    const found = await answers(on, id);
    expect(found).toEqual(Object.fromEntries(Object.keys(found).map((call) => [call, expected])));
    expect(await outcome(create(on))).toBe(expected);
    expect(disk()).toEqual(before);
  });

  test("a disk without any record that is not exported is detached", async () => {
    const { on, id } = await damaged(() => "", { exported: false });
    expect(await outcome(on.controller().attachments.unpublish(id, "node-a", on.signal))).toBe("OK");
  });

  test("a readable record of another cluster is passed over: detached for us, and not found", async () => {
    const { on, id, disk, before } = await damaged((comment) => comment.replace(";c=test;", ";c=other;"));
    const notFound = `NOT_FOUND: volume ${id} does not exist on the RDS`;
    expect(await answers(on, id)).toEqual({
      ControllerPublishVolume: notFound,
      "ControllerUnpublishVolume of its node": "OK",
      "ControllerUnpublishVolume of every node": "OK",
      DeleteVolume: `FAILED_PRECONDITION: disk ${id} on the RDS is not managed by this driver: it belongs to cluster other`,
      ValidateVolumeCapabilities: notFound,
      ControllerModifyVolume: notFound,
      ControllerExpandVolume: notFound,
    });
    expect(disk()).toEqual(before);
  });
});
