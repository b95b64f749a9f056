import { afterEach, describe, expect, test } from "bun:test";
import { setTimeout } from "node:timers/promises";
import { fastClock } from "../../test/support/clock.ts";
import { FILE_LAYOUTS, fileOf, stored } from "../../test/support/file-layouts.ts";
import { createVolume, untilDone } from "../../test/support/own-stack.ts";
import {
  BLOCK,
  type ControllerStack,
  MIB,
  type Stack,
  type StackOptions,
  startStack,
} from "../../test/support/rds-stack.ts";
import type { Capability } from "../domain/access-mode.ts";
import { DriverError } from "../domain/errors/driver-error.ts";
import { hostIdentity } from "../domain/host-identity.ts";
import type { PublishContext } from "../domain/publish-context.ts";
import { decodeRecord } from "../domain/record/record-codec.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";

/** Lines that RouterOS holds at one place and runs on later, one by one. */
const ID = volumeIdFromName("held");
const RWX: Capability = { ...BLOCK, accessMode: "MULTI_NODE_MULTI_WRITER" };
/** Boundaries of a line that begins with one `set`: before the envelope, before the `set`, behind the find in its argument. */
const BEFORE_SET = 2;
const BEHIND_FIND = 3;
/** More boundaries than a line of an expansion has. */
const MORE_THAN_ALL = 18;

const stacks: Stack[] = [];
afterEach(async () => {
  for (const stack of stacks.splice(0)) {
    stack.simulator.faults.clear();
    await stack.close();
  }
});

async function start(
  capability: Capability,
  { layout = "auto", ...options }: StackOptions & { readonly layout?: string } = {},
): Promise<Stack> {
  const on = await startStack({
    ...options,
    switches: {
      // These hosts stay connected over a detach, which a device that is busy with them refuses.
      ...{ interleaving: "arguments", renamedExport: "stays", connectedHosts: "dropped" },
      ...options.switches,
    },
  });
  stacks.push(on);
  await create(on, capability, { layout });
  return on;
}

const create = (on: Stack, capability: Capability = BLOCK, parameters: Record<string, string> = {}) =>
  createVolume(on, { name: "held", capabilities: [capability], parameters });

function publish(
  on: ControllerStack,
  nodeId: string,
  capability: Capability = BLOCK,
  signal = new AbortController().signal,
): Promise<PublishContext> {
  return on.attachments.publish({ volumeId: ID, nodeId, capability, readonly: false, signal });
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await setTimeout(1);
}

/** Calls until the line of the call hangs; then the caller gives up and the process dies. */
async function held(
  on: Stack,
  boundary: number,
  line: RegExp,
  call: (controller: ControllerStack, signal: AbortSignal) => Promise<unknown>,
): Promise<void> {
  const { faults } = on.simulator;
  const controller = on.controller();
  const abort = new AbortController();
  const before = faults.hanging;
  faults.hangMidway(boundary, { line });
  const ended = call(controller, abort.signal).then(
    () => "answered",
    () => "given up",
  );
  await until(() => faults.hanging > before);
  abort.abort(new Error("the caller gave up"));
  expect(await ended).toBe("given up");
  await controller.transport.close();
}

/** Lets the lines run on to their end. */
async function release(on: Stack): Promise<void> {
  on.simulator.faults.release();
  await until(() => on.simulator.commands.every(({ finishedAt }) => finishedAt !== undefined));
}

const hostOf = (node: string): string => hostIdentity("test", node).hostNqn;
const connect = (on: Stack, { nqn }: PublishContext, node: string): boolean =>
  on.simulator.device.connectHost(nqn, hostOf(node));

function recorded(on: Stack): string[] {
  const decoded = decodeRecord(on.simulator.device.disk(ID)?.comment ?? "");
  return decoded.kind === "record" ? decoded.record.attachments.map(({ node }) => node) : [];
}

