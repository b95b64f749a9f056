import { describe, expect, test } from "bun:test";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { createVolume } from "../../test/support/own-stack.ts";
import { BLOCK, type ControllerStack, type Stack, startStack } from "../../test/support/rds-stack.ts";
import type { Capability } from "../domain/access-mode.ts";
import { DriverError } from "../domain/errors/driver-error.ts";
import { hostIdentity } from "../domain/host-identity.ts";
import { decodeRecord } from "../domain/record/record-codec.ts";
import { DEFAULT_SETTINGS, type VolumeRecord } from "../domain/record/volume-record.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import type { Switches } from "../simulator/switches.ts";

/**
 * Two controllers, calls at the same time, changes of the settings among them, lines that RouterOS interleaves, lines that
 * hang in the middle and run on much later, lost replies and crashes. The invariants are about hosts: each host connects whenever the RDS lets it, under every
 * NQN that it was ever given, and stays connected until the RDS ends the connection.
 *
 * RDS_CSI_MODEL_STEPS sets the number of batches in all, RDS_CSI_TEST_SEED the cases.
 */
const RUNS = Math.ceil(Number(process.env.RDS_CSI_MODEL_STEPS ?? 1_200) / 40);

const ID = volumeIdFromName("contested");
const RWX: Capability = { ...BLOCK, accessMode: "MULTI_NODE_MULTI_WRITER" };
const NODES = ["node-a", "node-b", "node-c"] as const;
type NodeName = (typeof NODES)[number];
const hostOf = (node: NodeName): string => hostIdentity("test", node).hostNqn;

/** The controller that is called. */
const which = fc.constantFrom(0, 1);
/** The boundary before which the line of a call hangs; 0: it does not. */
const hang = fc.constantFrom<number>(0, 0, 0, 0, 0, 1, 2, 3, 3);
const act = fc.record({
  do: fc.constantFrom("publish" as const, "publish" as const, "unpublish" as const),
  which,
  hang,
  /** The node goes without disconnecting; its kernel keeps on trying. */
  forced: fc.boolean(),
});
const batch = fc.record({
  /** One per node: Kubernetes has one operation of a VolumeAttachment at a time. */
  acts: fc.tuple(fc.option(act), fc.option(act), fc.option(act)),
  modify: fc.oneof(
    { weight: 4, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.record({ which, hang, keepAliveTmo: fc.integer({ min: 1, max: 4 }) }) },
  ),
  fault: fc.constantFrom(
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    "cutBefore" as const,
    "cutAfter" as const,
  ),
  crash: fc.constantFrom(undefined, undefined, undefined, undefined, undefined, 0, 1),
  /** The lines that hang run on after this batch. */
  release: fc.constantFrom(true, false, false),
});
type Batch = typeof batch extends fc.Arbitrary<infer T> ? T : never;
type Modify = NonNullable<Batch["modify"]>;
type Act = typeof act extends fc.Arbitrary<infer T> ? T : never;

interface World {
  readonly capability: Capability;
  readonly interleaving: Switches["interleaving"];
  /** Whether a line may be held between a `find` and the command around it for as long as other commands take. */
  readonly heldArguments: boolean;
}

/** A call on its way. */
interface Running {
  readonly state: {
    ended: boolean;
    readonly late: boolean;
    readonly which: number;
    readonly abort: AbortController;
  };
  readonly done: Promise<void>;
}

class Contest {
  readonly stack: Stack;
  readonly world: World;
  readonly controllers: ControllerStack[];
  readonly limit: number;
  /** NQNs that each host was given and has not forgotten. */
  readonly #known = new Map<NodeName, Set<string>>();
  /** Nodes that hold the volume as far as Kubernetes knows. */
  readonly granted = new Set<NodeName>();
  /** Nodes whose detach was answered, and which nobody has tried to attach since. */
  readonly detached = new Set<NodeName>();
  readonly #nqns = new Set<string>();
  /** As the last change that was answered left it; undefined while one without an answer may have changed it since. */
  keepAliveTmo: number | undefined = DEFAULT_SETTINGS.keepAliveTmo;
  grants = 0;
  changes = 0;
  overlaps = 0;

  constructor(stack: Stack, world: World) {
    this.stack = stack;
    this.world = world;
    this.limit = world.capability === RWX ? 2 : 1;
    this.controllers = [stack.controller(), stack.controller()];
    const { device } = stack.simulator;
    const { exports } = device;
    const reconcile = exports.reconcile.bind(exports);
    exports.reconcile = async () => {
      const failures = await reconcile();
      this.#everybodyConnects();
      return failures;
    };
  }

