import { expect, test } from "bun:test";
import process from "node:process";
import fc from "fast-check";
import { fastClock } from "../../test/support/clock.ts";
import { createVolume } from "../../test/support/own-stack.ts";
import { BLOCK, type ControllerStack, MIB, type Stack, startStack } from "../../test/support/rds-stack.ts";
import type { Capability } from "../domain/access-mode.ts";
import { DriverError } from "../domain/errors/driver-error.ts";
import { partsOfHandle } from "../domain/snapshot-id.ts";
import { type VolumeId, volumeIdFromName } from "../domain/volume-id.ts";
import type { ContentSource } from "./content-source.ts";
import { handleOn } from "./snapshots.fixture.ts";

/**
 * Random programs of volumes, snapshots, clones, growth, attachments, migrations, deletions, crashes and lost replies against the real
 * controller code and the simulator, beside a model that knows the bytes of each volume and snapshot. Both must agree after each step.
 *
 * RDS_CSI_MODEL_STEPS sets the number of steps, RDS_CSI_TEST_SEED the cases.
 */
const STEPS = Number(process.env.RDS_CSI_MODEL_STEPS ?? 1_200);
const STEPS_PER_RUN = 60;
const RWX: Capability = { ...BLOCK, accessMode: "MULTI_NODE_MULTI_WRITER" };

const volume = fc.constantFrom("v1", "v2", "v3", "v4");
const snapshot = fc.constantFrom("s1", "s2", "s3");
const more = fc.constantFrom(0, 0, 4);
const node = fc.constantFrom("node-a", "node-b");
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant("create" as const), volume }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("write" as const),
      volume,
      page: fc.nat(7),
      byte: fc.integer({ min: 1, max: 255 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("snapshot" as const), volume, snapshot }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("restore" as const), volume, snapshot, more }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("clone" as const), volume, from: volume, more }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("grow" as const), volume }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("attach" as const), volume, node }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("detach" as const), volume, node }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("delete" as const), volume }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("drop" as const), snapshot }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("crash" as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("fault" as const),
      kind: fc.constantFrom("cutBefore" as const, "cutAfter" as const, "cutMidway" as const),
      nth: fc.integer({ min: 1, max: 3 }),
      statement: fc.integer({ min: 1, max: 16 }),
    }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** In turn, one for each program. */
const PROFILES = ["current", "hostile", "strict", "old"] as const;

/** What a volume or snapshot holds: bytes by page, the others are zeros. */
interface Copy {
  readonly pages: Map<number, number>;
  size: bigint;
  /** Handle of its source. */
  readonly source: string | undefined;
}

interface ModelVolume extends Copy {
  readonly nodes: Set<string>;
}

const handleOf = (name: string): VolumeId => volumeIdFromName(name);
const PAGE = 4_096;

class Copies {
  readonly volumes = new Map<string, ModelVolume>();
  readonly snapshots = new Map<string, Copy>();
  readonly stack: Stack;
  on: ControllerStack;
  /** How often each step changed something. */
  readonly done = new Map<string, number>();

  constructor(stack: Stack) {
    this.stack = stack;
    this.on = stack.controller();
  }

