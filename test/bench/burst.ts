import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import { timed } from "../support/figures.ts";
import { block } from "../support/rpc.ts";
import type { Stand } from "../support/stand.ts";
import { type Bench, createRequest, fill, filledName, link, onStand } from "./measure.ts";

const PUBLISHES = 200;
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

/** Many calls at once, at 50 ms. A call that fails is a figure. */
export async function burst(bench: Bench): Promise<void> {
  bench.say(`${PUBLISHES} publishes at once`);
  await onStand({ simulate: link(50) }, async (stand) => {
    await fill(stand, PUBLISHES);
    let failed = 0;
    const ms = await timed(async () => {
      const calls = Array.from({ length: PUBLISHES }, (_, index) => publish(stand, index));
      failed = rejectedOf(await Promise.allSettled(calls));
    });
    bench.add({
      name: `${PUBLISHES} publishes of ${PUBLISHES} volumes at once, 50 ms link`,
      value: ms / 1000,
      unit: "s",
      goal: { most: 2 },
    });
    bench.add({ name: `failed of these ${PUBLISHES}`, value: failed, unit: "calls", goal: { most: 0 } });
  });
  const creates = bench.quick ? 10 : CREATES;
  bench.say(`publishes during ${creates} creates of ${CREATE_MS / 1000} s`);
  await onStand({ simulate: link(50) }, async (stand) => {
    await fill(stand, MEANWHILE);
    const mark = (await stand.control.commands()).at(-1)?.sequence ?? 0;
    await stand.control.fault({ kind: "delay", line: "/disk/add", ms: CREATE_MS, count: "forever" });
    const running = Array.from({ length: creates }, (_, index) =>
      stand.controller.createVolume(createRequest(`created-${index}`), { deadlineMs: CALLER_MS }),
    );
    const ended = Promise.allSettled(running);
    await stand.control.untilSent(/\/disk\/add/, mark);
    let slowest = 0;
    for (let index = 0; index < MEANWHILE; index++)
      slowest = Math.max(slowest, await timed(() => publish(stand, index).catch(() => {})));
    bench.add({
      name: `slowest of ${MEANWHILE} publishes during ${creates} creates of 2 s, 50 ms link`,
      value: slowest / 1000,
      unit: "s",
      goal: { most: 0.3 },
    });
    const failed = rejectedOf(await ended);
    bench.add({
      name: `failed of ${creates} creates of 2 s at once`,
      value: failed,
      unit: "calls",
      goal: { most: 0 },
    });
  });
}
