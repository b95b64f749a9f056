import { heapStats } from "bun:jsc";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { status } from "@grpc/grpc-js";
import { controllerService } from "../../src/csi/controller.ts";
import { Controller } from "../../src/csi/gen/csi_pb.ts";
import { standardInterceptors } from "../../src/csi/interceptors/standard.ts";
import type { Interceptor } from "../../src/csi/rpc.ts";
import { startServer } from "../../src/csi/server.ts";
import { type Clock, systemClock } from "../../src/domain/clock.ts";
import { buildInfo } from "../../src/observability/build-info.ts";
import { silentLogger } from "../../src/observability/log.ts";
import { createMetrics } from "../../src/observability/metrics.ts";
import { Journal } from "../../src/simulator/device/journal.ts";
import type { CommandLogEntry, Simulator } from "../../src/simulator/simulator.ts";
import { type ServiceClient, serviceClient } from "../support/csi-client.ts";
import { withDirectory } from "../support/csi-server.ts";
import { startStack } from "../support/rds-stack.ts";
import { until } from "../support/until.ts";

/** Calls of a batch, which run at the same time: no more than the channels of a connection. */
export const BATCH = 5;

/** How calls ended: how many with each status code, and how many handlers had begun. */
export interface Ends {
  readonly codes: Readonly<Record<string, number>>;
  readonly begun: number;
}

/** @param index of the call in its batch */
export type Call = (index: number, signal?: AbortSignal) => Promise<unknown>;

/** Objects on the heap. */
export interface Held {
  readonly objects: number;
  /** The counts by kind as JSON: one text, so that counts add nothing to the next ones. */
  readonly kinds: string;
}

/** A controller's service in front of a simulator, both in this process. */
export interface Served {
  readonly controller: ServiceClient<typeof Controller>;
  readonly simulator: Simulator;
  /** Runs calls in batches. */
  run(count: number, call: Call): Promise<Ends>;
  /**
   * Runs calls on a device that executes nothing meanwhile, and cancels each batch when the handlers of all of its calls have begun and the
   * device has a command.
   */
  runCancelled(count: number, call: Call): Promise<Ends>;
  /** Counts the objects on the heap, after a forced collection. */
  held(): Promise<Held>;
}

/** Lets the commands of a simulator wait: the latency that it gives to each command is over when the gate is open. */
class Gate implements Clock {
  readonly now = systemClock.now;
  readonly monotonic = systemClock.monotonic;
  readonly #waiting: (() => void)[] = [];
  isOpen = true;

  get waiting(): number {
    return this.#waiting.length;
  }

