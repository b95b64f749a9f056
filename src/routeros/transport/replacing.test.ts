import { afterEach, describe, expect, test } from "bun:test";
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { until } from "../../../test/support/until.ts";
import {
  answered,
  answerProbe,
  type HeldBench,
  proveParallel,
  startHeld,
} from "./parallel-server.fixture.ts";
import { change, idOf, read, startBench } from "./transport.fixture.ts";
import { silentObserver } from "./transport.ts";

const open: { close(): Promise<void> }[] = [];
async function held(...options: Parameters<typeof startHeld>): Promise<HeldBench> {
  const made = await startHeld(...options);
  open.push(made);
  return made;
}
afterEach(async () => {
  for (const made of open.splice(0)) await made.close();
});

describe("a command that hangs", () => {
  test("costs its neighbours nothing: they end undisturbed, new ones go over a new connection", async () => {
    const bench = await held();
    const { transport, end, server } = bench;
    await proveParallel(bench);
    const hung = idOf(transport.exec("hang", change({ timeoutMs: 200 })));
    const neighbour = transport.exec("neighbour", change({ timeoutMs: 60_000 }));
    await until("both run", () => bench.held.length === 2);
    expect(await hung).toBe("rdsSilent");
    await until("the connection takes no new commands", () => !transport.connected("change"));
    const next = transport.exec("next", change());
    await until("the next command runs", () => bench.asked.includes("next"));
    expect([server.counts.connections, server.counts.open]).toEqual([2, 2]);
    end("neighbour");
    expect((await neighbour).stdout).toBe("neighbour");
    // Its last other command has ended.
    await until("the old connection is gone", () => server.counts.open === 1);
    end("next");
    expect((await next).stdout).toBe("next");
    expect(bench.asked.filter((line) => line === "neighbour")).toHaveLength(1);
  });

  test("holds back the next change of its object until the connection is gone", async () => {
    const bench = await held();
    const { transport, end, server } = bench;
    await proveParallel(bench);
    const hung = idOf(transport.exec("hang", change({ timeoutMs: 200, orderKey: "x" })));
    const neighbour = transport.exec("neighbour", change({ timeoutMs: 60_000 }));
    await until("both run", () => bench.held.length === 2);
    expect(await hung).toBe("rdsSilent");
    const same = transport.exec("same", change({ orderKey: "x" }));
    await until("new commands have another connection", () => server.counts.connections === 2);
    const other = transport.exec("other", change());
    await until("another command runs", () => bench.asked.includes("other"));
    expect(bench.asked).not.toContain("same");
    end("neighbour");
    await neighbour;
    await until("the next change of the object runs", () => bench.asked.includes("same"));
    expect(server.counts.open).toBe(1);
    end("same");
    end("other");
    await Promise.all([same, other]);
  });

  test("alone on its connection, it takes the connection with it", async () => {
    const bench = await held();
    const { transport, end, server } = bench;
    const hung = idOf(transport.exec("hang", change({ timeoutMs: 100 })));
    await until("it runs", () => bench.held.length === 1);
    expect(await hung).toBe("rdsSilent");
    const next = transport.exec("next", change());
    await until("the next command runs", () => bench.asked.includes("next"));
    end("next");
    await next;
    expect([server.counts.connections, server.counts.open]).toEqual([2, 1]);
  });
});