describe("a line held between its find and its set", () => {
  test("RWO: the late writer takes the export away from the first one, and shares it with nobody", async () => {
    const on = await start(BLOCK);
    const { hosts } = on.simulator.device;
    await held(on, BEHIND_FIND, /\/disk\/set/, (controller, signal) =>
      publish(controller, "node-a", BLOCK, signal),
    );
    const first = await publish(on, "node-b");
    expect(connect(on, first, "node-b")).toBe(true);
    await release(on);
    expect(hosts.connected(first.nqn)).toEqual([]);
    const late = await publish(on.controller(), "node-a");
    expect(late.nqn).not.toBe(first.nqn);
    expect([connect(on, late, "node-a"), connect(on, first, "node-b")]).toEqual([true, false]);
  });

  test("RWO: no set of an expansion with re-export, run late, lets two hosts connect, wherever it was held", async () => {
    /** @returns whether the line has that boundary */
    async function heldAt(boundary: number): Promise<boolean> {
      const on = await start(BLOCK, { online: "re-export" });
      const { faults, device } = on.simulator;
      const first = await publish(on, "node-a");
      expect(connect(on, first, "node-a")).toBe(true);
      const controller = on.controller();
      const range = { requiredBytes: 2n * MIB, limitBytes: 0n };
      const rule = faults.hangMidway(boundary, { line: /file-size/ });
      const expansion = controller.expansions
        .expand({ volumeId: ID, range, capability: BLOCK, signal: on.signal })
        .catch((error: unknown) => error);
      let ended = false;
      void expansion.finally(() => {
        ended = true;
      });
      await until(() => ended || faults.hanging > 0);
      rule.remove();
      if (ended) return false;
      // node-a is gone without disconnecting; its kernel keeps on trying.
      await on.attachments.unpublish(ID, "node-a", on.signal);
      const second = await publish(on, "node-b");
      expect(connect(on, second, "node-b")).toBe(true);
      await release(on);
      connect(on, first, "node-a");
      connect(on, second, "node-b");
      const connected = [first, second].flatMap(({ nqn }) => device.hosts.connected(nqn));
      expect([boundary, connected.length < 2]).toEqual([boundary, true]);
      return true;
    }
    // Beside each other, as each takes the real seconds of a re-export's pause.
    const boundaries = Array.from({ length: MORE_THAN_ALL - BEFORE_SET + 1 }, (_, at) => BEFORE_SET + at);
    const were = await Promise.all(boundaries.map(heldAt));
    const last = boundaries[were.lastIndexOf(true)] ?? 0;
    // The line was held at each of its boundaries, behind the find of its last set too.
    expect(last).toBeGreaterThan(11);
    expect(last).toBeLessThan(MORE_THAN_ALL);
    expect(were.slice(0, last - 1)).not.toContain(false);
  });

  test("RWX: a second node is refused whose record was overwritten before it was confirmed", async () => {
    const on = await start(RWX);
    const source = await publish(on, "node-a", RWX);
    const { faults } = on.simulator;
    const other = on.controller();
    await other.rds.version(on.signal);
    faults.hangMidway(BEHIND_FIND, { line: /\/disk\/set/ });
    const late = publish(other, "node-c", RWX);
    await until(() => faults.hanging === 1);
    // The read that confirms waits until the late set has run.
    faults.hang({ line: /^(?!.*\/disk\/set).*\/disk\/print/ });
    const overtaken = publish(on, "node-b", RWX);
    await until(() => faults.hanging === 2);
    faults.release(1);
    await until(() => recorded(on).includes("node-c"));
    faults.release();
    await expect(overtaken).rejects.toMatchObject({ id: "thirdNode" });
    expect((await late).nqn).toBe(source.nqn);
    expect(recorded(on)).toEqual(["node-a", "node-c"]);
  });
});