  sleep(): Promise<void> {
    return this.isOpen ? Promise.resolve() : new Promise((resolve) => this.#waiting.push(resolve));
  }

  open(): void {
    this.isOpen = true;
    for (const go of this.#waiting.splice(0)) go();
  }
}

/** Serves a controller on a socket, as `rds-csi controller` does. @param inner further interceptors, next to the handlers */
export async function withController(
  inner: readonly Interceptor[],
  work: (served: Served) => Promise<void>,
): Promise<void> {
  const gate = new Gate();
  const stack = await startStack({ profile: "current", simulatorClock: gate, latencyMs: 1 });
  const { simulator } = stack;
  const handlers = { begun: 0, running: 0 };
  const counting: Interceptor = async (call, next) => {
    handlers.begun += 1;
    handlers.running += 1;
    return await next(call).finally(() => {
      handlers.running -= 1;
    });
  };
  const run = async (count: number, batch: (codes: Record<string, number>) => Promise<void>) => {
    const { begun } = handlers;
    const codes: Record<string, number> = {};
    for (let done = 0; done < count; done += BATCH) await batch(codes);
    return { codes, begun: handlers.begun - begun };
  };
  const all = (codes: Record<string, number>, call: Call, signal?: AbortSignal) =>
    Promise.all(Array.from({ length: BATCH }, (_, index) => ended(codes, call(index, signal))));
  const cancelled = async (codes: Record<string, number>, call: Call) => {
    const giveUp = new AbortController();
    const before = handlers.begun;
    gate.isOpen = false;
    const calls = all(codes, call, giveUp.signal);
    const inMidCall = () => handlers.begun === before + BATCH && gate.waiting > 0;
    await until("all handlers have begun, and the device has a command", inMidCall, 1);
    giveUp.abort();
    await calls;
    gate.open();
    const isOver = () =>
      handlers.running === 0 && simulator.commands.every((each) => each.outcome !== "running");
    await until("handlers and commands have ended", isOver, 1);
  };
  const clock = systemClock;
  try {
    await withDirectory(async (directory) => {
      const metrics = createMetrics(buildInfo);
      const server = await startServer({
        endpoint: join(directory, "csi.sock"),
        services: [controllerService(stack)],
        interceptors: [...standardInterceptors({ clock, metrics, logRequests: true }), ...inner, counting],
        clock,
        logger: silentLogger,
      });
      const controller = serviceClient(Controller, server.path);
      try {
        await work({
          controller,
          simulator,
          run: (count, call) => run(count, async (codes) => void (await all(codes, call))),
          runCancelled: (count, call) => run(count, (codes) => cancelled(codes, call)),
          held: () => heldObjects(simulator),
        });
      } finally {
        controller.close();
        await server.close();
      }
    });
  } finally {
    gate.open();
    await stack.close();
  }
}

async function ended(codes: Record<string, number>, call: Promise<unknown>): Promise<void> {
  const code = await call.then(
    () => "OK",
    (error: { code?: number }) => status[error.code ?? -1] ?? String(error),
  );
  codes[code] = (codes[code] ?? 0) + 1;
}

/** Kinds of objects that the runtime makes for code and for the shapes of objects, when it likes; no call holds them. */
const OF_THE_RUNTIME = /CodeBlock|Executable|Structure|PropertyTable|SymbolTable|^JIT|Watchpoint|Metadata/;
async function heldObjects(simulator: Simulator): Promise<Held> {
  // The simulator keeps its latest commands and log lines, which are none of the controller's.
  (simulator.commands as CommandLogEntry[]).length = 0;
  (simulator.device.management as { journal: Journal }).journal = new Journal();
  // What a finished call has in queues of the runtime goes meanwhile.
  await delay(0);
  Bun.gc(true);
  const kinds = Object.entries(heapStats().objectTypeCounts).filter(([kind]) => !OF_THE_RUNTIME.test(kind));
  const objects = kinds.reduce((total, [, count]) => total + count, 0);
  return { objects, kinds: JSON.stringify(Object.fromEntries(kinds)) };
}

/** Counts before, and counts after, of which the lowest is taken: some hundred objects of the runtime come and go now and then. */
const COUNTS = 3;

/**
 * Runs stretches of calls, and counts before and after each.
 * @returns objects by which the heap has grown over `stretches` of them, a few more or less; and the kinds with the most of them
 */
export async function grown({ held }: Pick<Served, "held">, stretch: () => Promise<void>) {
  const counts = [await held()];
  while (counts.length < 2 * COUNTS) {
    await stretch();
    counts.push(await held());
  }
  const lowest = (of: typeof counts) => of.reduce((low, each) => (each.objects < low.objects ? each : low));
  const before = lowest(counts.slice(0, COUNTS));
  const after = lowest(counts.slice(COUNTS));
  return { objects: after.objects - before.objects, stretches: COUNTS, most: mostOf(before, after) };
}

function mostOf(before: Held, after: Held): string {
  const was = JSON.parse(before.kinds);
  const more = Object.entries<number>(JSON.parse(after.kinds)).map(
    ([kind, count]) => [kind, count - (was[kind] ?? 0)] as const,
  );
  const most = more.toSorted((a, b) => b[1] - a[1]).slice(0, 4);
  return most.map(([kind, count]) => `${count} ${kind}`).join(", ");
}
