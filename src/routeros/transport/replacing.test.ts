import { afterEach, describe, expect, test } from "bun:test";
import { setTimeout as delay } from "node:timers/promises";
import type { ServedCommand } from "../../../test/support/ssh-server.ts";
import { until } from "../../../test/support/until.ts";
import { answerProbe, type HeldBench, proveParallel, startHeld } from "./parallel-server.fixture.ts";
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

/** Answers a command after a while. The device has room for another one before the answer arrives. */
async function answered(command: ServedCommand, ms: number, ended: () => void): Promise<void> {
  const answer = (text: string): void => {
    ended();
    command.answer(text);
  };
  if (await answerProbe({ ...command, answer })) return;
  await delay(ms);
  answer(command.line);
}

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
      expect(asked).toEqual([":delay 100ms", ":put 1", expect.stringMatching(/^:delay \d+ms$/), ":put 1"]);
      // The answer is kept: no lane asks again.
      await Promise.all(lines.map((line) => transport.exec(line, read())));
      expect(server.lines.filter((line) => line === ":put 1")).toHaveLength(2);
    });
  }
});
