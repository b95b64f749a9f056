import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { CreateVolumeRequestSchema } from "../../src/csi/gen/csi_pb.ts";
import type { Interceptor } from "../../src/csi/rpc.ts";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import { block, GIB, MIB } from "../support/rpc.ts";
import { createRequest } from "./measure.ts";
import { BATCH, type Ends, grown, type Served, withController } from "./retained.ts";

// Counts objects on the heap after forced collections. Resident memory, which test/bench/growth.ts shows, moves by more than a leak adds.

/**
 * Objects that may come with the stretches of a kind, 180 calls: one or two calls, of 180 objects each, may not be collected yet. The
 * smallest request has three, 540 in all.
 */
const MOST = 350;
/** Calls of a kind: those that fill caches first, and those of each stretch. */
const FIRST = 40;
const STRETCH = 60;
/**
 * Objects that a life leaves in `PendingVolumes`: the last 1,024 creates and expansions are remembered on purpose, and these tests make
 * fewer.
 */
const REMEMBERED = 7;

type CreateRequest = Omit<MessageInitShape<typeof CreateVolumeRequestSchema>, "$typeName">;

const volumeCapability = block();
const id = (name: string, index: number) => volumeIdFromName(`${name}-${index}`);

/** A kind of calls, and how each of them ends. */
interface Kind {
  readonly name: string;
  readonly code: string;
  /** RPCs of one call; 1. */
  readonly rpcs?: number;
  /** Objects that each call leaves in a list of bounded length; none. */
  readonly remembered?: number;
  readonly run: (count: number) => Promise<Ends>;
}

/** Makes the volumes that the calls need, and returns the kinds. */
async function prepare({ controller, simulator, run, runCancelled }: Served): Promise<readonly Kind[]> {
  const create = (name: string, over: CreateRequest = {}, signal?: AbortSignal) =>
    controller.createVolume(
      { ...(createRequest(name) as CreateRequest), ...over },
      signal === undefined ? {} : { signal },
    );
  const publish = (volumeId: string, nodeId = "node-a", signal?: AbortSignal) =>
    controller.controllerPublishVolume(
      { volumeId, nodeId, volumeCapability },
      signal === undefined ? {} : { signal },
    );
  for (let index = 0; index < BATCH; index++) {
    await create(`free-${index}`);
    await create(`taken-${index}`);
    await publish(id("taken", index));
  }
  const full = Array.from({ length: BATCH }, (_, index) => id("full", index));
  simulator.faults.diskFull({ line: new RegExp(full.join("|")), count: Number.POSITIVE_INFINITY });
  const life = async (index: number) => {
    const volumeId = id("life", index);
    await create(`life-${index}`);
    await controller.getCapacity();
    await publish(volumeId);
    await controller.validateVolumeCapabilities({ volumeId, volumeCapabilities: [volumeCapability] });
    await controller.controllerExpandVolume({ volumeId, capacityRange: { requiredBytes: 16n * MIB } });
    await controller.listVolumes();
    await controller.controllerUnpublishVolume({ volumeId, nodeId: "node-a" });
    await controller.deleteVolume({ volumeId });
  };
  const failed = (name: string, code: string, call: (index: number) => Promise<unknown>): Kind => ({
    ...{ name, code },
    run: (count) => run(count, call),
  });
  const cancelled = (rpc: string, call: (index: number, signal?: AbortSignal) => Promise<unknown>): Kind => ({
    ...{ name: `${rpc}, cancelled`, code: "CANCELLED" },
    run: (count) => runCancelled(count, call),
  });
  return [
    failed("CreateVolume without space", "RESOURCE_EXHAUSTED", (index) => create(`full-${index}`)),
    {
      name: "lives of volumes",
      code: "OK",
      rpcs: 8,
      remembered: REMEMBERED,
      run: (count) => run(count / 4, life),
    },
    failed("CreateVolume without a capability", "INVALID_ARGUMENT", (index) =>
      create(`bad-${index}`, { volumeCapabilities: [] }),
    ),
    failed("CreateVolume of another size", "ALREADY_EXISTS", (index) =>
      create(`free-${index}`, { capacityRange: { requiredBytes: GIB } }),
    ),
    failed("ControllerPublishVolume of an absent volume", "NOT_FOUND", (index) => publish(id("none", index))),
    failed("ControllerPublishVolume to a second node", "FAILED_PRECONDITION", (index) =>
      publish(id("taken", index), "node-b"),
    ),
    cancelled("CreateVolume", (index, signal) => create(`new-${index}`, {}, signal)),
    cancelled("ControllerPublishVolume", (index, signal) => publish(id("free", index), "node-a", signal)),
    cancelled("ControllerUnpublishVolume", (index, signal) =>
      controller.controllerUnpublishVolume(
        { volumeId: id("taken", index), nodeId: "node-a" },
        signal === undefined ? {} : { signal },
      ),
    ),
    cancelled("DeleteVolume", (index, signal) =>
      controller.deleteVolume({ volumeId: id("free", index) }, signal === undefined ? {} : { signal }),
    ),
  ];
}

