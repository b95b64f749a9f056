import { afterEach, describe, expect, test } from "bun:test";
import { readPage, rowsBelow } from "./page.fixture.ts";
import { reasonsOf, VOLUME, World } from "./scenarios.fixture.ts";

const page = await readPage("fencing.md");

/** What the page promises and what it warns of. Should one of these become untrue, the page must change with it. */
describe("docs/fencing.md is true", () => {
  const opened: World[] = [];
  const start = async (options?: Parameters<typeof World.start>[0]) => {
    const world = await World.start(options);
    opened.push(world);
    return world;
  };
  afterEach(async () => {
    for (const world of opened.splice(0)) await world.stack.close();
  });

  const fenced = async (options: Parameters<typeof World.start>[0]) => {
    const world = await start(options);
    const { device } = world.stack.simulator;
    const source = await world.publish("node-a");
    const target = await world.publish("node-b");
    const connects = () => ({
      source: device.connectHost(source.nqn, source.hostNqn),
      target: device.connectHost(target.nqn, target.hostNqn),
    });
    const both = connects();
    await world.unpublish("node-a");
    const one = connects();
    await world.unpublish("node-b");
    const none = connects();
    const later = await world.publish("node-c");
    const after = connects();
    return { both, one, none, after, newNqn: later.nqn !== source.nqn };
  };
  const no = { source: false, target: false };
  const yes = { source: true, target: true };
  const targetOnly = { source: false, target: true };

  test("the marks of the table say whether the node that was detached is kept out", async () => {
    const rows = rowsBelow(page, "## What keeps a node out");
    for (const [column, fencing] of (["epoch", "epoch+hosts", "off"] as const).entries()) {
      const { both, one, none, after } = await fenced({ fencing });
      // In the order of the rows: the last node detached, another one attached later, two nodes, one of two detached.
      const keptOut = [none, after, both, one].map(({ source }) => !source);
      const marks = rows.map((cells) => cells[column + 1]?.[0]);
      expect([fencing, ...marks]).toEqual([fencing, ...keptOut.map((kept) => (kept ? "✓" : "✗"))]);
    }
  });

  test("epoch keeps the detached one of two out only once nobody has the volume", async () => {
    expect(await fenced({})).toEqual({ both: yes, one: yes, none: no, after: no, newNqn: true });
  });
  for (const allowHostName of ["comma-list", "exact"] as const) {
    test(`epoch+hosts does at once, and locks nobody out meanwhile, where RouterOS reads ${allowHostName}`, async () => {
      expect(await fenced({ fencing: "epoch+hosts", switches: { allowHostName } })).toEqual({
        both: yes,
        one: targetOnly,
        none: no,
        after: no,
        newNqn: true,
      });
    });
  }
  test("epoch+hosts: the list names the only node, and is empty while there are two", async () => {
    const world = await start({ fencing: "epoch+hosts" });
    const allowed = async () => {
      const found = await world.stack.rds.find(VOLUME, world.stack.signal);
      return found?.kind === "volume" ? found.volume.disk.allowHost : undefined;
    };
    const source = await world.publish("node-a");
    expect(await allowed()).toBe(source.hostNqn);
    const target = await world.publish("node-b");
    expect(await allowed()).toBe("");
    await world.unpublish("node-a");
    expect(await allowed()).toBe(target.hostNqn);
  });
  test("off: the old node may reconnect", async () => {
    expect(await fenced({ fencing: "off" })).toEqual({
      both: yes,
      one: yes,
      none: no,
      after: yes,
      newNqn: false,
    });
  });

  /** The node of the source, its VolumeAttachment and its pod disappear, and the reconcile loop looks. */
  const lose = async (world: World) => {
    const connect = ({ nqn, hostNqn }: { nqn: string; hostNqn: string }) =>
      world.stack.simulator.device.connectHost(nqn, hostNqn);
    const source = await world.publish("node-a");
    return {
      reconnects: () => connect(source),
      now: async () => {
        world.at(61);
        world.cluster.nodeNames.delete("node-a");
        await world.reconcile(true);
      },
    };
  };

  test("a lost node of two: cleared but not called fenced; under epoch it may reconnect until the last leaves", async () => {
    for (const fencing of ["epoch", "epoch+hosts"] as const) {
      const world = await start({ fencing });
      const lost = await lose(world);
      await world.publish("node-b");
      world.cluster.addAttachment(VOLUME, "node-b");
      await lost.now();
      expect(reasonsOf(world)).toEqual(["MigrationStarted", "StaleAttachmentCleared", "MigrationCompleted"]);
      expect(lost.reconnects()).toBe(fencing === "epoch");
      await world.unpublish("node-b");
      expect(lost.reconnects()).toBe(false);
      await world.publish("node-b");
      expect(lost.reconnects()).toBe(false);
    }
  });

  test("the only node is lost: VolumeFenced, and that is true; without fencing it says so", async () => {
    for (const fencing of ["epoch", "off"] as const) {
      const world = await start({ fencing });
      const lost = await lose(world);
      await lost.now();
      expect(reasonsOf(world)).toEqual(["StaleAttachmentCleared", "VolumeFenced"]);
      expect(world.events().at(-1)).toEndWith(
        fencing === "off"
          ? "fencing is off, so it may connect again if it returns"
          : "if it returns, it finds nothing under its old NQN",
      );
      expect(lost.reconnects()).toBe(false);
      await world.publish("node-b");
      expect(lost.reconnects()).toBe(fencing === "off");
    }
  });
});