  async run(each: Step): Promise<void> {
    const { signal, simulator } = this.stack;
    switch (each.do) {
      case "create":
        return this.#make(each.volume, 8n * MIB, undefined);
      case "write": {
        const found = this.volumes.get(each.volume);
        if (found === undefined) return;
        const path = `storage-pool/csi/${handleOf(each.volume)}/disk.img`;
        await simulator.device.writeFile(path, BigInt(each.page) * MIB, new Uint8Array(PAGE).fill(each.byte));
        found.pages.set(each.page, each.byte);
        return;
      }
      case "snapshot": {
        const source = this.volumes.get(each.volume);
        const known = this.snapshots.get(each.snapshot);
        const request = { name: each.snapshot, source: handleOf(each.volume), parameters: {}, signal };
        const isSame = known?.source === handleOf(each.volume);
        const expected =
          isSame || (source !== undefined && known === undefined)
            ? "OK"
            : source === undefined
              ? known === undefined
                ? "NOT_FOUND"
                : "ALREADY_EXISTS"
              : "ALREADY_EXISTS";
        expect(await this.#settled(() => this.on.snapshots.create(request))).toBe(expected);
        if (expected === "OK" && known === undefined && source !== undefined)
          this.snapshots.set(each.snapshot, {
            pages: new Map(source.pages),
            size: source.size,
            source: handleOf(each.volume),
          });
        return;
      }
      case "restore":
        return this.#copy(
          each.volume,
          this.snapshots.get(each.snapshot),
          { kind: "snapshot", id: handleOn(each.snapshot) },
          each.more,
        );
      case "clone":
        return this.#copy(
          each.volume,
          this.volumes.get(each.from),
          { kind: "volume", id: handleOf(each.from) },
          each.more,
        );
      case "grow": {
        const found = this.volumes.get(each.volume);
        const requiredBytes = (found?.size ?? 8n * MIB) + 4n * MIB;
        const range = { requiredBytes, limitBytes: 0n };
        const grow = { volumeId: handleOf(each.volume), range, capability: undefined, signal };
        expect(await this.#settled(() => this.on.expansions.expand(grow))).toBe(
          found === undefined ? "NOT_FOUND" : "OK",
        );
        if (found !== undefined) found.size = requiredBytes;
        return;
      }
      case "attach": {
        const found = this.volumes.get(each.volume);
        const request = {
          volumeId: handleOf(each.volume),
          nodeId: each.node,
          capability: RWX,
          readonly: false,
          signal,
        };
        expect(await this.#settled(() => this.on.attachments.publish(request))).toBe(
          found === undefined ? "NOT_FOUND" : "OK",
        );
        found?.nodes.add(each.node);
        return;
      }
      case "detach":
        expect(
          await this.#settled(() => this.on.attachments.unpublish(handleOf(each.volume), each.node, signal)),
        ).toBe("OK");
        this.volumes.get(each.volume)?.nodes.delete(each.node);
        return;
      case "delete": {
        const isUsed = (this.volumes.get(each.volume)?.nodes.size ?? 0) > 0;
        expect(await this.#settled(() => this.on.volumes.delete(handleOf(each.volume), signal))).toBe(
          isUsed ? "FAILED_PRECONDITION" : "OK",
        );
        if (!isUsed) this.volumes.delete(each.volume);
        return;
      }
      case "drop":
        expect(await this.#settled(() => this.on.snapshots.delete(handleOn(each.snapshot), signal))).toBe(
          "OK",
        );
        this.snapshots.delete(each.snapshot);
        return;
      case "crash":
        return this.#crash();
      case "fault":
        simulator.faults.add(
          each.kind === "cutMidway" ? { kind: each.kind, statement: each.statement } : { kind: each.kind },
          { nth: each.nth },
        );
    }
  }

  async #crash(): Promise<void> {
    await this.on.transport.close();
    this.on = this.stack.controller();
  }

  async #copy(name: string, source: Copy | undefined, from: ContentSource, more: number): Promise<void> {
    const size = (source?.size ?? 8n * MIB) + BigInt(more) * MIB;
    return this.#make(name, size, { copy: source, from });
  }

  async #make(
    name: string,
    size: bigint,
    copy: { readonly copy: Copy | undefined; readonly from: ContentSource } | undefined,
  ): Promise<void> {
    const known = this.volumes.get(name);
    const source = copy?.from?.id;
    const wish = {
      name,
      required: size,
      capabilities: [RWX],
      ...(copy?.from === undefined ? {} : { source: copy.from }),
    };
    const isSame = known !== undefined && known.source === source && known.size >= size;
    const lacksSource = copy !== undefined && copy.copy === undefined;
    const expected =
      known === undefined ? (lacksSource ? "NOT_FOUND" : "OK") : isSame ? "OK" : "ALREADY_EXISTS";
    expect([name, source, await this.#settled(() => createVolume(this.on, wish))]).toEqual([
      name,
      source,
      expected,
    ]);
    if (known === undefined && expected === "OK")
      this.volumes.set(name, { pages: new Map(copy?.copy?.pages), size, source, nodes: new Set() });
  }

  /** Repeats a call, as an orchestrator does, until its answer is definite. @returns the code */
  async #settled(work: () => Promise<unknown>): Promise<string> {
    for (let tries = 1; ; tries += 1) {
      try {
        await work();
        return "OK";
      } catch (error) {
        if (!(error instanceof DriverError)) throw error;
        const definite = ["NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION", "OUT_OF_RANGE"];
        const [code = ""] = NAMES.get(error.code) ?? [];
        if (definite.includes(code)) return code;
        if (tries >= 12) throw error;
        // A lost reply is forgotten with the process: what still waits on the RDS is over here.
        if (error.id === "snapshotPending") await this.#crash();
      }
    }
  }

  /** The RDS, read past the driver, and the driver's lists agree with the model. */
  async check(): Promise<void> {
    const { device, faults } = this.stack.simulator;
    faults.clear();
    const { signal } = this.stack;
    const all = { after: "", most: 0, signal } as const;
    const [listed, cut] = await Promise.all([this.on.volumes.list(signal), this.on.snapshots.list(all)]);
    const byId = (a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1);
    expect(
      listed.entries.map(({ id, sizeBytes, source, nodes }) => ({
        id,
        sizeBytes,
        source,
        nodes: [...nodes].sort(),
      })),
    ).toEqual(
      [...this.volumes]
        .map(([name, { size, source, nodes }]) => ({
          id: handleOf(name),
          sizeBytes: size,
          source,
          nodes: [...nodes].sort(),
        }))
        .sort(byId),
    );
    expect(
      cut.entries.map(({ id, source, sizeBytes }) => ({ id: String(id), source: String(source), sizeBytes })),
    ).toEqual(
      [...this.snapshots]
        .map(([name, { size, source }]) => ({
          id: String(handleOn(name)),
          source: String(source),
          sizeBytes: size,
        }))
        .sort(byId),
    );
    const alive = device.subvolumes.filter(({ deadUntil }) => deadUntil === undefined);
    expect(alive.length).toBe(this.volumes.size + this.snapshots.size);
    for (const [name, { pages }] of this.volumes)
      await this.#compare(`storage-pool/csi/${handleOf(name)}/disk.img`, pages);
    for (const [name, { pages }] of this.snapshots) {
      const found = alive.find(({ fullname }) =>
        fullname.startsWith(`csi/${partsOfHandle(handleOn(name)).id}.`),
      );
      await this.#compare(`storage-pool/${found?.fullname}/disk.img`, pages);
    }
  }

  async #compare(path: string, pages: ReadonlyMap<number, number>): Promise<void> {
    for (let page = 0; page < 8; page++) {
      const [first, last] = await Promise.all(
        [0, PAGE - 1].map((at) =>
          this.stack.simulator.device.readFile(path, BigInt(page) * MIB + BigInt(at), 1),
        ),
      );
      expect([path, page, first?.[0], last?.[0]]).toEqual([
        path,
        page,
        pages.get(page) ?? 0,
        pages.get(page) ?? 0,
      ]);
    }
  }

  /** Everything goes, in the order in which it stands, which is random: nothing is left. */
  async finish(): Promise<void> {
    for (const [name, { nodes }] of [...this.volumes]) {
      for (const each of nodes)
        await this.run({ do: "detach", volume: name as "v1", node: each as "node-a" });
      await this.run({ do: "delete", volume: name as "v1" });
      const [first] = this.snapshots.keys();
      if (first !== undefined) await this.run({ do: "drop", snapshot: first as "s1" });
    }
    for (const name of [...this.snapshots.keys()]) await this.run({ do: "drop", snapshot: name as "s1" });
    await this.check();
    const { device } = this.stack.simulator;
    expect(device.disks).toEqual([]);
    expect(device.files.filter(({ directory }) => !directory)).toEqual([]);
  }
}