/** How often a kind is measured that seems to leave something. What calls leave behind comes each time, objects of the runtime do not. */
const TRIES = 3;

/** Runs calls of a kind. @returns what they leave behind each time, in words; undefined if nothing */
async function leak(served: Served, kind: Kind): Promise<string | undefined> {
  for (let tries = 1; ; tries++) {
    const found = await measured(served, kind);
    if (found === undefined || tries === TRIES) return found;
  }
}

async function measured(served: Served, kind: Kind): Promise<string | undefined> {
  const { name, code, rpcs = 1, remembered = 0, run } = kind;
  await run(FIRST);
  let calls = 0;
  const { objects, stretches, most } = await grown(served, async () => {
    const { codes, begun } = await run(STRETCH);
    calls = codes[code] ?? 0;
    expect({ name, codes, begun }).toEqual({ name, codes: { [code]: calls }, begun: calls * rpcs });
    expect(calls * rpcs).toBeGreaterThanOrEqual(STRETCH);
  });
  const counted = calls * stretches;
  return objects > MOST + counted * remembered
    ? `${name}: ${objects} objects after ${counted} of them: ${most}`
    : undefined;
}

/** Serves a controller for the tests of a block, each of which has a time limit of its own. @returns the kinds of calls, by their names */
function serving(inner: readonly Interceptor[]) {
  const over = Promise.withResolvers<void>();
  let running: Promise<void> | undefined;
  let served: Served | undefined;
  let kinds: readonly Kind[] = [];
  beforeAll(async () => {
    const ready = Promise.withResolvers<void>();
    running = withController(inner, async (controller) => {
      kinds = await prepare(controller);
      served = controller;
      ready.resolve();
      await over.promise;
    });
    await Promise.race([ready.promise, running]);
  });
  afterAll(async () => {
    over.resolve();
    await running;
  });
  return {
    names: () => kinds.map(({ name }) => name),
    leak: (name: string) => {
      const kind = kinds.find((each) => each.name === name);
      if (served === undefined || kind === undefined) throw new Error(`no kind "${name}"`);
      return leak(served, kind);
    },
  };
}

const SECOND_NODE = "ControllerPublishVolume to a second node";
const NAMES = [
  "CreateVolume without space",
  "lives of volumes",
  "CreateVolume without a capability",
  "CreateVolume of another size",
  "ControllerPublishVolume of an absent volume",
  SECOND_NODE,
  "CreateVolume, cancelled",
  "ControllerPublishVolume, cancelled",
  "ControllerUnpublishVolume, cancelled",
  "DeleteVolume, cancelled",
];

describe("a call that succeeded, failed or was cancelled in the middle leaves no object behind", () => {
  const { names, leak } = serving([]);

  test("each kind has a test", () => {
    expect(names()).toEqual(NAMES);
  });

  test.each(NAMES)("%s", async (name) => {
    expect(await leak(name)).toBeUndefined();
  });
});

describe("one request kept for each call would be noticed, however the call ends", () => {
  const kept: unknown[] = [];
  const { leak } = serving([
    (call, next) => {
      kept.push(call.request);
      return next(call);
    },
  ]);

  test.each([SECOND_NODE, "DeleteVolume, cancelled"])("%s", async (name) => {
    const before = kept.length;
    // Objects of the runtime that go meanwhile may hide it once.
    let found: string | undefined;
    for (let tries = 0; found === undefined && tries < 3 * TRIES; tries++) found = await leak(name);
    expect(found).toStartWith(`${name}: `);
    expect(kept.length - before).toBeGreaterThan(STRETCH);
  });
});
