import { expect, test } from "bun:test";
import fc from "fast-check";
import { createVolume, reconcilerOf } from "../../test/support/own-stack.ts";
import { BLOCK, type ControllerStack, type Stack, startStack } from "../../test/support/rds-stack.ts";
import type { Capability } from "../domain/access-mode.ts";
import { type Clock, systemClock } from "../domain/clock.ts";
import { DriverError } from "../domain/errors/driver-error.ts";
import { decodeRecord } from "../domain/record/record-codec.ts";
import type { VolumeRecord } from "../domain/record/volume-record.ts";
import { type VolumeId, volumeIdFromName } from "../domain/volume-id.ts";
import type { EvidenceSource } from "./evidence.ts";

/**
 * Random sequences of calls, deadlines, crashes, lost replies, a second controller and API outages against the real
 * controller code and the simulator. After each step the record on the RDS must keep every promise.
 *
 * RDS_CSI_MODEL_STEPS sets the number of steps (500,000 for a soak), RDS_CSI_TEST_SEED the cases.
 */
const STEPS = Number(process.env.RDS_CSI_MODEL_STEPS ?? 2_000);
const STEPS_PER_RUN = 100;

const SHARED = volumeIdFromName("shared");
const SINGLE = volumeIdFromName("single");
const RWX: Capability = { ...BLOCK, accessMode: "MULTI_NODE_MULTI_WRITER" };
const CAPABILITY = new Map<VolumeId, Capability>([
  [SHARED, RWX],
  [SINGLE, BLOCK],
]);
const NODES = ["node-a", "node-b", "node-c"] as const;

const volume = fc.constantFrom(SHARED, SHARED, SHARED, SINGLE);
const node = fc.constantFrom(...NODES);
const which = fc.constantFrom(0, 0, 0, 1);
const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("publish" as const), volume, node, which }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("unpublish" as const),
      volume,
      node: fc.constantFrom(...NODES, ...NODES, ""),
      which,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("time" as const),
      seconds: fc.constantFrom(1, 60, 130, 299, 301),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("reconcile" as const), which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("crash" as const), which }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("fault" as const),
      kind: fc.constantFrom("cutBefore" as const, "cutAfter" as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("api" as const), up: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("migration" as const),
      proven: fc.constantFrom(true, true, true, false),
    }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** The world that the driver asks: KubeVirt's proof and the API server. */
class World implements EvidenceSource {
  up = true;
  proven = true;
  seconds = 0;
  readonly clock: Clock = { ...systemClock, now: () => 1_700_000_000_000 + this.seconds * 1_000 };
  readonly holderGone = async () => false;
  readonly allowedSeconds: EvidenceSource["allowedSeconds"] = async () => ({ kind: "known", seconds: 300 });
  readonly singleUser: EvidenceSource["singleUser"] = async () => {
    if (!this.up) return { kind: "unknown", reason: "outage" };
    return this.proven ? { kind: "proven" } : { kind: "not-proven", reason: "two pods", waits: false };
  };
}

class Model {
  readonly world = new World();
  readonly stack: Stack;
  /** Every controller that ever ran, crashed ones too. */
  readonly all: ControllerStack[] = [];
  readonly live: ControllerStack[] = [];
  /** Migrations by volume and start, as seen in the records: whether the end or the deadline was seen. */
  readonly migrations = new Map<string, { over: boolean }>();
  crashes = 0;
  #turn = 0;
  #before = new Map<VolumeId, VolumeRecord>();

  constructor(stack: Stack) {
    this.stack = stack;
    for (let index = 0; index < 2; index++) this.#start(index);
  }