/** Programs so far. */
let runs = 0;

const NAMES = new Map([
  [5, ["NOT_FOUND"]],
  [6, ["ALREADY_EXISTS"]],
  [9, ["FAILED_PRECONDITION"]],
  [11, ["OUT_OF_RANGE"]],
]);

test(`${STEPS} random steps of volumes and their copies keep every byte`, async () => {
  const kinds = new Set<string>();
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: STEPS_PER_RUN, maxLength: STEPS_PER_RUN }),
      async (sequence) => {
        const clock = fastClock(20);
        const stack = await startStack({
          ...{ profile: PROFILES[runs++ % PROFILES.length] ?? "current", clock, simulatorClock: clock },
          evidence: {
            holderGone: async () => false,
            singleUser: async () => ({ kind: "proven" }),
            allowedSeconds: async () => ({ kind: "known", seconds: 300 }),
          },
        });
        try {
          const model = new Copies(stack);
          for (const each of sequence) {
            await model.run(each);
            if (each.do !== "fault") await model.check();
            kinds.add(each.do);
          }
          stack.simulator.faults.clear();
          await model.finish();
        } finally {
          await stack.close();
        }
      },
    ),
    {
      numRuns: Math.ceil(STEPS / STEPS_PER_RUN),
      ...(process.env.RDS_CSI_TEST_SEED === undefined ? {} : { seed: Number(process.env.RDS_CSI_TEST_SEED) }),
    },
  );
  expect(kinds.size).toBe(12);
}, 240_000);