describe("a line that waits on the RDS and runs after its caller was answered otherwise", () => {
  test("an attach does not come back after the detach that found nothing", async () => {
    const on = await start(BLOCK);
    await held(on, BEFORE_SET, /\/disk\/set/, (controller, signal) =>
      publish(controller, "node-a", BLOCK, signal),
    );
    await on.attachments.unpublish(ID, "node-a", on.signal);
    await release(on);
    expect(recorded(on)).toEqual([]);
    await on.volumes.delete(ID, on.signal);
    expect(on.simulator.device.disk(ID)).toBeUndefined();
  });

  test("RWX: a second attach does not come back after the migration that it was for was repeated and given up", async () => {
    const on = await start(RWX);
    await publish(on, "node-a", RWX);
    await held(on, BEFORE_SET, /\/disk\/set/, (controller, signal) =>
      publish(controller, "node-b", RWX, signal),
    );
    const other = on.controller();
    await publish(other, "node-b", RWX);
    await other.attachments.unpublish(ID, "node-b", on.signal);
    // The end has been reported and has left the record.
    await other.attachments.settled();
    await release(on);
    expect(recorded(on)).toEqual(["node-a"]);
  });

  test("a detach does not end the attachment that a later publish found in place", async () => {
    const on = await start(BLOCK);
    const context = await publish(on, "node-a");
    await held(on, BEFORE_SET, /\/disk\/set/, (controller, signal) =>
      controller.attachments.unpublish(ID, "node-a", signal),
    );
    expect(await publish(on.controller(), "node-a")).toEqual(context);
    await release(on);
    expect(recorded(on)).toEqual(["node-a"]);
    expect(connect(on, context, "node-a")).toBe(true);
  });

  for (const layout of FILE_LAYOUTS) {
    test(`a removal does not take away the volume that a later CreateVolume found in place, layout ${layout}`, async () => {
      const on = await start(BLOCK, { layout });
      await held(on, BEFORE_SET, /\/disk\/remove/, (controller, signal) =>
        controller.volumes.delete(ID, signal),
      );
      const before = stored(on.simulator);
      await create(on, BLOCK, { layout });
      await release(on);
      expect(on.simulator.device.disk(ID)).toBeDefined();
      expect(stored(on.simulator)).toEqual(before);
    });

    test(`a removal that was held anywhere between two statements leaves the file that a later CreateVolume made, layout ${layout}`, async () => {
      let reached = 0;
      for (let boundary = 1; ; boundary++) {
        const clock = fastClock(20);
        const switches = { interleaving: "statements" } as const;
        const on = await start(BLOCK, { layout, switches, clock, simulatorClock: clock });
        const { faults, device, commands } = on.simulator;
        const controller = on.controller();
        const abort = new AbortController();
        const rule = faults.hangMidway(boundary, { line: /\/disk\/remove/ });
        let ended = false;
        const removal = controller.volumes
          .delete(ID, abort.signal)
          .catch(() => {})
          .finally(() => {
            ended = true;
          });
        await until(() => ended || faults.hanging > 0);
        rule.remove();
        if (ended) break;
        reached = boundary;
        abort.abort(new Error("the caller gave up"));
        await removal;
        await controller.transport.close();
        // The name of a subvolume that was just removed may be taken for a while.
        await untilDone(() => create(on, BLOCK, { layout }));
        await device.writeFile(fileOf(ID, layout), 0n, "new");
        await publish(on, "node-a");
        const before = stored(on.simulator);
        faults.release();
        await until(() => commands.every(({ finishedAt }) => finishedAt !== undefined));
        expect({ boundary, item: device.disk(ID) !== undefined, all: stored(on.simulator) }).toEqual({
          boundary,
          item: true,
          all: before,
        });
        const content = await device.readFile(fileOf(ID, layout), 0n, 3);
        expect(Buffer.from(content).toString()).toBe("new");
        await on.close();
      }
      expect(reached).toBeGreaterThan(8);
    });
  }
});