describe("a device with fewer channels", () => {
  const limits = () => {
    const seen: number[] = [];
    return { seen, observer: { ...silentObserver, onChannels: (limit: number) => void seen.push(limit) } };
  };

  test("a refused channel lowers the number for all connections; nothing is lost or sent twice", async () => {
    const { seen, observer } = limits();
    let running = 0;
    const most: number[] = [];
    const made = await startBench(
      {
        onSession: () => (running >= 2 ? "refuse" : "accept"),
        onExec: (command) => {
          running += 1;
          most.push(running);
          void answered(command, 20, () => {
            running -= 1;
          });
        },
      },
      { channels: 4, observer },
    );
    open.push(made);
    const { transport, server } = made;
    const lines = Array.from({ length: 12 }, (_, i) => `line ${i}`);
    const answers = await Promise.all(lines.map((line) => transport.exec(line, change())));
    expect(answers.map(({ stdout }) => stdout)).toEqual(lines);
    expect(server.lines.filter((line) => line.startsWith("line")).sort()).toEqual([...lines].sort());
    expect(seen).toEqual([1, 4, 2]);
    expect(Math.max(...most)).toBe(2);
    expect(server.counts.connections).toBe(1);
    // The other lanes know it from the start: their connection asks for no third channel.
    const sessions = server.counts.connections;
    await Promise.all(["a", "b", "c", "d"].map((line) => transport.exec(line, read())));
    expect([seen, server.counts.connections]).toEqual([[1, 4, 2], sessions + 1]);
  });

  test("one channel only: the driver's own question is refused, no command is", async () => {
    const { seen, observer } = limits();
    let running = 0;
    const made = await startBench(
      {
        onSession: () => (running >= 1 ? "refuse" : "accept"),
        onExec: (command) => {
          running += 1;
          void answered(command, 0, () => {
            running -= 1;
          });
        },
      },
      { channels: 4, observer },
    );
    open.push(made);
    const lines = Array.from({ length: 6 }, (_, i) => `line ${i}`);
    const answers = await Promise.all(lines.map((line) => made.transport.exec(line, change())));
    expect(answers.map(({ stdout }) => stdout)).toEqual(lines);
    expect([seen, made.server.counts.connections, made.server.counts.maxInFlight]).toEqual([[1, 1], 1, 1]);
  });

  test("two answers that arrive together prove nothing: the device may have run one after the other", async () => {
    const { seen, observer } = limits();
    let last: Promise<unknown> = Promise.resolve();
    const made = await startBench(
      {
        onExec: (command) => {
          const { channel } = command;
          const socket = (channel as unknown as { _client: { _sock: Socket } })._client._sock;
          last = last
            .then(async () => {
              if (!command.line.startsWith(":delay")) return command.answer(command.line);
              await delay(Number(/\d+/.exec(command.line)?.[0]));
              // The answer of the next command goes out with this one.
              socket.cork();
              command.answer("");
              setTimeout(() => socket.uncork(), 20);
            })
            .then(() => {});
        },
      },
      { channels: 4, observer },
    );
    open.push(made);
    const lines = Array.from({ length: 4 }, (_, i) => `line ${i}`);
    const answers = await Promise.all(lines.map((line) => made.transport.exec(line, change())));
    expect(answers.map(({ stdout }) => stdout)).toEqual(lines);
    expect(seen).toEqual([1, 1]);
  });

  for (const closes of [true, false]) {
    test(`a question without an answer is given up, ${closes ? "and its channels end" : "and its channels do not end"}: commands go on`, async () => {
      const { seen, observer } = limits();
      let hangs = true;
      const made = await startBench(
        {
          onExec: (command) => {
            if (!hangs || !/^:(delay|put)/.test(command.line)) return void answered(command, 20, () => {});
            if (!closes) command.channel.close = () => {};
          },
        },
        { channels: 4, observer, questionMs: 200 },
      );
      open.push(made);
      const { transport, server } = made;
      const lines = ["a", "b", "c"];
      const answers = await Promise.all(lines.map((line) => transport.exec(line, change())));
      expect(answers.map(({ stdout }) => stdout)).toEqual(lines);
      expect(seen).toEqual([1]);
      expect(server.counts.connections).toBe(closes ? 1 : 2);
      hangs = false;
      expect((await transport.exec("d", change())).stdout).toBe("d");
    });
  }

  test("one refusal of a channel that was given before is a passing one", async () => {
    const { seen, observer } = limits();
    let refusals = 0;
    const bench = await held(
      { onSession: () => (refusals-- > 0 ? "refuse" : "accept") },
      { channels: 4, observer },
    );
    await proveParallel(bench);
    bench.asked.length = 0;
    const { transport, end } = bench;
    const all = ["a", "b", "c", "d"].map((line) => transport.exec(line, change()));
    await until("four run", () => bench.held.length === 4);
    for (const line of ["b", "c", "d"]) end(line);
    await Promise.all(all.slice(1));
    refusals = 1;
    const again = transport.exec("e", change());
    await until("it runs all the same", () => bench.asked.includes("e"));
    expect(seen).toEqual([1, 4]);
    for (const line of ["a", "e"]) end(line);
    await Promise.all([...all, again]);
  });

  test("a device that refuses the delay has proven nothing", async () => {
    const { seen, observer } = limits();
    const made = await startBench(
      {
        onExec: (command) =>
          command.line.startsWith(":delay")
            ? command.answer("bad command name delay (line 1 column 2)")
            : void answered(command, 20, () => {}),
      },
      { channels: 4, observer },
    );
    open.push(made);
    const { transport, server } = made;
    await Promise.all(["a", "b", "c"].map((line) => transport.exec(line, change())));
    await until("it was asked", () => server.lines.includes(":put 1"));
    await Promise.all(["a", "b", "c"].map((line) => transport.exec(line, change())));
    expect(seen).toEqual([1]);
  });

  for (const purpose of ["change", "attach"] as const) {
    test(`a second channel that starts when the first has ended, lane ${purpose}: one at a time, deadlines stay true`, async () => {
      const { seen, observer } = limits();
      let last: Promise<unknown> = Promise.resolve();
      const made = await startBench(
        {
          onExec: (command) => {
            const before = last;
            last = before
              .then(() => answerProbe(command))
              .then((isProbe) => isProbe || setTimeout(() => command.answer(command.line), 60))
              .then(() => new Promise((resolve) => command.channel.once("close", resolve)));
          },
        },
        { channels: 4, observer },
      );
      open.push(made);
      const { transport, server } = made;
      // Eight commands of 60 ms, one after the other, with deadlines of 400 ms each.
      const lines = Array.from({ length: 8 }, (_, i) => `line ${i}`);
      const answers = await Promise.all(
        lines.map((line) => transport.exec(line, change({ timeoutMs: 400, purpose }))),
      );
      expect(answers.map(({ stdout }) => stdout)).toEqual(lines);
      expect(seen).toEqual([1, 1]);
      const asked = server.lines.filter((line) => !line.startsWith("line"));
      // No command runs beside the question: it could hold up the answer, or take the last channel.
      const from = server.lines.indexOf(":delay 100ms");
      expect(server.lines.slice(from, from + 4)).toEqual(asked);
      expect(asked).toEqual([":delay 100ms", ":put 1", expect.stringMatching(/^:delay \d+ms$/), ":put 1"]);
      // The answer is kept: no lane asks again.
      await Promise.all(lines.map((line) => transport.exec(line, read())));
      expect(server.lines.filter((line) => line === ":put 1")).toHaveLength(2);
    });
  }
});
