import { afterEach, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { pinOf, startTestServer, type TestServerOptions, testKey } from "../../../test/support/ssh-server.ts";
import { until } from "../../../test/support/until.ts";
import type { Clock } from "../../domain/clock.ts";
import type { SshTransportOptions } from "./ssh-transport.ts";
import { type Bench, change, idOf, read, startBench } from "./transport.fixture.ts";
import type { Purpose, TransportObserver } from "./transport.ts";

const cleanups: (() => Promise<unknown> | unknown)[] = [];
async function bench(server?: TestServerOptions, transport?: Partial<SshTransportOptions>): Promise<Bench> {
  const made = await startBench(server, transport);
  cleanups.push(made.close);
  return made;
}
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function record(): { observer: TransportObserver; events: string[] } {
  const events: string[] = [];
  const observer: TransportObserver = {
    onSent: () => {},
    onCommand: (purpose, outcome, seconds) => {
      if (!(seconds >= 0)) throw new Error(`seconds ${seconds}`);
      events.push(`${purpose} ${outcome}`);
    },
    onConnected: (purpose) => void events.push(`${purpose} connected`),
    onConnectFailed: (purpose, reason) => void events.push(`${purpose} failed: ${reason}`),
    onDisconnected: (purpose) => void events.push(`${purpose} disconnected`),
    onReconnect: (purpose) => void events.push(`${purpose} reconnect`),
    onQueueLength: () => {},
    onChannels: () => {},
  };
  return { observer, events };
}

describe("lost connections", () => {
  test("cut after the command was sent: outcome unknown, not repeated", async () => {
    const { transport, server } = await bench({
      onExec: (command) => (command.line === "cut" ? command.cut() : command.answer("ok")),
    });
    expect(await idOf(transport.exec("cut", change()))).toBe("rdsOutcomeUnknown");
    expect((await transport.exec("next", change())).stdout).toBe("ok");
    expect(server.lines).toEqual(["cut", "next"]);
  });

  test("cut in the middle of the answer: outcome unknown", async () => {
    const { transport } = await bench({
      onExec: (command) => void command.channel.write("half", () => command.cut()),
    });
    expect(await idOf(transport.exec("x", read()))).toBe("rdsOutcomeUnknown");
  });

  test("cut before the command was sent: repeated by the transport, run once", async () => {
    let left = 3;
    const { observer, events } = record();
    const { transport, server } = await bench(
      { onSession: () => (left-- > 0 ? "cut" : "accept") },
      { observer },
    );
    expect((await transport.exec("once", change())).stdout).toBe("once");
    expect(server.lines).toEqual(["once"]);
    expect(server.counts.connections).toBe(4);
    expect(events.filter((event) => event === "change notSent").length).toBe(3);
    expect(events.filter((event) => event === "change reconnect").length).toBe(3);
  });

  test("a refused channel counts as not sent and leads to a new connection", async () => {
    let left = 1;
    const { transport, server } = await bench({ onSession: () => (left-- > 0 ? "refuse" : "accept") });
    expect((await transport.exec("once", change())).stdout).toBe("once");
    expect(server.counts.connections).toBe(2);
  });

  test("a declined exec request is reported, as it did not run", async () => {
    const { transport } = await bench({ onExecRequest: () => "refuse" });
    expect(await idOf(transport.exec("x", change()))).toBe("rdsBusy");
    // The network is not to blame.
    await expect(transport.exec("x", change())).rejects.toThrow("the SSH server accepted the login");
  });

  test("cut between the exec request and its confirmation: it may have run, so it is not repeated", async () => {
    let requests = 0;
    const { transport } = await bench({
      onExecRequest: () => {
        requests += 1;
        return "cut";
      },
    });
    expect(await idOf(transport.exec("x", change()))).toBe("rdsOutcomeUnknown");
    expect(requests).toBe(1);
  });

  test("an answered command ends the back-off: many kills in a long life do not add up", async () => {
    const { transport, server } = await bench(
      {},
      { backoff: { firstMs: 10, maxMs: 600_000, maxFatalMs: 5 } },
    );
    for (let i = 0; i < 14; i += 1) {
      expect((await transport.exec(`command ${i}`, read({ timeoutMs: 2_000 }))).exitCode).toBe(0);
      server.cutAll();
      await until(`cut ${i} is noticed`, () => !transport.connected("read"));
    }
  });

  test("a command that is never sent ends with the patience, without unlimited attempts", async () => {
    const { transport, server } = await bench(
      { onSession: () => "cut" },
      { backoff: { firstMs: 20, maxMs: 50, maxFatalMs: 5 }, patienceMs: 300 },
    );
    expect(await idOf(transport.exec("x", change()))).toBe("rdsUnreachable");
    expect(server.lines).toEqual([]);
    expect(server.counts.connections).toBeLessThan(25);
    expect(server.counts.connections).toBeGreaterThan(2);
  });

  test("20 kills: every one noticed, listeners told, no file descriptor left", async () => {
    const { transport, server } = await bench();
    const heard: Purpose[] = [];
    const stop = transport.onReconnect((purpose) => heard.push(purpose));
    await transport.exec("warm", read());
    const before = readdirSync("/proc/self/fd").length;
    for (let i = 0; i < 20; i += 1) {
      server.cutAll();
      await until(`cut ${i} is noticed`, () => !transport.connected("read"));
      expect((await transport.exec(`after ${i}`, read())).stdout).toBe(`after ${i}`);
    }
    expect(heard).toEqual(Array.from({ length: 20 }, () => "read"));
    expect(server.counts.connections).toBe(21);
    await until("old connections are closed", () => server.counts.open === 1);
    expect(readdirSync("/proc/self/fd").length).toBeLessThanOrEqual(before + 1);
    stop();
    server.cutAll();
    await until("the last cut is noticed", () => !transport.connected("read"));
    await transport.exec("end", read());
    expect(heard.length).toBe(20);
  });

  test("a server that comes back is used by callers that already wait", async () => {
    const made = await bench();
    const { transport, server, userKey } = made;
    await transport.exec("warm", read());
    await server.close();
    const waiting = transport.exec("waiting", read());
    await until("the loss is noticed", () => !transport.connected("read"));
    const hostKey = testKey("ed25519");
    const again = await startTestServer(
      { userKeys: [userKey.public], hostKeys: [hostKey.private] },
      server.port,
    );
    cleanups.push(again.close);
    // It came back with another host key: that must not be used.
    expect(await idOf(waiting)).toBe("hostKeyMismatch");
    await again.close();
    const good = await startTestServer(
      { ...server.options, onExec: (command) => command.answer("back") },
      server.port,
    );
    cleanups.push(good.close);
    const trusted = await bench(
      {},
      { port: server.port, hostKeys: [pinOf(good.fingerprint)], keyFile: made.keyFile },
    );
    expect((await trusted.transport.exec("x", read())).stdout).toBe("back");
  });
});

describe("unreachable", () => {
  test("nobody listens: a caller is told the reason once its patience is over", async () => {
    const { transport } = await bench({}, { port: 1, patienceMs: 60 });
    await expect(transport.exec("x", read())).rejects.toThrow(/ECONNREFUSED|refused/i);
    expect(await idOf(transport.exec("x", read()))).toBe("rdsUnreachable");
  });

  test("a server that accepts and never speaks", async () => {
    const silent = createServer();
    silent.listen(0, "127.0.0.1");
    await once(silent, "listening");
    cleanups.push(() => silent.close());
    const { port } = silent.address() as AddressInfo;
    // The first attempt fails when the patience is over.
    const { transport } = await bench({}, { port, connectTimeoutMs: 100, patienceMs: 50 });
    const { message } = await transport.exec("x", read()).then(
      () => ({ message: "answered" }),
      (error: Error) => error,
    );
    expect(message).toContain("Timed out while waiting for handshake");
    expect(await idOf(transport.exec("x", read()))).toBe("rdsUnreachable");
  });

  test("a command that takes long is not disturbed by the watch of idle connections", async () => {
    const lines: string[] = [];
    const { transport, server } = await bench(
      {
        onExec: (command) => {
          lines.push(command.line);
          if (command.line !== "long") command.answer("ok");
          else setTimeout(() => command.answer("done"), 300);
        },
      },
      { idleCheckMs: 20, idleAnswerMs: 40 },
    );
    const [long] = await Promise.all([transport.exec("long", change()), transport.exec("quick", read())]);
    expect(long.stdout).toBe("done");
    expect(server.counts.connections).toBe(2);
    // The other connection was idle meanwhile, and gave signs of life.
    expect(lines.filter((line) => line === ":put 1").length).toBeGreaterThan(2);
  });

  test("a peer that hangs while nobody asks it anything is noticed, within idle time and answer time", async () => {
    const { transport, server } = await bench({}, { idleCheckMs: 40, idleAnswerMs: 60 });
    await transport.exec("warm", read());
    const started = performance.now();
    server.freeze();
    await until("the hang is noticed", () => !transport.connected("read"));
    expect(performance.now() - started).toBeGreaterThan(90);
    expect((await transport.exec("next", read())).stdout).toBe("next");
  });

  test("the kernel watches an idle connection: a link that is cut without a word is found without a command", async () => {
    if (process.platform !== "linux") return;
    const { transport, server } = await bench({}, { tcpKeepaliveMs: 7_000 });
    await transport.exec("warm", read());
    const timer = (): string => {
      const port = server.port.toString(16).toUpperCase().padStart(4, "0");
      const rows = readFileSync("/proc/net/tcp", "utf8").split("\n");
      // Columns of proc(5): remote address, state 01 (established), and the timer with its ticks of 10 ms, hexadecimal.
      const row = rows.find((one) => one.includes(`:${port} 01 `));
      return row?.trim().split(/\s+/)[5] ?? "";
    };
    // Timer 2 is that of keepalives; data that is under way has another one, for as long as it is.
    await until("the keepalive timer runs", () => timer().startsWith("02:"));
    const seconds = Number.parseInt(timer().slice(3), 16) / 100;
    expect(seconds).toBeGreaterThan(0);
    expect(seconds).toBeLessThanOrEqual(7.1);
  });

  test("back-off doubles from 0.25 s to 30 s, by the injected clock", async () => {
    const waits: number[] = [];
    const real = { now: () => 0, monotonic: () => 0 };
    let done: (() => void) | undefined;
    const finished = new Promise<void>((resolve) => {
      done = resolve;
    });
    const clock: Clock = {
      ...real,
      sleep: (ms, signal) => {
        if (ms === 999_999)
          return new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
        waits.push(ms);
        if (waits.length === 10) {
          done?.();
          return new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
        }
        return Promise.resolve();
      },
    };
    const { transport } = await bench(
      {},
      { port: 1, clock, random: () => 1, backoff: undefined, patienceMs: 999_999, queueMs: 999_999 },
    );
    const stop = new AbortController();
    const call = idOf(transport.exec("x", read({ timeoutMs: 999_999, signal: stop.signal })));
    await finished;
    expect(waits).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
    stop.abort();
    expect(await call).toBe("cancelled");
  });
});

describe("host keys", () => {
  test("a key that is not pinned is refused, and the message shows it", async () => {
    const wrong = pinOf(testKey("ed25519").public);
    const { transport, server } = await bench({}, { hostKeys: [wrong] });
    const call = transport.exec("x", read());
    await expect(call).rejects.toMatchObject({ id: "hostKeyMismatch" });
    await expect(call).rejects.toThrow(server.fingerprint);
    await expect(call).rejects.toThrow(wrong.fingerprint);
    expect(server.counts.logins).toBe(0);
  });

  test("no pin at all fails closed", async () => {
    const { transport, server } = await bench({}, { hostKeys: [] });
    expect(await idOf(transport.exec("x", read()))).toBe("hostKeyMismatch");
    expect(server.counts.logins).toBe(0);
  });

  test("one of several pins is enough", async () => {
    const made = await bench();
    const pins = [
      pinOf(testKey("ed25519").public),
      pinOf(made.server.hostLine),
      pinOf(testKey("rsa").public),
    ];
    const other = await bench({}, { port: made.server.port, keyFile: made.keyFile, hostKeys: pins });
    expect((await other.transport.exec("x", read())).stdout).toBe("x");
  });

  test("RSA host keys work by fingerprint and by key line", async () => {
    const rsa = testKey("rsa");
    for (const pin of [undefined, pinOf(rsa.public)]) {
      const made = await bench({ hostKeys: [rsa.private] }, pin === undefined ? {} : { hostKeys: [pin] });
      expect((await made.transport.exec("x", read())).stdout).toBe("x");
    }
  });

  test("a server with two host keys shows the type that is pinned", async () => {
    const ed = testKey("ed25519");
    const rsa = testKey("rsa");
    const { transport } = await bench(
      { hostKeys: [ed.private, rsa.private] },
      { hostKeys: [pinOf(rsa.public)] },
    );
    expect((await transport.exec("x", read())).stdout).toBe("x");
  });

  test("a server without the pinned type is a host key mismatch", async () => {
    const { transport } = await bench({}, { hostKeys: [pinOf(testKey("rsa").public)] });
    expect(await idOf(transport.exec("x", read()))).toBe("hostKeyMismatch");
  });
});

describe("user keys", () => {
  test("a refused key is authenticationFailed at once, and a rotated file works on the next call", async () => {
    const made = await bench();
    await writeFile(made.keyFile, testKey("ed25519").private);
    // The deadline is longer than a test may take.
    expect(await idOf(made.transport.exec("x", read({ timeoutMs: 600_000 })))).toBe("authenticationFailed");
    await writeFile(made.keyFile, made.userKey.private);
    expect((await made.transport.exec("y", read())).stdout).toBe("y");
  });

  test("the key is read again for every connection", async () => {
    const made = await bench();
    await made.transport.exec("x", read());
    await writeFile(made.keyFile, testKey("ed25519").private);
    expect((await made.transport.exec("still connected", read())).exitCode).toBe(0);
    made.server.cutAll();
    await until("the cut is noticed", () => !made.transport.connected("read"));
    expect(await idOf(made.transport.exec("y", read()))).toBe("authenticationFailed");
  });

  test("RSA user keys log in", async () => {
    const rsa = testKey("rsa");
    const made = await bench({ userKeys: [rsa.public] });
    await writeFile(made.keyFile, rsa.private);
    expect((await made.transport.exec("x", read())).stdout).toBe("x");
  });

  test("a missing key file fails at once, naming the file", async () => {
    const { transport, directory, server } = await bench();
    const lost = join(directory, "nothing");
    const other = await bench({}, { keyFile: lost, port: server.port });
    await expect(other.transport.exec("x", read())).rejects.toThrow(lost);
    expect(transport.connected("read")).toBe(false);
  });
});

test("the observer sees what happens", async () => {
  const { observer, events } = record();
  const { transport, server } = await bench({}, { observer });
  await transport.exec("a", change());
  server.cutAll();
  await until("the cut is noticed", () => !transport.connected("change"));
  await transport.exec("b", change());
  expect(events).toEqual([
    "change connected",
    "change answered",
    "change disconnected",
    "change connected",
    "change reconnect",
    "change answered",
  ]);
});
