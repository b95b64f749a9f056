import { afterEach, describe, expect, test } from "bun:test";
import type { TestServerOptions } from "../../../test/support/ssh-server.ts";
import { pinOf, type ServedCommand, testKey } from "../../../test/support/ssh-server.ts";
import { until } from "../../../test/support/until.ts";
import { failure } from "../../domain/errors/driver-error.ts";
import type { SshTransportOptions } from "./ssh-transport.ts";
import { type Bench, change, idOf, read, startBench } from "./transport.fixture.ts";

const open: Bench[] = [];
async function bench(server?: TestServerOptions, transport?: Partial<SshTransportOptions>): Promise<Bench> {
  const made = await startBench(server, transport);
  open.push(made);
  return made;
}
afterEach(async () => {
  for (const made of open.splice(0)) await made.close();
});

describe("commands", () => {
  test("answers with output, error output, status and the line sent", async () => {
    const { transport } = await bench({
      onExec: (command) => {
        command.channel.stderr.write("warning\r\n");
        command.answer(`out of ${command.line}`, 7);
      },
    });
    const result = await transport.exec(':put "é"', read());
    expect(result).toMatchObject({
      stdout: 'out of :put "é"',
      stderr: "warning\r\n",
      exitCode: 7,
      line: ':put "é"',
    });
  });

  test("connects lazily, once per purpose, and reports both", async () => {
    const { transport, server } = await bench();
    expect(server.counts.connections).toBe(0);
    expect([transport.connected("read"), transport.connected("change")]).toEqual([false, false]);
    for (let i = 0; i < 5; i += 1) await transport.exec(`a ${i}`, read());
    expect(server.counts.connections).toBe(1);
    expect([transport.connected("read"), transport.connected("change")]).toEqual([true, false]);
    await transport.exec("b", change());
    expect(server.counts.connections).toBe(2);
    expect(transport.connected("change")).toBe(true);
    expect(transport.address).toBe(`127.0.0.1:${server.port}`);
  });

  test("never has two commands in flight on a connection, and keeps the order", async () => {
    const { transport, server } = await bench({
      onExec: (command) => void setTimeout(() => command.answer(command.line), 2),
    });
    const lines = Array.from({ length: 30 }, (_, i) => `line ${i}`);
    const results = await Promise.all(lines.map((line) => transport.exec(line, change())));
    expect(results.map((result) => result.stdout)).toEqual(lines);
    expect(server.lines).toEqual(lines);
    expect(server.counts.maxInFlight).toBe(1);
  });

  test("refuses what is not one line of reasonable length, before connecting", async () => {
    const { transport, server } = await bench({}, { maxLineBytes: 20 });
    for (const line of ["a\nb", "a\rb", "a\0b", "", "  ", "-x", "é".repeat(11)]) {
      expect(await idOf(transport.exec(line, read()))).toBe("internal");
    }
    expect(server.counts.connections).toBe(0);
    expect((await transport.exec("é".repeat(10), read())).exitCode).toBe(0);
  });

  test("a channel closed without a status is an answer while the connection lives", async () => {
    const { transport } = await bench({
      onExec: (command) => {
        command.channel.write("text");
        command.channel.end();
      },
    });
    expect(await transport.exec("x", read())).toMatchObject({ stdout: "text", exitCode: undefined });
  });

  test("too much output is replyUnreadable, and the next command gets its own answer", async () => {
    const { transport } = await bench(
      {
        onExec: (command) => command.answer(command.line === "big" ? "x".repeat(3000) : "small"),
      },
      { maxOutputBytes: 2000 },
    );
    expect(await idOf(transport.exec("big", read()))).toBe("replyUnreadable");
    expect((await transport.exec("next", read())).stdout).toBe("small");
  });

  test("endless output drops the connection instead of filling memory", async () => {
    const { transport, server } = await bench(
      {
        onExec: (command) => {
          if (command.line === "next") return command.answer("small");
          const more = (): void =>
            void (command.channel.writable && command.channel.write("y".repeat(1000), more));
          more();
        },
      },
      { maxOutputBytes: 20_000 },
    );
    expect(await idOf(transport.exec("endless", read()))).toBe("replyUnreadable");
    expect((await transport.exec("next", read())).stdout).toBe("small");
    expect(server.counts.open).toBeLessThanOrEqual(1);
  });
});

