import { expect, test } from "bun:test";
import { setTimeout as delay } from "node:timers/promises";
import fc from "fast-check";
import { systemClock } from "../../domain/clock.ts";
import { DriverError } from "../../domain/errors/driver-error.ts";
import { silentLogger } from "../../observability/log.ts";
import type { ChannelOutcome, ChannelUse } from "./channel.ts";
import type { Connection } from "./connection.ts";
import { closeLanes, createLanes } from "./lanes.ts";
import { silentObserver } from "./transport.ts";

/** One command that the device of this test has taken. */
interface Taken {
  readonly line: string;
  readonly settle: (outcome: ChannelOutcome) => void;
  readonly use: ChannelUse;
  isOver: boolean;
}

/** A device without SSH: it takes commands, and ends them as the test says. */
class Device {
  /** Every line that may have run, in the order of arrival. */
  readonly ran: string[] = [];
  readonly connections = new Set<FakeConnection>();
  readonly broken: string[] = [];
  most: number;

  constructor(most: number) {
    this.most = most;
  }

  get running(): Taken[] {
    return [...this.connections].flatMap(({ taken }) => taken.filter(({ isOver }) => !isOver));
  }

  connect(): Connection {
    const made = new FakeConnection(this);
    this.connections.add(made);
    return made;
  }

  /** Notes a command; two changes of one object must never be here at the same time. */
  arrive(line: string): void {
    const object = objectOf(line);
    if (object !== undefined && this.running.some((one) => objectOf(one.line) === object))
      this.broken.push(`${line} beside another change of ${object}`);
    this.ran.push(line);
  }
}

/** Lines of the test are `<number> <object>`; reads have no object. */
const objectOf = (line: string): string | undefined => /^\d+ (\w+)$/.exec(line)?.[1];

class FakeConnection implements Connection {
  readonly kind = "connected";
  readonly taken: Taken[] = [];
  readonly closed: Promise<string>;
  open = true;
  readonly #device: Device;
  #resolve: (reason: string) => void = () => {};

  constructor(device: Device) {
    this.#device = device;
    this.closed = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  async run(line: string, use: ChannelUse): Promise<ChannelOutcome> {
    await delay(0);
    if (!this.open) return { kind: "notSent", reason: "gone", isRefused: false };
    if (this.taken.filter(({ isOver }) => !isOver).length >= this.#device.most)
      return { kind: "notSent", reason: "no channel", isRefused: true };
    const wait = /^:delay (\d+)ms$/.exec(line)?.[1];
    const isOwn = line.startsWith(":");
    if (!isOwn) this.#device.arrive(line);
    use.onOpened();
    return new Promise((resolve) => {
      const one: Taken = {
        line,
        use,
        isOver: false,
        settle: (outcome) => {
          if (one.isOver) return;
          one.isOver = true;
          resolve(outcome);
        },
      };
      this.taken.push(one);
      if (isOwn) void delay(Number(wait ?? 0)).then(() => one.settle(answer(line)));
    });
  }

  end(): void {
    this.drop("ended");
  }

  drop(reason: string): void {
    if (!this.open) return;
    this.open = false;
    for (const { settle } of this.taken) settle({ kind: "lost", reason });
    this.#device.connections.delete(this);
    this.#resolve(reason);
  }
}

function answer(line: string): ChannelOutcome {
  return { kind: "answered", stdout: line, stderr: "", exitCode: 0 };
}

const lanesTo = (device: Device, channels = 4, observer = silentObserver) =>
  createLanes({
    ...{ logger: silentLogger, observer, clock: systemClock, random: Math.random },
    ...{ address: "device", channels, questionMs: 60_000 },
    ...{ queueLimit: 500, queueMs: 60_000, patienceMs: 60_000 },
    ...{ idleCheckMs: 60_000, idleAnswerMs: 60_000, backoff: { firstMs: 1, maxMs: 2, maxFatalMs: 1 } },
    connect: async () => device.connect(),
    onReconnect: () => {},
  });

test("a closed transport sends no command that waited for one of another lane", async () => {
  const device = new Device(1);
  const sent: string[] = [];
  const lanes = lanesTo(device, 1, { ...silentObserver, onSent: (purpose) => sent.push(purpose) });
  const ends: Promise<string>[] = [];
  const ask = (purpose: "attach" | "change", line: string) => {
    const { signal } = new AbortController();
    const asked = lanes[purpose].exec(line, { signal, timeoutMs: 60_000, purpose, orderKey: line.slice(2) });
    ends.push(
      asked.then(
        () => "answered",
        (error) => (error instanceof DriverError ? error.id : String(error)),
      ),
    );
  };
  // The attach lane is full; the change waits for the attach of its object, on a connection with room.
  ask("change", "0 other");
  for (let rounds = 0; rounds < 1_000 && device.running.length === 0; rounds += 1) await delay(1);
  for (const { settle, line } of device.running) settle(answer(line));
  ask("attach", "1 first");
  for (let rounds = 0; rounds < 1_000 && device.running.length === 0; rounds += 1) await delay(1);
  ask("attach", "2 second");
  ask("change", "3 second");
  await closeLanes(lanes);
  expect(sent).toEqual(["change", "attach"]);
  expect(await Promise.all(ends)).toEqual(["answered", "shuttingDown", "shuttingDown", "shuttingDown"]);
});

const event = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("ask" as const), what: fc.nat(5), key: fc.nat(3) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("answer" as const), at: fc.nat(9) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("leave" as const), at: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("hang" as const), at: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("cut" as const), at: fc.nat(3) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("fewer" as const), most: fc.integer({ min: 1, max: 5 }) }),
  },
  { weight: 3, arbitrary: fc.constant({ do: "wait" as const }) },
);

