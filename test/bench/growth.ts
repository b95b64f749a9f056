import { request } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { status } from "@grpc/grpc-js";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import { residentMb } from "../support/figures.ts";
import { block, GIB } from "../support/rpc.ts";
import type { Stand } from "../support/stand.ts";
import { atATime, type Bench, createRequest, life, link, mixedLife, onStand } from "./measure.ts";

const CALLERS = 10;
const SAMPLE_MS = 250;
/** RPCs of a mixed life. */
const LIFE = 7;

/**
 * Growth of the controller's memory over many calls, over many that fail, and over many that their callers cancel. Resident memory moves
 * by as much as the goal; retained.test.ts counts the objects that calls leave behind.
 */
export async function growth(bench: Bench): Promise<void> {
  const scale = bench.quick ? 10 : 1;
  const early = 5_000 / scale;
  // Memory comes back to its level now and then only: a window is to be long enough for that.
  const window = 15_000 / scale;
  await onStand({ simulate: link(0) }, async (stand) => {
    const { pid } = stand.controllerProcess;
    bench.say(`${60_000 / scale} calls`);
    await lives(stand, early, "early");
    const first = await lowestDuring(pid, () => lives(stand, window, "first"));
    await lives(stand, 60_000 / scale - early - 2 * window, "many");
    const last = await lowestDuring(pid, () => lives(stand, window, "last"));
    add(bench, `${60_000 / scale} calls`, first, last);
    bench.say(`${20_000 / scale} calls that fail`);
    const codes = await failing(stand, 20_000 / scale);
    const failed = await lowestDuring(pid, () => lives(stand, window, "failed"));
    add(bench, `${20_000 / scale} failed calls (${codes})`, last, failed);
    bench.say(`${20_000 / scale} cancelled calls`);
    const given = await cancelled(stand, 20_000 / scale);
    const after = await lowestDuring(pid, () => lives(stand, window, "after"));
    add(bench, `${20_000 / scale} calls, ${given} of them cancelled while they ran`, failed, after);
  });
}

function add(bench: Bench, name: string, before: number, after: number): void {
  bench.add({
    name: `growth of the controller's memory over ${name}`,
    value: after - before,
    unit: "MB",
    goal: { most: 10 },
    ...(bench.quick ? { note: "too few to tell a leak from the collector's mood" } : {}),
  });
}

const lives = (stand: Stand, calls: number, name: string) =>
  atATime(CALLERS, Math.ceil(calls / LIFE), async (index) => {
    // A failed call is none of this figure; the next step, or the next life of that name, goes on.
    for (const { rpc, call } of mixedLife(stand, `${name}-${index}`))
      await call().catch((error: unknown) => console.error(`bench: ${rpc} failed: ${error}`));
  });

/** Volumes that calls fail on: more than callers, so that hardly a call joins an equal one. */
const PRESENT = 100;

/**
 * Calls that fail, of a few kinds one after the other. @returns the kinds
 * @throws Error if a call ends otherwise
 */
async function failing({ controller }: Stand, calls: number): Promise<string> {
  const volumeCapability = block();
  const publish = (name: string, nodeId: string) =>
    controller.controllerPublishVolume({ volumeId: volumeIdFromName(name), nodeId, volumeCapability });
  const name = (index: number) => `present-${index % PRESENT}`;
  const kinds: readonly (readonly [status, (index: number) => Promise<unknown>])[] = [
    [status.INVALID_ARGUMENT, (index) => controller.createVolume({ name: `bad-${index}` })],
    [status.NOT_FOUND, (index) => publish(`absent-${index}`, "node-a")],
    [status.FAILED_PRECONDITION, (index) => publish(name(index), "node-b")],
    [
      status.ALREADY_EXISTS,
      (index) =>
        controller.createVolume({ ...createRequest(name(index)), capacityRange: { requiredBytes: GIB } }),
    ],
  ];
  await atATime(CALLERS, PRESENT, async (index) => {
    await controller.createVolume(createRequest(name(index)));
    await publish(name(index), "node-a");
  });
  for (const [code, call] of kinds) {
    await atATime(CALLERS, calls / kinds.length, async (index) => {
      const ended = await call(index).then(
        () => status.OK,
        (error: { code?: status }) => error.code,
      );
      if (ended !== code) throw new Error(`a call that must fail with ${status[code]} ended with ${ended}`);
    });
  }
  await atATime(CALLERS, PRESENT, async (index) => {
    const volumeId = volumeIdFromName(name(index));
    await controller.controllerUnpublishVolume({ volumeId, nodeId: "node-a" });
    await controller.deleteVolume({ volumeId });
  });
  return kinds.map(([code]) => status[code]).join(", ");
}

/**
 * Callers that give up after 0 to 9 ms, wherever the call is then. A name returns after 1,000 lives, so volumes that are left
 * get used again. A connection with very many resets may be closed by the server (ENHANCE_YOUR_CALM); the next call opens another.
 * @returns how many calls the controller had begun and then ended as cancelled, and their callers saw so
 */
async function cancelled(stand: Stand, calls: number): Promise<number> {
  let seen = 0;
  const before = await endedAsCancelled(stand);
  await atATime(CALLERS, Math.ceil(calls / 4), async (index) => {
    const name = `cancelled-${index % 1_000}`;
    const { controller } = stand;
    const steps = life(stand, name);
    for (let step = 0; step < steps.length; step++) {
      const giveUp = new AbortController();
      const timer = setTimeout(() => giveUp.abort(), (index + step) % 10);
      await steps[step]?.call(giveUp.signal).catch((error: { code?: status }) => {
        if (error.code === status.CANCELLED) seen += 1;
      });
      clearTimeout(timer);
    }
    if (index % 100 === 99) await controller.getCapacity().catch(() => {});
  });
  return Math.min(seen, (await endedAsCancelled(stand)) - before);
}

/** Calls of the controller's service that its metrics have counted as cancelled: they had reached it. */
async function endedAsCancelled({ directory }: Stand): Promise<number> {
  const page = await new Promise<string>((resolve, reject) => {
    const sent = request({ socketPath: join(directory, "metrics.sock"), path: "/metrics" }, (response) =>
      text(response).then(resolve, reject),
    );
    sent.on("error", reject).end();
  });
  const counted = page.matchAll(/^rds_csi_operations_total\{[^}]*grpc_code="CANCELLED"[^}]*\} (\d+)$/gm);
  return [...counted].reduce((total, [, count]) => total + Number(count), 0);
}

/**
 * The lowest resident memory while `work` runs, MB: the runtime collects garbage when it likes, and a leak raises what memory comes
 * back to.
 */
async function lowestDuring(pid: number, work: () => Promise<unknown>): Promise<number> {
  const samples = [await residentMb(pid)];
  let over = false;
  const sampling = (async () => {
    while (!over) {
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
      samples.push(await residentMb(pid));
    }
  })();
  await work();
  over = true;
  await sampling;
  return Math.min(...samples.slice(1));
}
