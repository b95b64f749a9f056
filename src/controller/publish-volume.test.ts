import { describe, expect, test } from "bun:test";
import { outcome, useStack } from "../../test/support/own-stack.ts";
import { MOUNT } from "../../test/support/rds-stack.ts";
import { encodePublishContext } from "../domain/publish-context.ts";
import { create, ID, publish } from "./calls.fixture.ts";

const start = useStack();

describe("ControllerPublishVolume and Unpublish", () => {
  test("each attach gets a new NQN, the old one is gone from the RDS", async () => {
    const on = await start();
    await create(on);
    const first = await publish(on, ID, "node-a");
    expect(await publish(on, ID, "node-a")).toEqual(first);
    await on.attachments.unpublish(ID, "node-a", on.signal);
    expect(on.simulator.device.disks[0]?.exported).toBe(false);
    const second = await publish(on, ID, "node-b", { capability: MOUNT });
    expect([first.nqn, second.nqn]).toEqual([
      expect.stringMatching(new RegExp(`:${ID}\\.1-[0-9a-f]{8}$`)),
      expect.stringMatching(new RegExp(`:${ID}\\.2-[0-9a-f]{8}$`)),
    ]);
    expect([first.filesystemState, second.filesystemState]).toEqual(["new", "used"]);
    expect(on.simulator.device.disks[0]?.nqn).toBe(second.nqn);
  });

  test("other node, other flags, deleted while attached", async () => {
    const on = await start();
    await create(on);
    await publish(on, ID, "node-a");
    expect(await outcome(publish(on, ID, "node-b"))).toBe(
      `FAILED_PRECONDITION: volume ${ID} is attached to node node-a and its access mode allows a single node`,
    );
    expect(await outcome(publish(on, ID, "node-a", { readonly: true }))).toBe(
      `ALREADY_EXISTS: volume ${ID} is already attached to node node-a: readonly is false, asked for true`,
    );
    expect(await outcome(on.volumes.delete(ID, on.signal))).toBe(
      `FAILED_PRECONDITION: volume ${ID} is still attached to node-a`,
    );
    expect(await outcome(on.attachments.unpublish(ID, "node-b", on.signal))).toBe("OK");
    expect(on.simulator.device.disks[0]?.exported).toBe(true);
  });

  test("attached read-only: the context says so to the node, as each repeat does; else it does not", async () => {
    const on = await start();
    await create(on);
    const context = await publish(on, ID, "node-a", { readonly: true });
    expect(encodePublishContext(context)).toMatchObject({ readonly: "true" });
    expect(await publish(on.controller(), ID, "node-a", { readonly: true })).toEqual(context);
    await on.attachments.unpublish(ID, "node-a", on.signal);
    expect(encodePublishContext(await publish(on, ID, "node-a"))).not.toHaveProperty("readonly");
  });

  test("two controllers at once: one node wins, the other is refused, and the record says so", async () => {
    const on = await start({ latencyMs: 5 });
    const other = on.controller();
    for (let round = 1; round <= 10; round++) {
      const name = `race-${round}`;
      const { id } = await create(on, { name });
      await other.rds.find(id, on.signal);
      const results = await Promise.all([
        outcome(publish(on, id, "node-a")),
        outcome(publish(other, id, "node-b")),
      ]);
      expect(results.filter((result) => result === "OK")).toHaveLength(1);
      expect(results.find((result) => result !== "OK")).toStartWith("FAILED_PRECONDITION: ");
      const winner = results[0] === "OK" ? "node-a" : "node-b";
      expect((await on.volumes.getVolume(id, on.signal)).nodes).toEqual([winner]);
    }
  });

  test("a controller whose memory is stale decides on what is there", async () => {
    const on = await start();
    const other = on.controller();
    await create(on);
    await publish(other, ID, "node-a");
    expect(await outcome(publish(on, ID, "node-b"))).toStartWith("FAILED_PRECONDITION: ");
    await other.attachments.unpublish(ID, "node-a", on.signal);
    expect(await outcome(publish(on, ID, "node-b"))).toBe("OK");
    expect(await outcome(other.attachments.unpublish(ID, "node-b", on.signal))).toBe("OK");
    expect(on.simulator.device.disks[0]?.exported).toBe(false);
  });

  test("a node's limit of volumes counts attachments on the RDS, and costs a command only where it is set", async () => {
    const on = await start({ maxVolumesPerNode: 2 });
    const make = async (name: string) => (await create(on, { name })).id;
    const [first, second, third] = [await make("a"), await make("b"), await make("c")];
    for (const id of [first, second]) await publish(on, id, "node-a");
    expect(await outcome(publish(on, third, "node-a"))).toBe(
      "RESOURCE_EXHAUSTED: node node-a has 2 volumes already, the limit of --max-volumes-per-node",
    );
    expect(await outcome(publish(on, first, "node-a"))).toBe("OK");
    expect(await outcome(publish(on, third, "node-b"))).toBe("OK");
  });

  test("a volume whose pool is offline stays listed with its nodes, and is not attached anew", async () => {
    const on = await start();
    await create(on);
    await publish(on, ID, "node-a");
    await on.simulator.device.setPool("storage-pool", { mounted: false });
    expect((await on.volumes.list(on.signal)).entries).toEqual([
      {
        id: ID,
        sizeBytes: 0n,
        nodes: ["node-a"],
        source: undefined,
        health: [expect.objectContaining({ reason: "PoolNotMounted" })],
      },
    ]);
    expect(await outcome(publish(on.controller(), ID, "node-a"))).toBe(
      `UNAVAILABLE: volume ${ID} has no block device on the RDS at present`,
    );
    expect(await outcome(on.attachments.unpublish(ID, "node-a", on.signal))).toBe("OK");
  });

  test("fencing by allowed hosts, where it is on", async () => {
    const on = await start({ fencing: "epoch+hosts" });
    await create(on);
    const { hostNqn } = await publish(on, ID, "node-a");
    expect(on.simulator.device.disks[0]?.allowHostName).toBe(hostNqn);
  });

  test("an export that someone switched off by hand is restored by the next call, under the same NQN", async () => {
    const on = await start();
    await create(on);
    const context = await publish(on, ID, "node-a");
    await on.transport.exec(`/disk/set [/disk/find where slot="${ID}"] nvme-tcp-export=no`, {
      signal: on.signal,
      timeoutMs: 5_000,
      purpose: "change",
    });
    expect(await publish(on, ID, "node-a")).toEqual(context);
    expect(on.simulator.device.disks[0]?.exported).toBe(true);
  });
});