describe("settings that changed since the attach", () => {
  for (const [what, before, after] of [
    ["another prefix", {}, { nqnPrefix: "nqn.2026-01.org.example" }],
    ["another port", {}, { nvmePort: 4421 }],
    ["fencing off to epoch", { fencing: "off" }, { fencing: "epoch" }],
    ["fencing epoch to off", { fencing: "epoch" }, { fencing: "off" }],
    ["fencing epoch to epoch+hosts", { fencing: "epoch" }, { fencing: "epoch+hosts" }],
  ] as const) {
    test(`${what}: the running export keeps its name, for the same node and for the second one of a migration`, async () => {
      const on = await start(RWX, before);
      const source = await publish(on, "node-a", RWX);
      expect(connect(on, source, "node-a")).toBe(true);
      const { dropped } = on.simulator.device.hosts;
      const changed = on.controller({ ...before, ...after });
      expect(await publish(changed, "node-a", RWX)).toEqual(source);
      const target = await publish(changed, "node-b", RWX);
      expect([target.nqn, target.port]).toEqual([source.nqn, source.port]);
      expect(connect(on, target, "node-b")).toBe(true);
      expect(on.simulator.device.hosts.dropped).toBe(dropped);
      await changed.attachments.unpublish(ID, "node-a", on.signal);
      await changed.attachments.unpublish(ID, "node-b", on.signal);
      expect((await publish(changed, "node-a", RWX)).nqn).not.toBe(source.nqn);
    });
  }

  test("epoch+hosts back to epoch: the next node may connect, on a fresh attach and as the second one", async () => {
    const on = await start(RWX, { fencing: "epoch+hosts" });
    const source = await publish(on, "node-a", RWX);
    const changed = on.controller({ fencing: "epoch" });
    const target = await publish(changed, "node-b", RWX);
    expect([connect(on, source, "node-a"), connect(on, target, "node-b")]).toEqual([true, true]);
    await changed.attachments.unpublish(ID, "", on.signal);
    const single = await publish(on.controller({ fencing: "epoch+hosts" }), "node-a", RWX);
    expect(connect(on, single, "node-b")).toBe(false);
    await changed.attachments.unpublish(ID, "node-a", on.signal);
    const next = await publish(changed, "node-b", RWX);
    expect(connect(on, next, "node-b")).toBe(true);
  });
});

test.each([/slot~"\^\(csi\|pvc\)-"/, /resource\/get version/])(
  "an attach waits for no read of another call, on a device that runs one channel of a connection at a time: %p",
  async (line) => {
    const on = await start(RWX, { switches: { parallelChannels: "second-blocks" } });
    const { faults } = on.simulator;
    const source = await publish(on, "node-a", RWX);
    const other = on.controller();
    // The version that a list needs hangs, or the list itself.
    faults.hang({ line });
    const list = other.rds.list(on.signal);
    await until(() => faults.hanging === 1);
    // It reads the volume, which this controller does not know, and confirms the second node.
    expect((await publish(other, "node-b", RWX)).nqn).toBe(source.nqn);
    await other.attachments.unpublish(ID, "node-a", on.signal);
    expect([faults.hanging, recorded(on)]).toEqual([1, ["node-b"]]);
    faults.release();
    expect((await list).volumes).toHaveLength(1);
  },
);

test("a volume whose pool is mounted late after a restart is handed out with its size, or not at all", async () => {
  const on = await start(BLOCK, { switches: { mountDelayMs: 500 } });
  // The record that this process remembers is of before the restart.
  await on.rds.find(ID, on.signal);
  const restarted = on.simulator.reboot();
  const refusals = new Set<string>();
  let context: PublishContext | undefined;
  while (context === undefined) {
    context = await publish(on, "node-a").catch((error: unknown) => {
      refusals.add(error instanceof DriverError ? error.id : String(error));
      return undefined;
    });
  }
  await restarted;
  expect(context.sizeBytes).toBe(MIB);
  expect([...refusals]).toContain("volumeNotReady");
});
