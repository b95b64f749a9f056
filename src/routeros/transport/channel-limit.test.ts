import { afterEach, describe, expect, test } from "bun:test";
import { setImmediate } from "node:timers/promises";
import { until } from "../../../test/support/until.ts";
import { type Clock, systemClock } from "../../domain/clock.ts";
import { type ProbeChannel, runsInParallel } from "./parallel-probe.ts";
import { answered, type HeldBench, proveParallel, startHeld } from "./parallel-server.fixture.ts";
import { change, idOf, read, startBench } from "./transport.fixture.ts";
import { type Purpose, silentObserver, type TransportObserver } from "./transport.ts";

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const made of open.splice(0)) await made.close();
});

function limits() {
  const seen: number[] = [];
  const failures: string[] = [];
  const observer: TransportObserver = {
    ...silentObserver,
    onChannels: (limit) => void seen.push(limit),
    onConnectFailed: (purpose) => void failures.push(purpose),
  };
  return { seen, failures, observer };
}

/** A server that has proven that it runs four channels at once. */
async function proven(
  options: Parameters<typeof startHeld>[0] = {},
  more: Parameters<typeof startHeld>[1] = {},
): Promise<HeldBench & Omit<ReturnType<typeof limits>, "observer">> {
  const { observer, ...noted } = limits();
  const made = await startHeld(options, { channels: 4, observer, ...more });
  open.push(made);
  await proveParallel(made);
  await until("nothing runs", () => made.held.length === 0);
  made.asked.length = 0;
  return Object.assign(made, noted);
}

/** Notes the pauses before attempts to connect: no other wait of a transport is as short. */
function pausing() {
  const pauses: number[] = [];
  const backoff = { firstMs: 60, maxMs: 60, maxFatalMs: 60 };
  const clock: Clock = {
    ...systemClock,
    sleep: (ms, signal) => {
      if (ms <= backoff.maxMs) pauses.push(ms);
      return systemClock.sleep(ms, signal);
    },
  };
  return { pauses, timing: { clock, backoff, random: () => 1 } };
}

