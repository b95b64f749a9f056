import { describe, expect, test } from "bun:test";
import ssh2 from "ssh2";
import { connect, connectWith, TEST_KEYS } from "../../test/support/simulator-client.ts";
import { addLine } from "../../test/support/simulator-console.ts";
import { until } from "../../test/support/until.ts";
import { both, cleanups, login, start, useSimulators } from "./simulator.fixture.ts";
import type { Simulator } from "./simulator.ts";

useSimulators();

describe("transport", () => {
  test("exec gives output with CRLF and exit status 0; errors go to stdout with 0", async () => {
    const [simulator, client] = await both();
    expect(await client.exec(":put 1; :put 2")).toEqual({ stdout: "1\r\n2\r\n", stderr: "", code: 0 });
    expect(await client.exec(':put 1; :error "x"')).toEqual({ stdout: "1\r\nx\r\n", stderr: "", code: 0 });
    expect(await client.exec("/nope")).toEqual({
      stdout: "bad command name nope (line 1 column 2)\r\n",
      stderr: "",
      code: 0,
    });
    expect(simulator.commands.map((entry) => entry.outcome)).toEqual(["ok", "runtime-error", "parse-error"]);
    expect(simulator.commands[1]).toMatchObject({
      sequence: 2,
      connection: 1,
      channel: 2,
      user: "csi",
      output: "1\r\nx\r\n",
    });
  });

  test("profile strict: status 1, stderr, LF", async () => {
    const [, client] = await both({ profile: "strict" });
    expect(await client.exec(':put 1; :error "x"')).toEqual({ stdout: "1\n", stderr: "x\n", code: 1 });
    expect(await client.exec("/nope")).toMatchObject({ stdout: "", code: 1 });
  });

  test("the host key has the fingerprint that is announced", async () => {
    const simulator = await start();
    let seen = "";
    const client = await connectWith(simulator, {
      username: "csi",
      privateKey: TEST_KEYS.private,
      hostHash: "sha256",
      hostVerifier: (hash: string) => {
        seen = `SHA256:${Buffer.from(hash, "hex").toString("base64").replace(/=+$/, "")}`;
        return true;
      },
    });
    client.close();
    expect(simulator.hostKeyFingerprints).toEqual([seen]);
  });

  test("RSA keys work, for hosts and for users", async () => {
    const rsa = ssh2.utils.generateKeyPairSync("rsa", { bits: 2048 });
    const simulator = await start({
      hostKeys: [{ type: "rsa", pem: rsa.private }],
      users: [{ name: "r", publicKeys: [rsa.public] }],
    });
    const client = await connectWith(simulator, { username: "r", privateKey: rsa.private });
    expect((await client.exec(":put 1")).stdout).toBe("1\r\n");
    client.close();
  });

  test("refuses other keys, other users, ECDSA, a missing ssh policy, and passwords where there is a key", async () => {
    const ecdsa = ssh2.utils.generateKeyPairSync("ecdsa", { bits: 256 });
    const other = ssh2.utils.generateKeyPairSync("ed25519");
    const simulator = await start({
      users: [
        { name: "key", publicKeys: [TEST_KEYS.public, ecdsa.public], password: "secret" },
        { name: "plain", publicKeys: [], password: "secret" },
        { name: "readonly", publicKeys: [TEST_KEYS.public], policies: ["read"] },
      ],
    });
    const refused = (options: object) =>
      connectWith(simulator, options).then(
        (client) => {
          client.close();
          return "accepted";
        },
        (error: Error) => error.message,
      );
    const failed = "All configured authentication methods failed";
    expect(await refused({ username: "key", privateKey: other.private })).toBe(failed);
    expect(await refused({ username: "key", privateKey: ecdsa.private })).toBe(failed);
    expect(await refused({ username: "key", password: "secret" })).toBe(failed);
    expect(await refused({ username: "nobody", privateKey: TEST_KEYS.private })).toBe(failed);
    expect(await refused({ username: "readonly", privateKey: TEST_KEYS.private })).toBe(failed);
    expect(await refused({ username: "plain", password: "wrong" })).toBe(failed);
    expect(await refused({ username: "plain", password: "secret" })).toBe("accepted");
    expect(await refused({ username: "key", privateKey: TEST_KEYS.private })).toBe("accepted");
  });

  test("a login suffix sets the width; the switch login-suffix takes that away", async () => {
    const simulator = await start();
    const wide = await login(simulator, "csi+c40wt");
    await wide.exec(addLine("a"));
    const longest = (text: string) => Math.max(...text.split("\r\n").map((line) => line.length));
    expect(longest((await wide.exec("/disk/print detail")).stdout)).toBe(40);
    simulator.setSwitches({ loginSuffix: "ignored" });
    expect(longest((await wide.exec("/disk/print detail")).stdout)).toBeGreaterThan(300);
  });

  test("bytes above 0x7E come through", async () => {
    const [, client] = await both();
    expect(Buffer.from((await client.exec(':put "é€"')).stdout, "latin1").toString("utf8")).toBe("é€\r\n");
    expect((await client.exec(':put [:len "é"]')).stdout).toBe("2\r\n");
  });

  test("refuses a leading minus, several lines, and what is too long", async () => {
    const [simulator, client] = await both({ switches: { commandLimit: 100 } });
    expect((await client.exec("-foo")).stdout).toContain("bad command name -");
    expect((await client.exec(":put 1\n:put 2")).stdout).toBe("syntax error (line 1 column 7)\r\n");
    expect((await client.exec(`:put "${"x".repeat(100)}"`)).stdout).toContain("syntax error");
    expect(simulator.commands.map((entry) => entry.outcome)).toEqual(["refused", "parse-error", "refused"]);
    simulator.setSwitches({ multiLine: "first-line", commandLimit: 0 });
    expect((await client.exec(":put 1\n:put 2")).stdout).toBe("1\r\n");
    expect((await client.exec(`:put "${"x".repeat(100)}"`)).stdout).toBe(`${"x".repeat(100)}\r\n`);
  });

  test("a shell is refused, a pty for exec is not", async () => {
    const [, { client }] = await both();
    const shell = await new Promise((resolve) => client.shell((error) => resolve(error?.message)));
    expect(shell).toContain("Unable");
    const output = await new Promise((resolve, reject) => {
      client.exec(":put 1", { pty: true, env: { A: "b" } }, (error, channel) => {
        if (error !== undefined) reject(error);
        else channel.on("data", (data: Buffer) => resolve(data.toString()));
      });
    });
    expect(output).toBe("1\r\n");
  });

  test("more connections than max-sessions are closed", async () => {
    const simulator = await start({ switches: { maxSessions: 2 } });
    await login(simulator);
    await login(simulator);
    await expect(connect(simulator)).rejects.toThrow();
    expect(simulator.connectionCount).toBe(2);
  });

  test("parallel channels: at once, one after the other, or refused", async () => {
    const [simulator, client] = await both();
    const held = simulator.faults.hang({ line: /slow/ });
    const slow = client.exec(":put slow");
    await until("the slow command has arrived", () => held.hits === 1);
    expect((await client.exec(":put quick")).stdout).toBe("quick\r\n");
    simulator.faults.release();
    expect((await slow).stdout).toBe("slow\r\n");

    simulator.setSwitches({ parallelChannels: "second-refused" });
    simulator.faults.hang({ line: /slow/ });
    const second = client.exec(":put slow");
    await until("the second slow command has arrived", () => simulator.commands.length === 3);
    await expect(client.exec(":put quick")).rejects.toThrow();
    simulator.faults.release();
    await second;

    simulator.setSwitches({ parallelChannels: "second-blocks" });
    simulator.faults.hang({ line: /slow/ });
    const order: string[] = [];
    const third = client.exec(":put slow").then(() => order.push("slow"));
    await until("the third slow command has arrived", () => simulator.faults.rules.length === 0);
    const fourth = client.exec(":put quick").then(() => order.push("quick"));
    await until("the quick command has arrived", () => simulator.commands.length === 5);
    expect(order).toEqual([]);
    simulator.faults.release();
    await Promise.all([third, fourth]);
    expect(order).toEqual(["slow", "quick"]);
  });

  test("a second channel is confirmed when the first has ended, by switch", async () => {
    const [simulator, client] = await both({ switches: { parallelChannels: "second-unconfirmed" } });
    simulator.faults.hang({ line: /slow/ });
    const order: string[] = [];
    const slow = client.exec(":put slow").then(() => order.push("slow"));
    await until("the slow command has arrived", () => simulator.faults.rules.length === 0);
    const quick = client.exec(":put quick").then(() => order.push("quick"));
    // Another connection tells that the simulator had time to run it.
    const other = await login(simulator);
    await other.exec(":put other");
    expect(simulator.commands.map(({ line }) => line)).toEqual([":put slow", ":put other"]);
    simulator.faults.release();
    await Promise.all([slow, quick]);
    expect(order).toEqual(["slow", "quick"]);
  });

  test("more channels than max-channels are refused, and taken once one has ended", async () => {
    const [simulator, client] = await both({ switches: { maxChannels: 2 } });
    simulator.faults.hang({ line: /slow/, count: 2 });
    const slow = [client.exec(":put slow"), client.exec(":put slow")];
    await until("two commands run", () => simulator.faults.hanging === 2);
    await expect(client.exec(":put third")).rejects.toThrow("open failure");
    simulator.faults.release();
    await Promise.all(slow);
    expect((await client.exec(":put third")).stdout).toBe("third\r\n");
  });

  test("lines of two channels of one connection run between each other's statements, as those of two connections", async () => {
    const [simulator, client] = await both({ switches: { interleaving: "statements" } });
    // Stops between the two statements; the other channel's line runs meanwhile.
    simulator.faults.hangMidway(2, { line: /first/ });
    const first = client.exec(":put first; :put last");
    await until("the first line has stopped", () => simulator.faults.hanging === 1);
    expect((await client.exec(":put between")).stdout).toBe("between\r\n");
    simulator.faults.release();
    expect((await first).stdout).toBe("first\r\nlast\r\n");
  });

  test("keepalives are answered or not, by switch", async () => {
    const alive = async (simulator: Simulator): Promise<string> => {
      const client = new ssh2.Client();
      return new Promise((resolve) => {
        client.on("error", (error) => resolve(error.message));
        client.on("close", () => resolve("closed"));
        client.on("ready", () => void setTimeout(() => resolve("alive"), 400).unref());
        client.connect({
          host: simulator.host,
          port: simulator.port,
          username: "csi",
          privateKey: TEST_KEYS.private,
          keepaliveInterval: 30,
          keepaliveCountMax: 2,
        });
        cleanups.push(() => client.end());
      });
    };
    expect(await alive(await start({ switches: { keepaliveReplies: "yes" } }))).toBe("alive");
    expect(await alive(await start())).toBe("Keepalive timeout");
  });

  test("a line whose client leaves completes, or is aborted", async () => {
    for (const clientDisconnect of ["completes", "aborted"] as const) {
      const [simulator, client] = await both({ switches: { clientDisconnect } });
      const line = `:delay 100ms; ${addLine("a")}`;
      void client.exec(line).catch(() => {});
      await until("the command has arrived", () => simulator.commands.length === 1);
      client.close();
      await until("the line has ended", () => simulator.commands[0]?.finishedAt !== undefined);
      expect(simulator.device.disks).toHaveLength(clientDisconnect === "completes" ? 1 : 0);
      expect(simulator.commands[0]?.outcome).toBe(clientDisconnect === "completes" ? "ok" : "cut");
    }
  });

  test("other lines run while one waits, and lines are atomic otherwise", async () => {
    const [, client] = await both();
    const waiting = client.exec(":delay 150ms; :put late");
    const done: string[] = [];
    void waiting.then(() => done.push("late"));
    expect((await client.exec(":put early")).stdout).toBe("early\r\n");
    expect(done).toEqual([]);
    expect((await waiting).stdout).toBe("late\r\n");
    const check = (slot: string) =>
      `:if ([:len [/disk/find where slot="s"]] = 0) do={ ${addLine("s", `comment="${slot}"`)} ; :put won } else={ :put lost }`;
    const answers = await Promise.all(["a", "b", "c"].map((name) => client.exec(check(name))));
    expect(answers.map((answer) => answer.stdout).sort()).toEqual(["lost\r\n", "lost\r\n", "won\r\n"]);
  });

  test("latency comes before each command", async () => {
    const [simulator, client] = await both({ latencyMs: 60 });
    await client.exec(":put 1");
    const [entry] = simulator.commands;
    expect((entry?.finishedAt ?? 0) - (entry?.startedAt ?? 0)).toBeGreaterThanOrEqual(55);
  });
});