  /** Who is connected now. */
  hosts(): ReadonlySet<string> {
    const { device } = this.stack.simulator;
    return new Set([...this.#nqns].flatMap((nqn) => device.hosts.connected(nqn)));
  }

  broken: string | undefined;

  #everybodyConnects(): void {
    const { device } = this.stack.simulator;
    for (const [node, nqns] of this.#known) {
      for (const nqn of nqns) device.connectHost(nqn, hostOf(node));
    }
    const hosts = this.hosts();
    if (hosts.size > this.limit) this.broken ??= `${[...hosts].join(" and ")} are connected`;
  }

  async run({ acts, modify, fault, crash, release }: Batch): Promise<void> {
    const { faults } = this.stack.simulator;
    if (fault !== undefined) faults.add({ kind: fault });
    const running = acts.flatMap((each, index) => {
      const node = NODES[index];
      return each === null || node === undefined || index > this.limit ? [] : [this.#start(each, node)];
    });
    if (modify !== null) running.push(this.#startModify(modify));
    if (running.length > 1) this.overlaps += 1;
    await this.#untilEnded(running);
    for (const rule of [...faults.rules]) rule.remove();
    // A process whose line hangs is stuck until its deadline; Kubernetes starts another one.
    const stuck = running.filter(({ state }) => state.abort.signal.aborted).map(({ state }) => state.which);
    for (const which of new Set([...stuck, ...(crash === undefined ? [] : [crash])]))
      await this.#replace(which);
    if (release) await this.release();
    expect(this.broken).toBeUndefined();
  }

  async #replace(which: number): Promise<void> {
    const old = this.controllers[which];
    this.controllers[which] = this.stack.controller();
    await old?.transport.close();
    await old?.attachments.close();
  }

  /** Lets every line that hangs run to its end. */
  async release(): Promise<void> {
    const { faults } = this.stack.simulator;
    faults.clear();
    while (this.stack.simulator.commands.some(({ finishedAt }) => finishedAt === undefined)) {
      faults.release();
      await setImmediate();
    }
  }

  #start({ do: verb, which, hang, forced }: Act, node: NodeName): Running {
    return this.#call(which, hang, (on, signal) =>
      verb === "publish" ? this.#publish(on, node, signal) : this.#unpublish(on, node, forced, signal),
    );
  }

  #startModify({ which, hang, keepAliveTmo }: Modify): Running {
    return this.#call(which, hang, async (on, signal) => {
      this.keepAliveTmo = undefined;
      const mutableParameters = { keepAliveTmo: String(keepAliveTmo) };
      await on.modifications.modify({ volumeId: ID, mutableParameters, signal });
      this.keepAliveTmo = keepAliveTmo;
      this.changes += 1;
    });
  }

  #call(
    which: number,
    hang: number,
    work: (on: ControllerStack, signal: AbortSignal) => Promise<void>,
  ): Running {
    const on = this.controllers[which];
    if (on === undefined) throw new Error("no controller");
    if (hang > 0) this.stack.simulator.faults.hangMidway(hang, { line: /\/disk\/set/ });
    const abort = new AbortController();
    const state = { ended: false, late: hang > 0, which, abort };
    const done = work(on, abort.signal)
      .catch((error: unknown) => {
        if (abort.signal.aborted) return;
        if (!(error instanceof DriverError) || ![14, 9, 10, 6, 1].includes(error.code)) throw error;
      })
      .finally(() => {
        state.ended = true;
      });
    return { state, done };
  }

  async #publish(on: ControllerStack, node: NodeName, signal: AbortSignal): Promise<void> {
    const { capability } = this.world;
    this.detached.delete(node);
    const request = { volumeId: ID, nodeId: node, capability, readonly: false, signal };
    const { nqn } = await on.attachments.publish(request);
    this.grants += 1;
    this.granted.add(node);
    this.#nqns.add(nqn);
    this.#known.set(node, (this.#known.get(node) ?? new Set()).add(nqn));
    this.#everybodyConnects();
  }

  /** A node that leaves in order disconnects first. Of two nodes none is forced: both know the same NQN. */
  async #unpublish(on: ControllerStack, node: NodeName, forced: boolean, signal: AbortSignal): Promise<void> {
    if (!forced || this.limit === 2) {
      for (const nqn of this.#known.get(node) ?? [])
        this.stack.simulator.device.disconnectHost(nqn, hostOf(node));
      this.#known.delete(node);
    }
    this.granted.delete(node);
    await on.attachments.unpublish(ID, node, signal);
    this.detached.add(node);
  }

  /** Waits for the calls; a call whose line hangs is given up by its caller. */
  async #untilEnded(running: readonly Running[]): Promise<void> {
    const { faults } = this.stack.simulator;
    while (running.some(({ state }) => !state.ended)) {
      if (faults.hanging > 0) {
        const open = running.filter(({ state }) => !state.ended);
        const late = open.filter(({ state }) => state.late && !state.abort.signal.aborted);
        for (const { state } of late.length > 0 ? late : open) state.abort.abort(new Error("given up"));
      }
      await setImmediate();
    }
    await Promise.all(running.map(({ done }) => done));
  }

  get record(): VolumeRecord {
    const decoded = decodeRecord(this.stack.simulator.device.disk(ID)?.comment ?? "");
    if (decoded.kind !== "record") throw new Error(`no record: ${JSON.stringify(decoded)}`);
    return decoded.record;
  }

  /** Nodes of the record. */
  recorded(): string[] {
    return this.record.attachments.map(({ node }) => node);
  }

  /** Everybody leaves, then the lines that still hang run on: nothing may come of them, and the volume can be deleted. */
  async finish(): Promise<void> {
    const [on] = this.controllers;
    if (on === undefined) throw new Error("no controller");
    const { faults } = this.stack.simulator;
    for (const rule of [...faults.rules]) rule.remove();
    for (const node of NODES) {
      for (let attempt = 1; ; attempt++) {
        try {
          await this.#unpublish(on, node, false, this.stack.signal);
          break;
        } catch (error) {
          if (!(error instanceof DriverError) || attempt === 8) throw error;
        }
      }
    }
    await this.release();
    expect(this.broken).toBeUndefined();
    if (this.world.interleaving !== "arguments") {
      expect(this.recorded()).toEqual([]);
      await on.volumes.delete(ID, this.stack.signal);
      expect(this.stack.simulator.device.disk(ID)).toBeUndefined();
    }
  }
}

