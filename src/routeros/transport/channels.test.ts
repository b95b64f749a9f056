import { afterEach, describe, expect, test } from "bun:test";
import { type LogLine, recordingLogger } from "../../../test/support/kubernetes/world.ts";
import { until } from "../../../test/support/until.ts";
import { systemClock } from "../../domain/clock.ts";
import { inBackground } from "../../observability/request-scope.ts";
import { type HeldBench, proveParallel, startHeld } from "./parallel-server.fixture.ts";
import { change, idOf, read } from "./transport.fixture.ts";

const open: HeldBench[] = [];
async function proven(...options: Parameters<typeof startHeld>): Promise<HeldBench> {
  const made = await startHeld(...options);
  open.push(made);
  await proveParallel(made);
  made.asked.length = 0;
  return made;
}
afterEach(async () => {
  for (const made of open.splice(0)) await made.close();
});

const attach = (more: Parameters<typeof change>[0] = {}) => change({ purpose: "attach", ...more });

describe("commands at once", () => {
  test("a caller that gives up after a long wait leaves a warning that says how many commands were before it", async () => {
    const lines: LogLine[] = [];
    const logger = recordingLogger(lines);
    let now = 0;
    const clock = { ...systemClock, monotonic: () => now };
    const { transport, held, end } = await proven({}, { logger, clock, channels: 1 });
    const first = transport.exec("first", change());
    await until("one runs", () => held.length === 1);
    const warned = () => lines.filter(({ message }) => message.startsWith("command left the queue unsent"));
    for (const waitedMs of [4_900, 5_000]) {
      const leaves = new AbortController();
      const second = idOf(transport.exec("second", change({ signal: leaves.signal })));
      now += waitedMs;
      leaves.abort(new Error("gave up"));
      await second;
    }
    expect(warned().map(({ level, fields }) => [level, fields?.queueSeconds, fields?.ahead])).toEqual([
      ["debug", 4.9, 1],
      ["warn", 5, 1],
    ]);
    end("first");
    await first;
  });

  test("up to N commands run on one connection, the next one when one of them has ended", async () => {
    const { transport, held, asked, end, server } = await proven();
    const all = ["a", "b", "c", "d", "e"].map((line) => transport.exec(line, change()));
    await until("four commands run", () => held.length === 4);
    expect(asked).toEqual(["a", "b", "c", "d"]);
    end("c");
    await until("the fifth command runs", () => asked.length === 5);
    for (const line of ["a", "b", "d", "e"]) end(line);
    expect((await Promise.all(all)).map(({ stdout }) => stdout)).toEqual(["a", "b", "c", "d", "e"]);
    expect(server.counts.connections).toBe(1);
  });

  test("answers come in any order, each to its own caller", async () => {
    const { transport, held, end } = await proven();
    const all = ["a", "b", "c"].map((line) => transport.exec(line, change()));
    await until("three commands run", () => held.length === 3);
    for (const line of ["c", "a", "b"]) end(line);
    expect((await Promise.all(all)).map(({ stdout }) => stdout)).toEqual(["a", "b", "c"]);
  });

  test("an attach goes out at once while fifty creates run and wait", async () => {
    const { transport, held, asked, end } = await proven();
    const creates = Array.from({ length: 50 }, (_, i) => transport.exec(`create ${i}`, change()));
    await until("four creates run", () => held.length === 4);
    const attached = transport.exec("attach", attach());
    await until("the attach runs", () => asked.includes("attach"));
    expect(asked).toEqual(["create 0", "create 1", "create 2", "create 3", "attach"]);
    end("attach");
    expect((await attached).stdout).toBe("attach");
    for (let i = 0; i < 50; i += 1) {
      await until(`create ${i} runs`, () => held.some(({ line }) => line === `create ${i}`));
      end(`create ${i}`);
    }
    expect((await Promise.all(creates)).length).toBe(50);
  });

  test("attaches run on channels that the other lanes do not need, and leave one to each", async () => {
    const { transport, held, asked, end, server } = await proven();
    const look = transport.exec("look", read());
    await until("the look runs", () => held.length === 1);
    const attaches = Array.from({ length: 12 }, (_, i) => transport.exec(`attach ${i}`, attach()));
    // Its own four, two beside the look, three of the lane of changes.
    await until("nine attaches run", () => held.length === 10);
    const create = transport.exec("create", change());
    await until("the create runs", () => asked.includes("create"));
    expect(asked.filter((line) => line.startsWith("attach"))).toHaveLength(9);
    expect(server.counts.connections).toBe(3);
    for (const line of ["look", "create"]) end(line);
    for (let i = 0; i < 12; i += 1) {
      await until(`attach ${i} runs`, () => held.some(({ line }) => line === `attach ${i}`));
      end(`attach ${i}`);
    }
    expect((await Promise.all([look, create, ...attaches])).map(({ stdout }) => stdout)).toHaveLength(14);
  });

  test("background commands leave one channel to interactive ones", async () => {
    const { transport, held, asked, end } = await proven();
    const inRound = (line: string) => inBackground("reconcile", () => transport.exec(line, change()));
    const all = ["b1", "b2", "b3", "b4"].map(inRound);
    await until("three background commands run", () => held.length === 3);
    // Another lane tells that there was time for the fourth.
    const witness = transport.exec("witness", read());
    await until("the witness runs", () => asked.includes("witness"));
    end("witness");
    await witness;
    expect(asked).toEqual(["b1", "b2", "b3", "witness"]);
    asked.pop();
    all.push(transport.exec("i1", change()));
    await until("the interactive command runs", () => asked.length === 4);
    expect(asked).toEqual(["b1", "b2", "b3", "i1"]);
    end("i1");
    all.push(transport.exec("i2", change()));
    await until("the next interactive command runs", () => asked.length === 5);
    end("b2");
    end("b1");
    await until("the fourth background command runs", () => asked.length === 6);
    expect(asked.slice(4)).toEqual(["i2", "b4"]);
    for (const line of ["i2", "b3", "b4"]) end(line);
    await Promise.all(all);
  });

  test("joined callers get the same result object", async () => {
    const { transport, held, end } = await proven();
    const blockers = ["1", "2", "3", "4"].map((line) => transport.exec(line, read()));
    await until("the channels are full", () => held.length === 4);
    const both = [transport.exec("list", read()), transport.exec("list", read())];
    for (const line of ["1", "2", "3", "4"]) end(line);
    await until("the list runs", () => held.some(({ line }) => line === "list"));
    end("list");
    const [one, other] = await Promise.all(both);
    expect(one).toBe(other as NonNullable<typeof other>);
    expect(Object.keys(one ?? {}).sort()).toEqual(["exitCode", "line", "stderr", "stdout"]);
    await Promise.all(blockers);
  });

  test("a connection that is cut fails all running commands, and only those", async () => {
    const { transport, held, asked, end, server } = await proven();
    const all = ["a", "b", "c", "d", "e"].map((line) => transport.exec(line, change()));
    const ids = all.map((one) => idOf(one));
    await until("four commands run", () => held.length === 4);
    server.cutAll();
    await until("the fifth command runs", () => asked.length === 5);
    end("e");
    expect(await Promise.all(ids)).toEqual([...Array(4).fill("rdsOutcomeUnknown"), "none"]);
    expect(asked).toEqual(["a", "b", "c", "d", "e"]);
  });

  test("a lost connection is named as the reason, and nothing else is", async () => {
    const { transport, held, server } = await proven();
    const lost = transport.exec("a", change());
    await until("the command runs", () => held.length === 1);
    server.cutAll();
    await expect(lost).rejects.toThrow("the connection was lost");
  });
});