describe("deadlines and aborts", () => {
  test("a running command that never ends: the command is named, connection dropped, next command fine", async () => {
    const { transport, server } = await bench({
      onExec: (command) => command.line !== "hang" && command.answer(command.line),
    });
    await transport.exec("warm", change());
    expect(await idOf(transport.exec("hang", change({ timeoutMs: 60 })))).toBe("rdsSilent");
    expect((await transport.exec("next", change())).stdout).toBe("next");
    expect(server.lines).toEqual(["warm", "hang", "next"]);
    // This server closes a channel when it is asked to, so the connection could be kept.
    expect(server.counts.connections).toBe(1);
  });

  test("a channel that does not close takes its connection with it; nothing runs beside it", async () => {
    const late: ServedCommand[] = [];
    const { transport, server } = await bench({
      onExec: (command) => {
        if (command.line !== "hang") return command.answer("right");
        // As OpenSSH does: the channel stays until the command ends.
        command.channel.close = () => {};
        late.push(command);
      },
    });
    expect(await idOf(transport.exec("hang", change({ timeoutMs: 300 })))).toBe("rdsSilent");
    const next = transport.exec("next", change());
    late[0]?.channel.write("WRONG");
    expect((await next).stdout).toBe("right");
    expect(server.counts.connections).toBe(2);
    expect(server.counts.maxInFlight).toBe(1);
  });

  test("late output of an abandoned command is never taken for the next answer", async () => {
    const late: ServedCommand[] = [];
    const { transport, server } = await bench(
      { onExec: (command) => (command.line === "slow" ? void late.push(command) : command.answer("right")) },
      { channelGraceMs: 2_000 },
    );
    expect(await idOf(transport.exec("slow", read({ timeoutMs: 300 })))).toBe("rdsSilent");
    const next = transport.exec("next", read());
    late[0]?.answer("WRONG");
    expect((await next).stdout).toBe("right");
    // The channel ended within its grace, so the connection was kept.
    expect(server.counts.connections).toBe(1);
    expect(server.counts.maxInFlight).toBe(1);
  });

  test("a deadline counts from sending: a command that waits longer than its deadline is answered", async () => {
    const held: ServedCommand[] = [];
    const { transport, server } = await bench({
      onExec: (command) =>
        command.line !== "second" ? void held.push(command) : command.answer(command.line),
    });
    const first = transport.exec("first", change());
    await until("first command runs", () => held.length === 1);
    const second = transport.exec("second", change({ timeoutMs: 300 }));
    // A read that is never answered tells when a deadline of the same length has passed.
    expect(await idOf(transport.exec("hang", read({ timeoutMs: 400 })))).toBe("rdsSilent");
    held[0]?.answer("done");
    expect((await first).stdout).toBe("done");
    expect((await second).stdout).toBe("second");
    expect(server.lines).toEqual(["first", "hang", "second"]);
  });

  test("a command that is not sent within the limit of the queue says how long it waited, and is never sent", async () => {
    const held: ServedCommand[] = [];
    const { transport, server } = await bench(
      {
        onExec: (command) =>
          command.line === "first" ? void held.push(command) : command.answer(command.line),
      },
      { queueMs: 100 },
    );
    const first = transport.exec("first", change());
    await until("first command runs", () => held.length === 1);
    const refused = transport.exec("second", change({ what: "create volume x" }));
    await expect(refused).rejects.toMatchObject({ id: "rdsQueueSlow" });
    await expect(refused).rejects.toThrow(
      /^create volume x: waited 0\.\d s in the driver's command queue, behind 1 others at first; nothing was sent/,
    );
    held[0]?.answer("done");
    expect((await first).stdout).toBe("done");
    await transport.exec("third", change());
    expect(server.lines).toEqual(["first", "third"]);
  });

  test("an abort removes a queued command and gives up a running one", async () => {
    const held: ServedCommand[] = [];
    const { transport, server } = await bench({
      onExec: (command) =>
        command.line === "first" ? void held.push(command) : command.answer(command.line),
    });
    const running = new AbortController();
    const queued = new AbortController();
    const first = transport.exec("first", change({ signal: running.signal }));
    await until("first command runs", () => held.length === 1);
    const second = transport.exec("second", change({ signal: queued.signal }));
    queued.abort();
    expect(await idOf(second)).toBe("cancelled");
    running.abort(failure("deadlineExceeded", { what: "CreateVolume", seconds: 3 }));
    expect(await idOf(first)).toBe("deadlineExceeded");
    expect((await transport.exec("third", change())).stdout).toBe("third");
    expect(server.lines).toEqual(["first", "third"]);
  });

  test("an already aborted signal sends nothing", async () => {
    const { transport, server } = await bench();
    expect(await idOf(transport.exec("x", read({ signal: AbortSignal.abort() })))).toBe("cancelled");
    expect(server.counts.connections).toBe(0);
  });
});