describe("the number of channels after a connection has ended", () => {
  test("a lower number is kept until a lost connection is back", async () => {
    const { seen, observer } = limits();
    let running = 0;
    let most = 2;
    const made = await startBench(
      {
        onSession: () => (running >= most ? "refuse" : "accept"),
        onExec: (command) => {
          running += 1;
          void answered(command, 20, () => {
            running -= 1;
          });
        },
      },
      { channels: 4, observer },
    );
    open.push(made);
    const { transport, server } = made;
    const round = () =>
      Promise.all(Array.from({ length: 8 }, (_, i) => transport.exec(`line ${i}`, change())));
    await round();
    await round();
    expect(seen).toEqual([1, 4, 2]);
    most = 9;
    server.cutAll();
    await until("the loss is noticed", () => !transport.connected("change"));
    await round();
    await round();
    expect(seen).toEqual([1, 4, 2, 1, 4]);
  });

  test("a device that runs channels at once, lost and back as one that does not: it is asked anew, by one lane", async () => {
    const { seen, observer } = limits();
    let isSerial = false;
    let last: Promise<unknown> = Promise.resolve();
    const made = await startBench(
      {
        onExec: (command) => {
          const ended = new Promise((resolve) => command.channel.once("close", resolve));
          const before = isSerial ? last : Promise.resolve();
          last = before.then(() => answered(command, 5, () => {})).then(() => ended);
        },
      },
      { channels: 4, observer },
    );
    open.push(made);
    const { transport, server } = made;
    const round = () =>
      Promise.all(
        [change(), read()].flatMap((options) =>
          ["a", "b", "c"].map((line) => transport.exec(`${line} ${options.purpose}`, options)),
        ),
      );
    await round();
    await round();
    expect(seen).toEqual([1, 4]);
    isSerial = true;
    server.lines.length = 0;
    server.cutAll();
    await until("the loss is noticed", () => !transport.connected("change") && !transport.connected("read"));
    await round();
    await round();
    expect(seen).toEqual([1, 4, 1, 1]);
    expect(server.lines.filter((line) => line.startsWith(":delay"))).toHaveLength(2);
  });

  test("a refusal of the only channel leaves the neighbours that got one meanwhile", async () => {
    let refusals = 0;
    const { pauses, timing } = pausing();
    const bench = await proven({ onSession: () => (refusals-- > 0 ? "refuse" : "accept") }, timing);
    const { transport, end, server } = bench;
    refusals = 1;
    pauses.length = 0;
    const both = ["refused", "neighbour"].map((line) => transport.exec(line, change()));
    await until("both run", () => bench.asked.length === 2);
    expect(bench.asked).toEqual(["neighbour", "refused"]);
    expect([server.counts.connections, server.counts.open]).toEqual([2, 2]);
    // A server that gives no channel is not called again at once.
    expect(pauses).not.toEqual([]);
    for (const line of ["neighbour", "refused"]) end(line);
    expect((await Promise.all(both)).map(({ stdout }) => stdout)).toEqual(["refused", "neighbour"]);
  });

  test("the loss of one lane's connection leaves the others their number", async () => {
    const { transport, held, asked, end, seen } = await proven();
    const attach = (line: string) => transport.exec(line, change({ purpose: "attach" }));
    const first = attach("first attach");
    const look = idOf(transport.exec("look", read()));
    await until("both run", () => held.length === 2);
    held.find(({ line }) => line === "look")?.cut();
    expect(await look).toBe("rdsOutcomeUnknown");
    const again = transport.exec("look again", read());
    await until("the lane is back", () => asked.includes("look again"));
    expect(seen).toEqual([1, 4, 1]);
    const second = attach("second attach");
    await until("the second attach runs beside the first", () => asked.includes("second attach"));
    for (const line of ["first attach", "second attach", "look again"]) end(line);
    await Promise.all([first, second, again]);
  });

  test("a server that gives no channel for a moment is asked for as many as before, after a pause", async () => {
    let refusals = 0;
    const { pauses, timing } = pausing();
    const { transport, held, end, seen, server } = await proven(
      { onSession: () => (refusals-- > 0 ? "refuse" : "accept") },
      timing,
    );
    const four = async () => {
      const lines = ["a", "b", "c", "d"];
      const all = lines.map((line) => transport.exec(line, change()));
      await until("all run", () => held.length === 4);
      for (const line of lines) end(line);
      expect((await Promise.all(all)).map(({ stdout }) => stdout)).toEqual(lines);
    };
    await four();
    refusals = 4;
    pauses.length = 0;
    await four();
    expect(pauses).not.toEqual([]);
    expect(refusals).toBeLessThan(1);
    expect([seen, server.counts.connections]).toEqual([[1, 4], 2]);
  });

  test("a lane that connects for the first time after another one's loss asks anew", async () => {
    const { transport, server, seen } = await proven();
    server.cutAll();
    await until("the loss is noticed", () => !transport.connected("change"));
    const look = transport.exec("look", read());
    await until("it runs", () => seen.length === 3);
    expect(seen).toEqual([1, 4, 1]);
    server.cutAll();
    await idOf(look);
  });

  test("a device that gave no sign of life is asked anew", async () => {
    const { transport, server, seen, end, asked } = await proven({}, { idleCheckMs: 50, idleAnswerMs: 50 });
    server.freeze();
    await until("the silence is noticed", () => !transport.connected("change"));
    const next = transport.exec("next", change());
    await until("it runs", () => asked.includes("next"));
    expect(seen).toEqual([1, 4, 1]);
    end("next");
    await next;
  });

  test("an attach runs on another lane's channel while its own lane's question has no answer", async () => {
    const { seen, observer } = limits();
    let isHeld = false;
    let running = 0;
    const isQuestion = (line: string) => /^:(delay|put)/.test(line);
    const made = await startBench(
      {
        onExec: (command) => {
          running += 1;
          command.channel.on("close", () => {
            running -= 1;
          });
          if (!isHeld || !isQuestion(command.line)) void answered(command, 5, () => {});
        },
      },
      { channels: 4, observer },
    );
    open.push(made);
    const { transport, server } = made;
    const all = (lines: string[], purpose: Purpose) =>
      Promise.all(lines.map((line) => transport.exec(line, change({ purpose }))));
    for (let round = 0; !seen.includes(4); round++)
      await all([`a ${round}`, `b ${round}`, `c ${round}`], "change");
    // The delay of the question that change asked ends later.
    await until("nothing runs", () => running === 0);
    // Until its own connection is there, it borrows.
    while (!transport.connected("attach")) await all(["warm"], "attach");
    await all(["first attach"], "attach");
    server.served.find(({ line }) => line === "first attach")?.cut();
    await until("the loss is noticed", () => !transport.connected("attach"));
    isHeld = true;
    server.lines.length = 0;
    while (!transport.connected("attach")) await all(["warm again"], "attach");
    await all(["d", "e"], "attach");
    while (!server.lines.some(isQuestion)) {
      // The ends of the commands before have been dealt with: nothing but this command looks for a channel.
      await setImmediate();
      await all(["alone"], "attach");
    }
    await all(["f", "g"], "attach");
  });

  test("a hung command's connection that cannot be made anew at once: the device is asked anew, as it may be another one", async () => {
    let isDown = false;
    const { transport, seen, failures, held, end } = await proven({
      onConnection: () => (isDown ? "cut" : "accept"),
    });
    const hung = idOf(transport.exec("hang", change({ timeoutMs: 2_000 })));
    await until("it runs", () => held.length === 1);
    expect(await hung).toBe("rdsSilent");
    await until("the connection is given up", () => !transport.connected("change"));
    isDown = true;
    const next = transport.exec("next", change());
    await until("an attempt fails", () => failures.length > 0);
    isDown = false;
    await until("the next command runs", () => held.some(({ line }) => line === "next"));
    expect(seen).toEqual([1, 4, 1]);
    end("next");
    await next;
  });

  test("a hung command's connection that is made anew at once: the number stays", async () => {
    const { transport, held, end, seen, asked } = await proven();
    const hung = idOf(transport.exec("hang", change({ timeoutMs: 2_000 })));
    await until("it runs", () => held.length === 1);
    expect(await hung).toBe("rdsSilent");
    await until("the connection is given up", () => !transport.connected("change"));
    const all = ["a", "b"].map((line) => transport.exec(line, change()));
    await until("both run at once", () => held.filter(({ line }) => line !== "hang").length === 2);
    expect([seen, asked]).toEqual([
      [1, 4],
      ["hang", "a", "b"],
    ]);
    for (const line of ["a", "b"]) end(line);
    await Promise.all(all);
  });
});

test("a delay that is refused proves nothing, however long the answers take", async () => {
  let now = 0;
  const clock: Clock = { ...systemClock, monotonic: () => now, sleep: () => new Promise(() => {}) };
  const asked: string[] = [];
  const answers: (() => void)[] = [];
  const run: ProbeChannel = (line, { onOpened }) => {
    asked.push(line);
    onOpened();
    return new Promise((resolve) => {
      answers.push(() => resolve({ kind: "answered", stdout: "", stderr: "", exitCode: 1 }));
    });
  };
  const verdict = runsInParallel(run, clock, 10_000);
  for (const questions of [1, 2]) {
    await until("both channels run", () => asked.length === 2 * questions);
    // Longer than the first delay, shorter than the second.
    now += 150;
    for (const answer of answers.splice(0)) answer();
  }
  expect(await verdict).toBeUndefined();
  expect(asked).toEqual([":delay 100ms", ":put 1", ":delay 600ms", ":put 1"]);
});