async function contest(world: World): Promise<{ grants: number; overlaps: number; changes: number }> {
  const total = { grants: 0, overlaps: 0, changes: 0 };
  await fc.assert(
    fc.asyncProperty(
      fc.array(batch, { minLength: 30, maxLength: 50 }),
      fc.integer({ min: 1, max: 1_000_000 }),
      async (batches, seed) => {
        const stack = await startStack({
          switches: { interleaving: world.interleaving, interleavingSeed: seed, renamedExport: "stays" },
        });
        try {
          await createVolume(stack, { name: "contested", capabilities: [world.capability] });
          const on = new Contest(stack, world);
          for (const each of batches) {
            const tamed = world.heldArguments ? each : withoutHangs(each);
            await on.run(tamed);
            // An answered attach stays until Kubernetes ends it, and an answered detach is not undone.
            if (world.interleaving !== "arguments") {
              const recorded = on.recorded();
              expect([...on.granted].filter((node) => !recorded.includes(node))).toEqual([]);
              expect([...on.detached].filter((node) => recorded.includes(node))).toEqual([]);
              // So does an answered change.
              const { keepAliveTmo } = on.record.settings;
              expect(on.keepAliveTmo ?? keepAliveTmo).toBe(keepAliveTmo);
            }
          }
          await on.finish();
          total.grants += on.grants;
          total.overlaps += on.overlaps;
          total.changes += on.changes;
        } finally {
          stack.simulator.faults.clear();
          await stack.close();
        }
      },
    ),
    { numRuns: RUNS, endOnFailure: true },
  );
  return total;
}

function withoutHangs(each: Batch): Batch {
  const [a, b, c] = each.acts.map((one): Act | null => (one === null ? null : { ...one, hang: 0 }));
  const modify = each.modify === null ? null : { ...each.modify, hang: 0 };
  return { ...each, acts: [a ?? null, b ?? null, c ?? null], modify };
}

const LIMIT_MS = RUNS * 5_000 + 60_000;

const keeps = (world: World) => async (): Promise<void> => {
  const { grants, overlaps, changes } = await contest(world);
  // Enough of the subject of this test has happened.
  expect(grants).toBeGreaterThan(RUNS * 2);
  expect(overlaps).toBeGreaterThan(RUNS * 2);
  expect(changes).toBeGreaterThan(RUNS / 5);
};

describe("hosts that can connect, with interleaved lines, late lines, lost replies and two controllers", () => {
  test(
    "RWO, statements interleaved, lines held anywhere: never two hosts, no attachment lost, nothing left behind",
    keeps({ capability: BLOCK, interleaving: "statements", heldArguments: true }),
    LIMIT_MS,
  );
  test(
    "RWX, statements interleaved, lines held anywhere: never three hosts, no attachment lost, nothing left behind",
    keeps({ capability: RWX, interleaving: "statements", heldArguments: true }),
    LIMIT_MS,
  );
  test(
    "RWO, also a find and its set interleaved and held for any time: never two hosts",
    keeps({ capability: BLOCK, interleaving: "arguments", heldArguments: true }),
    LIMIT_MS,
  );
  test(
    "RWX, also a find and its set interleaved: never three hosts",
    keeps({ capability: RWX, interleaving: "arguments", heldArguments: false }),
    LIMIT_MS,
  );
});