const KINDS = ["attach", "change", "change", "read", "background", "attach"] as const;

test("random events: no command runs twice, none is lost, each caller is answered once, changes of one object never meet", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(event, { minLength: 40, maxLength: 120 }),
      fc.integer({ min: 1, max: 5 }),
      async (events, most) => {
        const device = new Device(most);
        const lanes = lanesTo(device);
        const calls: { line: string; kind: string; left: boolean; ends: string[]; abort: AbortController }[] =
          [];
        const ask = (what: number, key: number): void => {
          const kind = KINDS[what] ?? "read";
          const line = kind === "read" ? `${calls.length}` : `${calls.length} object${key}`;
          const call = { line, kind, left: false, ends: [] as string[], abort: new AbortController() };
          const purpose = kind === "background" ? "change" : kind;
          const order = kind === "read" ? {} : { orderKey: `object${key}` };
          const priority = kind === "background" ? "background" : "interactive";
          calls.push(call);
          lanes[purpose]
            .exec(line, { signal: call.abort.signal, timeoutMs: 60_000, purpose, priority, ...order })
            .then(
              ({ stdout }) => call.ends.push(stdout === line ? "answered" : `answered as ${stdout}`),
              (error) => call.ends.push(error instanceof DriverError ? error.id : String(error)),
            );
        };
        for (const one of events) {
          const { running } = device;
          if (one.do === "ask") ask(one.what, one.key);
          else if (one.do === "answer") {
            const found = running[one.at % Math.max(1, running.length)];
            if (found !== undefined && !found.line.startsWith(":")) found.settle(answer(found.line));
          } else if (one.do === "leave") {
            const call = calls[one.at % Math.max(1, calls.length)];
            if (call !== undefined && call.ends.length === 0) call.left = true;
            call?.abort.abort();
          } else if (one.do === "hang") {
            const found = running.filter(({ use }) => use.abandon.aborted)[0];
            found?.use.onStuck({ kind: "abandoned" }, "hangs");
          } else if (one.do === "cut") [...device.connections][one.at]?.drop("cut");
          else if (one.do === "fewer") device.most = one.most;
          else await delay(1);
          await delay(0);
        }
        // The device becomes well: everything that is left ends.
        for (let rounds = 0; calls.some(({ ends }) => ends.length === 0); rounds += 1) {
          for (const { line, settle } of device.running) if (!line.startsWith(":")) settle(answer(line));
          await delay(rounds < 20 ? 0 : 5);
          if (rounds > 2_000) throw new Error("a command is lost");
        }
        expect(device.broken).toEqual([]);
        expect(device.ran.filter((line, at) => device.ran.indexOf(line) !== at)).toEqual([]);
        for (const { line, left, ends } of calls) {
          const may = device.ran.includes(line) ? ["answered", "rdsOutcomeUnknown"] : [];
          expect([line, ends.length]).toEqual([line, 1]);
          expect([line, [...may, ...(left ? ["cancelled"] : [])]]).toEqual([
            line,
            expect.arrayContaining(ends),
          ]);
        }
        // Changes of one object arrive in the order in which they were asked for; interactive ones may overtake the others.
        for (const key of [0, 1, 2, 3]) {
          const numbers = device.ran
            .filter((line) => objectOf(line) === `object${key}`)
            .map(Number.parseFloat);
          for (const inBackground of [true, false]) {
            const ofKind = numbers.filter((at) => (calls[at]?.kind === "background") === inBackground);
            expect(ofKind).toEqual(ofKind.toSorted((a, b) => a - b));
          }
        }
        await closeLanes(lanes);
      },
    ),
    { numRuns: 60, endOnFailure: true },
  );
}, 120_000);