  #start(index: number): void {
    const controller = this.stack.controller();
    this.live[index] = controller;
    this.all.push(controller);
  }

  record(id: VolumeId): VolumeRecord {
    const disk = this.stack.simulator.device.disk(id);
    const decoded = decodeRecord(disk?.comment ?? "");
    if (decoded.kind !== "record") throw new Error(`no record: ${disk?.comment}`);
    return decoded.record;
  }

  async run(each: Step): Promise<void> {
    const { world, stack } = this;
    switch (each.do) {
      case "publish":
        return this.#call(each.which, (on) =>
          on.attachments.publish({
            volumeId: each.volume,
            nodeId: each.node,
            capability: CAPABILITY.get(each.volume) as Capability,
            readonly: false,
            signal: stack.signal,
          }),
        );
      case "unpublish":
        return this.#call(each.which, (on) => on.attachments.unpublish(each.volume, each.node, stack.signal));
      case "time":
        world.seconds += each.seconds;
        return;
      case "reconcile":
        // The loop looks again after a failed look.
        for (let look = 0; look < 4; look++) await this.#call(each.which, (on) => this.reconcile(on));
        return;
      case "crash": {
        // Its connections drop, its memory is gone; a new process takes its place.
        await this.live[each.which]?.transport.close();
        this.crashes += 1;
        return this.#start(each.which);
      }
      case "fault":
        stack.simulator.faults.add({ kind: each.kind });
        return;
      case "api":
        world.up = each.up;
        return;
      case "migration":
        world.proven = each.proven;
    }
  }

  async reconcile(on: ControllerStack): Promise<void> {
    await reconcilerOf(on, { clock: this.world.clock, events: undefined }).tick(this.stack.signal);
  }

  /** A call may be refused or fail with an open outcome; it must not fail in any other way. */
  async #call(index: number, work: (on: ControllerStack) => Promise<unknown>): Promise<void> {
    const on = this.live[index];
    if (on === undefined) throw new Error("no controller");
    try {
      await work(on);
    } catch (error) {
      if (!(error instanceof DriverError) || ![14, 9, 10, 6].includes(error.code)) throw error;
    }
    await on.attachments.settled();
  }

  /** Everything that must hold after each step. */
  async check(each: Step): Promise<void> {
    for (const [id, capability] of CAPABILITY) {
      const record = this.record(id);
      const before = this.#before.get(id);
      const disk = this.stack.simulator.device.disk(id);
      const nodes = record.attachments.map((attachment) => attachment.node);
      const was = before?.attachments.map((attachment) => attachment.node) ?? [];
      expect(nodes.length).toBeLessThanOrEqual(capability === RWX ? 2 : 1);
      expect(new Set(nodes).size).toBe(nodes.length);
      expect(record.migration !== undefined).toBe(nodes.length === 2);
      // An attach that was cut off between its two commands has the volume claimed, and not exported yet.
      if (disk?.exported === true) {
        expect(nodes.length).toBeGreaterThan(0);
        expect(disk.nqn).toStartWith(`nqn.2000-02.com.mikrotik:${id}.${record.epoch}-`);
        expect(record.exportName?.nqn).toBe(disk.nqn);
      }
      // Two only with proof, and only by a publish.
      if (nodes.length === 2 && was.length < 2)
        expect([each.do, this.world.up, this.world.proven]).toEqual(["publish", true, true]);
      const fresh = nodes.some((name) => !was.includes(name)) && nodes.length === 1;
      expect(record.epoch - (before?.epoch ?? 0)).toBe(fresh ? 1 : 0);
      // Nobody is ever detached by time, by a crash or by a reconcile.
      if (each.do !== "unpublish") expect(was.every((name) => nodes.includes(name))).toBe(true);
      this.#note(id, record);
      this.#before.set(id, record);
    }
    const records = [...CAPABILITY.keys()].map((id) => this.record(id));
    const active = records.filter((record) => record.migration !== undefined).length;
    await this.#checkGauge(active);
  }

  /** The gauge of one of the controllers, in turn. Faults wait meanwhile: they are for the steps. */
  async #checkGauge(active: number): Promise<void> {
    const { faults } = this.stack.simulator;
    const waiting = faults.rules.filter((rule) => rule.hits === 0).map(({ action }) => action);
    faults.clear();
    this.#turn = 1 - this.#turn;
    const on = this.live[this.#turn];
    if (on !== undefined) expect(await gauge(on)).toBe(active);
    for (const action of waiting) faults.add(action);
  }

  #note(id: VolumeId, { migration, ended }: VolumeRecord): void {
    if (migration !== undefined) {
      const seen = this.migrations.get(`${id}:${migration.since}`) ?? { over: false };
      this.migrations.set(`${id}:${migration.since}`, {
        over: seen.over || migration.overdueBy !== undefined,
      });
    }
    for (const each of ended) this.migrations.set(`${id}:${each.since}`, { over: true });
  }

  /** After the last step: time passes, a reconcile runs, and each migration that is over has had one outcome. */
  async finish(): Promise<void> {
    this.stack.simulator.faults.clear();
    for (const id of CAPABILITY.keys()) {
      await this.live[0]?.attachments.unpublish(id, "", this.stack.signal);
      const { ended } = this.record(id);
      for (const each of ended) this.migrations.set(`${id}:${each.since}`, { over: true });
    }
    this.world.seconds += 300;
    for (const on of this.live) {
      await this.reconcile(on);
      await on.attachments.settled();
    }
    for (const id of CAPABILITY.keys()) expect(this.record(id).ended).toEqual([]);
    const counted = (await Promise.all(this.all.map(outcomes))).reduce((sum, count) => sum + count, 0);
    const total = this.migrations.size;
    expect(counted).toBeGreaterThanOrEqual(total);
    // Only a process that dies between counting and noting it may be counted again by its successor.
    expect(counted).toBeLessThanOrEqual(total + this.crashes);
    if (this.crashes === 0) expect(counted).toBe(total);
  }
}