describe("the order of changes of one object", () => {
  test("the next one waits until the first has ended, in both lanes; others pass", async () => {
    const { transport, held, asked, end } = await proven();
    const all = [
      transport.exec("create x", change({ orderKey: "x" })),
      transport.exec("attach x", attach({ orderKey: "x" })),
      transport.exec("delete x", change({ orderKey: "x" })),
      transport.exec("attach y", attach({ orderKey: "y" })),
      transport.exec("create z", change({ orderKey: "z" })),
    ];
    await until("three commands run", () => held.length === 3);
    expect([...asked].sort()).toEqual(["attach y", "create x", "create z"]);
    end("create x");
    await until("the attach of x runs", () => asked.includes("attach x"));
    expect(asked).not.toContain("delete x");
    end("attach x");
    await until("the deletion of x runs", () => asked.includes("delete x"));
    for (const line of ["delete x", "attach y", "create z"]) end(line);
    expect((await Promise.all(all)).length).toBe(5);
  });

  test("a command whose caller has left holds the next one back until its channel has ended", async () => {
    const { transport, held, asked, end } = await proven({}, { channelGraceMs: 600_000 });
    const leaver = new AbortController();
    const first = idOf(transport.exec("create x", change({ orderKey: "x", signal: leaver.signal })));
    await until("the first command runs", () => held.length === 1);
    // As OpenSSH does: the channel stays until the command ends.
    const [create] = held;
    if (create !== undefined) create.channel.close = () => {};
    leaver.abort();
    expect(await first).toBe("cancelled");
    const second = transport.exec("attach x", attach({ orderKey: "x" }));
    const other = transport.exec("attach y", attach({ orderKey: "y" }));
    await until("the other object's command runs", () => asked.includes("attach y"));
    expect(asked).not.toContain("attach x");
    if (create !== undefined) {
      Reflect.deleteProperty(create.channel, "close");
      create.channel.close();
    }
    await until("the second command runs", () => asked.includes("attach x"));
    end("attach x");
    end("attach y");
    await Promise.all([second, other]);
  });

  test("a command that leaves the queue unsent gives its place to the next one", async () => {
    const { transport, held, asked, end } = await proven();
    const leaver = new AbortController();
    const first = transport.exec("1", change({ orderKey: "x" }));
    await until("the first command runs", () => held.length === 1);
    const second = idOf(transport.exec("2", change({ orderKey: "x", signal: leaver.signal })));
    const third = transport.exec("3", attach({ orderKey: "x" }));
    leaver.abort();
    expect(await second).toBe("cancelled");
    end("1");
    await until("the third command runs", () => asked.includes("3"));
    end("3");
    await Promise.all([first, third]);
    expect(asked).toEqual(["1", "3"]);
  });

  test("an attach overtakes background changes of its object that wait, and not the one that runs", async () => {
    const { transport, held, asked, end } = await proven();
    const background = (line: string) => change({ priority: "background", orderKey: line.slice(-1) });
    const running = transport.exec("repair x", background("repair x"));
    await until("a repair of x runs", () => held.length === 1);
    const blockers = ["1", "2", "3"].map((line) => transport.exec(line, change()));
    await until("the channels are full", () => held.length === 4);
    const waiting = ["again x", "repair y"].map((line) => transport.exec(line, background(line)));
    const attaches = ["attach x", "attach y"].map((line) =>
      transport.exec(line, attach({ orderKey: line.slice(-1) })),
    );
    await until("the attach of y runs", () => asked.includes("attach y"));
    expect(asked).not.toContain("attach x");
    end("repair x");
    await until("the attach of x runs", () => asked.includes("attach x"));
    expect(asked).not.toContain("again x");
    for (const line of ["1", "2", "3", "attach x", "attach y"]) end(line);
    await until("the others run", () => asked.length === 8);
    for (const line of ["again x", "repair y"]) end(line);
    expect(await Promise.all([running, ...blockers, ...waiting, ...attaches])).toHaveLength(8);
  });
});