describe("queue", () => {
  test("is bounded per connection", async () => {
    const held: ServedCommand[] = [];
    const { transport } = await bench({ onExec: (command) => void held.push(command) }, { queueLimit: 3 });
    const all = [transport.exec("0", change())];
    await until("first command runs", () => held.length === 1);
    for (const line of ["1", "2", "3"]) all.push(transport.exec(line, change()));
    expect(await idOf(transport.exec("4", change()))).toBe("rdsQueueFull");
    all.push(transport.exec("other purpose", read()));
    const leaver = new AbortController();
    all.shift();
    held.shift()?.answer("ok");
    await until("the next command runs", () => held.some(({ line }) => line === "1"));
    const room = idOf(transport.exec("5", change({ signal: leaver.signal })));
    expect(await idOf(transport.exec("6", change()))).toBe("rdsQueueFull");
    leaver.abort();
    expect(await room).toBe("cancelled");
    all.push(transport.exec("7", change()));
    for (let i = 0; i < all.length; i += 1) {
      await until(`command ${i} runs`, () => held.length > 0);
      held.shift()?.answer("ok");
    }
    expect((await Promise.all(all)).length).toBe(5);
  });

  test("interactive overtakes background, first come first served within each", async () => {
    const held: ServedCommand[] = [];
    const { transport, server } = await bench({
      onExec: (command) => (command.line === "0" ? void held.push(command) : command.answer("ok")),
    });
    const all = [transport.exec("0", change())];
    await until("first command runs", () => held.length === 1);
    for (const [line, priority] of [
      ["b1", "background"],
      ["b2", "background"],
      ["i1", "interactive"],
      ["i2", "interactive"],
    ] as const) {
      all.push(transport.exec(line, change({ priority })));
    }
    held[0]?.answer("ok");
    await Promise.all(all);
    expect(server.lines).toEqual(["0", "i1", "i2", "b1", "b2"]);
  });
});

describe("equal reads", () => {
  async function held(): Promise<Bench & { first: ServedCommand[]; blocked: Promise<unknown> }> {
    const first: ServedCommand[] = [];
    const made = await bench({
      onExec: (command) =>
        command.line === "block" ? void first.push(command) : command.answer(`for ${command.line}`),
    });
    const blocked = made.transport.exec("block", read());
    await until("blocker runs", () => first.length === 1);
    return { ...made, first, blocked };
  }

  test("share one waiting command by key, and all learn which line was sent", async () => {
    const { transport, server, first, blocked } = await held();
    const all = ["n1", "n2", "n3"].map((nonce) =>
      transport.exec(`list ${nonce}`, read({ coalesceKey: "list" })),
    );
    const other = transport.exec("list n4", read({ coalesceKey: "other" }));
    first[0]?.answer("");
    await blocked;
    for (const result of await Promise.all(all))
      expect(result).toMatchObject({ stdout: "for list n1", line: "list n1" });
    expect((await other).line).toBe("list n4");
    expect(server.lines).toEqual(["block", "list n1", "list n4"]);
  });

  test("never join a command that has been sent already", async () => {
    const { transport, server, first, blocked } = await held();
    const again = transport.exec("block", read());
    first[0]?.answer("old");
    await blocked;
    await until("the second read runs by itself", () => first.length === 2);
    first[1]?.answer("new");
    expect((await again).stdout).toBe("new");
    expect(server.lines).toEqual(["block", "block"]);
  });

  test("one leaving caller does not cancel the others; the last one does", async () => {
    const { transport, server, first, blocked } = await held();
    const leaver = new AbortController();
    const a = transport.exec("list", read({ signal: leaver.signal }));
    const b = transport.exec("list", read());
    const lonely = transport.exec("lonely", read({ signal: leaver.signal }));
    leaver.abort();
    expect(await Promise.all([idOf(a), idOf(lonely)])).toEqual(["cancelled", "cancelled"]);
    first[0]?.answer("");
    await blocked;
    expect((await b).stdout).toBe("for list");
    expect(server.lines).toEqual(["block", "list"]);
  });

  test("an interactive caller raises a background command; mutations never share", async () => {
    const { transport, server, first, blocked } = await held();
    const all = [
      transport.exec("x", read({ priority: "background" })),
      transport.exec("y", read({ priority: "background" })),
      transport.exec("y", read({ priority: "interactive" })),
    ];
    first[0]?.answer("");
    await Promise.all([blocked, ...all]);
    expect(server.lines).toEqual(["block", "y", "x"]);
    server.lines.length = 0;
    await Promise.all([
      transport.exec("m", change()),
      transport.exec("m", change()),
      transport.exec("m", change()),
    ]);
    expect(server.lines).toEqual(["m", "m", "m"]);
  });
});

describe("closing", () => {
  test("fails waiting and running commands, closes the connections, and is final", async () => {
    const { transport, server } = await bench({ onExec: () => {} });
    const results = [
      transport.exec("1", change()),
      transport.exec("2", change()),
      transport.exec("3", read()),
    ].map(idOf);
    await until("both connections are busy", () => server.lines.length === 2);
    await transport.close();
    expect(await Promise.all(results)).toEqual(["shuttingDown", "shuttingDown", "shuttingDown"]);
    await until("connections are closed", () => server.counts.open === 0);
    expect(await idOf(transport.exec("4", read()))).toBe("shuttingDown");
    await transport.close();
  });

  test("gives up a connection attempt", async () => {
    const { transport } = await bench(
      {},
      { host: "127.0.0.1", hostKeys: [pinOf(testKey("ed25519").public)], port: 1 },
    );
    const result = idOf(transport.exec("x", read()));
    await transport.close();
    expect(await result).toBe("shuttingDown");
  });
});