async function gauge(on: ControllerStack): Promise<number> {
  await on.refreshCounts();
  const value = await on.registry.getSingleMetric("rds_csi_migration_active_migrations")?.get();
  return value?.values[0]?.value ?? Number.NaN;
}

async function outcomes(on: ControllerStack): Promise<number> {
  const value = await on.registry.getSingleMetric("rds_csi_migration_migrations_total")?.get();
  return (value?.values ?? []).reduce((sum, each) => sum + each.value, 0);
}

test(
  `${STEPS} random steps keep every promise`,
  async () => {
    let steps = 0;
    let migrations = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: STEPS_PER_RUN, maxLength: STEPS_PER_RUN }),
        // Without crashes every count is exact.
        fc.boolean(),
        async (sequence, withCrashes) => {
          const world: { model?: Model } = {};
          const evidence: EvidenceSource = {
            holderGone: () => (world.model as Model).world.holderGone(),
            singleUser: (...args) => (world.model as Model).world.singleUser(...args),
            allowedSeconds: (...args) => (world.model as Model).world.allowedSeconds(...args),
          };
          const clock: Clock = {
            ...systemClock,
            now: () => world.model?.world.clock.now() ?? 1_700_000_000_000,
          };
          const stack = await startStack({ evidence, clock });
          try {
            for (const [name, capability] of [
              ["shared", RWX],
              ["single", BLOCK],
            ] as const) {
              await createVolume(stack, { name, capabilities: [capability] });
            }
            const model = new Model(stack);
            world.model = model;
            for (const each of sequence) {
              // Two migrations of one volume that begin in one second would have one name.
              model.world.seconds += 1;
              const now: Step = each.do === "crash" && !withCrashes ? { do: "time", seconds: 1 } : each;
              await model.run(now);
              await model.check(now);
              steps += 1;
            }
            await model.finish();
            migrations += model.migrations.size;
          } finally {
            await stack.close();
          }
        },
      ),
      { numRuns: Math.ceil(STEPS / STEPS_PER_RUN), endOnFailure: true },
    );
    // Enough of what this test is about has happened.
    expect(migrations).toBeGreaterThan(STEPS / 100);
    console.log(`model: ${steps} steps, ${migrations} migrations, seed ${fc.readConfigureGlobal()?.seed}`);
  },
  STEPS * 60 + 60_000,
);
