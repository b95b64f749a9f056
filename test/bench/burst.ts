import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import { timed } from "../support/figures.ts";
import { block } from "../support/rpc.ts";
import type { Stand } from "../support/stand.ts";
import { type Bench, bare, createRequest, fill, filledName, link, onStand } from "./measure.ts";

const PUBLISHES = 200;
/** What the driver uses: a connection for each purpose, and by default eight channels on each. */
const CONNECTIONS = 3;
const CHANNELS = 24;
const CREATES = 50;
const CREATE_MS = 2_000;
/** Publishes while the creates run. */
const MEANWHILE = 5;
const CALLER_MS = 120_000;

const publish = ({ controller }: Stand, index: number) =>
  controller.controllerPublishVolume(
    {
      volumeId: volumeIdFromName(filledName(index)),
      nodeId: index % 2 === 0 ? "node-a" : "node-b",
      volumeCapability: block(),
    },
    { deadlineMs: CALLER_MS },
  );

const rejectedOf = (results: readonly PromiseSettledResult<unknown>[]): number =>
  results.filter(({ status }) => status === "rejected").length;

/**
 * The time of lines in as many channels as the driver may use, those of one volume one after the other. It includes the simulator's
 * own work, which all of them share one processor for. Milliseconds.
 */
async function inChannels(stand: Stand, lines: readonly string[]): Promise<number> {
  const clients = await Promise.all(Array.from({ length: CONNECTIONS }, () => bare(stand)));
  const ofVolume = Map.groupBy(lines, (line) => /csi-[0-9a-f]{28}/.exec(line)?.[0]);
  const volumes = [...ofVolume.values()];
  const channel = async (number: number): Promise<void> => {
    for (let index = number; index < volumes.length; index += CHANNELS)
      for (const line of volumes[index] ?? []) await clients[number % CONNECTIONS]?.exec(line);
  };
  const ms = await timed(() => Promise.all(Array.from({ length: CHANNELS }, (_, number) => channel(number))));
  for (const client of clients) client.close();
  return ms;
}

/**
 * Publishes of many volumes at once by a controller that knows them, as after a list of its own round or of a sidecar, or by one that has
 * just started.
 */
async function publishes(bench: Bench, isKnown: boolean): Promise<void> {
  const whose = isKnown ? "" : " by a controller that has just started";
  bench.say(`${PUBLISHES} publishes at once${whose}`);
  await onStand({ simulate: link(50) }, async (stand) => {
    const { controller, simulator } = await fill(stand, PUBLISHES);
    if (isKnown) await stand.controller.listVolumes();
    const file = join(stand.directory, "rds/state.json");
    const before = await readFile(file, "utf8");
    const mark = (await stand.control.commands()).at(-1)?.sequence ?? 0;
    let failed = 0;
    const ms = await timed(async () => {
      const calls = Array.from({ length: PUBLISHES }, (_, index) => publish(stand, index));
      failed = rejectedOf(await Promise.allSettled(calls));
    });
    const sent = (await stand.control.commands()).filter(({ sequence }) => sequence > mark);
    await controller.stop();
    await simulator.stop();
    await writeFile(file, before);
    await stand.startSimulator();
    const bareMs = await inChannels(
      stand,
      sent.map(({ line }) => line),
    );
    bench.add({
      name: `${PUBLISHES} publishes of ${PUBLISHES} volumes at once${whose}, 50 ms link`,
      value: ms / 1000,
      unit: "s",
      beside: { name: `their ${sent.length} bare lines in ${CHANNELS} channels`, value: bareMs / 1000 },
      goal: { most: 2 },
    });
    bench.add({ name: `failed of these ${PUBLISHES}`, value: failed, unit: "calls", goal: { most: 0 } });
  });
}

/** Many calls at once, at 50 ms. A call that fails is a figure. */
export async function burst(bench: Bench): Promise<void> {
  await publishes(bench, true);
  await publishes(bench, false);
  const creates = bench.quick ? 10 : CREATES;
  bench.say(`publishes during ${creates} creates of ${CREATE_MS / 1000} s`);
  await duringCreates(bench, creates, { delayed: "/disk/add", what: "creates of 2 s", switches: {} });
  bench.say(
    `publishes during ${creates} creates whose sums take ${CREATE_MS / 1000} s, one channel at a time`,
  );
  await duringCreates(bench, creates, {
    delayed: SUM,
    what: "creates whose sums take 2 s (one channel at a time)",
    switches: { "parallel-channels": "second-blocks" },
  });
}

/** A RouterOS line that lets the device add up the sizes of a pool's disks (`PoolSpace`). */
const SUM = ":foreach one in=";

/** Creates that the device is slow with. */
interface SlowCreates {
  /** A regular expression: lines that match take CREATE_MS. */
  readonly delayed: string;
  readonly what: string;
  /** Of the simulator. */
  readonly switches: Readonly<Record<string, string>>;
}

/** The slowest of some publishes, one after the other, while the device is busy with slow lines of many creates. */
async function duringCreates(
  bench: Bench,
  creates: number,
  { delayed, what, switches }: SlowCreates,
): Promise<void> {
  await onStand({ simulate: link(50) }, async (stand) => {
    await fill(stand, MEANWHILE);
    await stand.control.switches(switches);
    const mark = (await stand.control.commands()).at(-1)?.sequence ?? 0;
    await stand.control.fault({ kind: "delay", line: delayed, ms: CREATE_MS, count: "forever" });
    const running = Array.from({ length: creates }, (_, index) =>
      stand.controller.createVolume(createRequest(`created-${index}`), { deadlineMs: CALLER_MS }),
    );
    const ended = Promise.allSettled(running);
    await stand.control.untilSent(new RegExp(delayed), mark);
    let slowest = 0;
    let refused = 0;
    const attach = (index: number) =>
      publish(stand, index).catch(() => {
        refused += 1;
      });
    for (let index = 0; index < MEANWHILE; index++)
      slowest = Math.max(slowest, await timed(() => attach(index)));
    bench.add({
      name: `slowest of ${MEANWHILE} publishes during ${creates} ${what}, 50 ms link`,
      value: slowest / 1000,
      unit: "s",
      goal: { most: 0.3 },
    });
    bench.add({
      name: `failed of these ${MEANWHILE} publishes`,
      value: refused,
      unit: "calls",
      goal: { most: 0 },
    });
    bench.add({
      name: `failed of ${creates} ${what} at once`,
      value: rejectedOf(await ended),
      unit: "calls",
      goal: { most: 0 },
    });
  });
}
