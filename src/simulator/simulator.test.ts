import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { request } from "node:http";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import ssh2 from "ssh2";
import {
  connect,
  connectWith,
  startTestSimulator,
  TEST_KEYS,
  type TestClient,
} from "../../test/support/simulator-client.ts";
import { addLine } from "../../test/support/simulator-console.ts";
import { type Simulator, type SimulatorOptions, startSimulator } from "./simulator.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(options: SimulatorOptions = {}): Promise<Simulator> {
  const simulator = await startTestSimulator(options);
  cleanups.push(() => simulator.stop());
  return simulator;
}

async function login(simulator: Simulator, name = "csi"): Promise<TestClient> {
  const client = await connect(simulator, name);
  cleanups.push(() => client.close());
  return client;
}

async function both(options: SimulatorOptions = {}): Promise<[Simulator, TestClient]> {
  const simulator = await start(options);
  return [simulator, await login(simulator)];
}

function temporary(): string {
  const dir = mkdtempSync(path.join(tmpdir(), "simulator-"));
  cleanups.push(() => rmSync(dir, { recursive: true }));
  return dir;
}

/** Waits until a condition holds; fails loudly after two seconds. */
async function until(what: string, condition: () => boolean): Promise<void> {
  for (let left = 400; !condition(); left -= 1) {
    if (left === 0) throw new Error(`waited in vain: ${what}`);
    await Bun.sleep(5);
  }
}

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

describe("faults", () => {
  const state = (simulator: Simulator) => simulator.device.disks.map((disk) => disk.slot);

  test("cutBefore, cutAfter: what was executed, and no answer", async () => {
    const [simulator, first] = await both();
    simulator.faults.cutBefore({ line: /disk\/add/ });
    expect((await first.exec(":put 1")).code).toBe(0);
    expect(await first.exec(addLine("a"))).toEqual({ stdout: "", stderr: "", code: undefined });
    expect(state(simulator)).toEqual([]);
    const second = await login(simulator);
    simulator.faults.cutAfter();
    expect(await second.exec(addLine("a"))).toEqual({ stdout: "", stderr: "", code: undefined });
    expect(state(simulator)).toEqual(["a"]);
    expect(simulator.commands.map((entry) => [entry.outcome, entry.mutated])).toEqual([
      ["ok", false],
      ["cut", false],
      ["cut", true],
    ]);
    expect((await (await login(simulator)).exec(":put 1")).stdout).toBe("1\r\n");
  });

  test("cutMidway stops behind the k-th statement that changed something, handlers or not", async () => {
    for (const count of [1, 2, 3]) {
      const [simulator, client] = await both();
      simulator.faults.cutMidway(count);
      const adds = ["a", "b", "c"].map((slot) => `:put [:len [/disk/find]]; ${addLine(slot)}`).join("; ");
      const answer = await client.exec(`:onerror e in={ ${adds}; :put done } do={ :put caught }`);
      expect(answer.stdout).toBe("");
      expect(state(simulator)).toEqual(["a", "b", "c"].slice(0, count));
    }
  });

  test("nth and count pick the command", async () => {
    const [simulator, client] = await both();
    const fault = simulator.faults.permissionMissing("write", { nth: 2, count: 2, line: /add/ });
    const texts: string[] = [];
    for (const slot of ["a", "b", "c", "d"]) texts.push((await client.exec(addLine(slot))).stdout);
    expect(texts).toEqual(["", "not enough permissions (9)\r\n", "not enough permissions (9)\r\n", ""]);
    expect(fault.hits).toBe(2);
    expect(simulator.faults.rules).toEqual([]);
  });

  test("diskFull, delay, truncateOutput, hang", async () => {
    const [simulator, client] = await both();
    simulator.faults.diskFull();
    expect((await client.exec(addLine("a"))).stdout).toBe("failure: no space left on device\r\n");
    expect((await client.exec(addLine("a"))).stdout).toBe("");
    simulator.faults.delay(60);
    const before = performance.now();
    await client.exec(":put 1");
    expect(performance.now() - before).toBeGreaterThanOrEqual(55);
    simulator.faults.truncateOutput(3);
    expect(await client.exec(":put 123456")).toEqual({ stdout: "123", stderr: "", code: undefined });
    const hang = simulator.faults.hang();
    const hanging = client.exec(addLine("b"));
    await until("the command hangs", () => hang.hits === 1);
    expect(state(simulator)).toEqual(["a"]);
    simulator.faults.clear();
    expect((await hanging).code).toBe(0);
    expect(state(simulator)).toEqual(["a", "b"]);
  });

  test("refuseSessions closes connections, or fails logins", async () => {
    const simulator = await start();
    const close = simulator.faults.refuseSessions();
    await expect(connect(simulator)).rejects.toThrow();
    close.remove();
    simulator.faults.refuseSessions({ mode: "authentication", count: 1 });
    await expect(connect(simulator)).rejects.toThrow("authentication methods failed");
    expect((await (await login(simulator)).exec(":put 1")).stdout).toBe("1\r\n");
  });

  test("dropConnections", async () => {
    const [simulator, client] = await both();
    const closed = new Promise<void>((resolve) => client.client.on("close", () => resolve()));
    simulator.dropConnections();
    await closed;
    await until("the connection is forgotten", () => simulator.connectionCount === 0);
  });
});

describe("reboot", () => {
  test("ends connections and host sessions, keeps items, mounts later", async () => {
    const [simulator, client] = await both({ switches: { rebootMs: 100, mountDelayMs: 100 } });
    await client.exec(addLine("a", 'nvme-tcp-export=yes nvme-tcp-server-nqn="n"'));
    simulator.device.connectHost("n", "h");
    const reboot = simulator.reboot();
    expect(simulator.device.liveExports).toEqual([]);
    expect(simulator.device.hosts.connected("n")).toEqual([]);
    await expect(connect(simulator)).rejects.toThrow();
    await expect(client.exec(":put 1")).rejects.toThrow();
    await reboot;
    expect(simulator.device.disk("a")).toMatchObject({ ready: true, exported: true });
    expect(simulator.device.liveExports).toHaveLength(1);
    expect((await (await login(simulator)).exec(":put 1")).stdout).toBe("1\r\n");
  });

  test("can lose the exports", async () => {
    const [simulator, client] = await both({ switches: { rebootMs: 0, rebootExports: "lost" } });
    await client.exec(addLine("a", 'nvme-tcp-export=yes nvme-tcp-server-nqn="n"'));
    await simulator.reboot();
    expect(simulator.device.disk("a")).toMatchObject({ ready: true, exported: false });
  });
});

describe("files backend and restart", () => {
  const files = (dir: string): SimulatorOptions => ({ backend: { kind: "files", dir } });
  const exportsOf = (dir: string) => readdirSync(path.join(dir, "exports"));

  test("image files are sparse and real, exports are files", async () => {
    const dir = temporary();
    const [simulator, client] = await both(files(dir));
    await client.exec("/file/add name=storage-pool/csi type=directory");
    await client.exec(
      "/disk/add type=file slot=a file-path=storage-pool/csi/a.img file-size=1G mount-filesystem=no",
    );
    const image = path.join(dir, "files/storage-pool/csi/a.img");
    expect(statSync(image)).toMatchObject({ size: 1 << 30, blocks: 0 });
    expect(exportsOf(dir)).toEqual([]);
    await client.exec(
      '/disk/set a nvme-tcp-export=yes nvme-tcp-server-nqn="nqn.t:a.1" nvme-tcp-server-port=4421 nvme-tcp-server-allow-host-name="nqn.h:1"',
    );
    expect(exportsOf(dir)).toEqual(["nqn.t:a.1.json"]);
    expect(JSON.parse(readFileSync(path.join(dir, "exports/nqn.t:a.1.json"), "utf8"))).toEqual({
      nqn: "nqn.t:a.1",
      port: 4421,
      path: image,
      sizeBytes: "1073741824",
      slot: "a",
      allowHosts: ["nqn.h:1"],
    });
    await client.exec('/disk/set a nvme-tcp-server-nqn="nqn.t:a.2" file-size=2G');
    expect(exportsOf(dir)).toEqual(["nqn.t:a.2.json"]);
    expect(JSON.parse(readFileSync(path.join(dir, "exports/nqn.t:a.2.json"), "utf8")).sizeBytes).toBe(
      "2147483648",
    );
    expect(statSync(image).size).toBe(2 ** 31);
    await client.exec("/disk/set a nvme-tcp-export=no");
    expect(exportsOf(dir)).toEqual([]);
    await client.exec("/disk/remove a; /file/remove storage-pool/csi/a.img");
    expect(readdirSync(path.join(dir, "files/storage-pool/csi"))).toEqual([]);
    expect(simulator.device.freeBytes("storage-pool")).toBe(simulator.device.usableBytes("storage-pool"));
  });

  test("an export waits for its block device, and leaves no file under a strange name", async () => {
    const dir = temporary();
    const [, client] = await both({ ...files(dir), switches: { readyDelayMs: 80 } });
    await client.exec(addLine("a", 'nvme-tcp-export=yes nvme-tcp-server-nqn="n"'));
    expect(exportsOf(dir)).toEqual([]);
    await until("the export file is there", () => exportsOf(dir).length === 1);
    for (const name of ["../../evil", "a/b", ".hidden", "x y", ""]) {
      await client.exec(`/disk/set a nvme-tcp-server-nqn="${name}"`);
      expect(exportsOf(dir)).toEqual(name === "" ? ["a.json"] : []);
    }
    expect(readdirSync(dir).sort()).toEqual(["exports", "files", "ssh_host_ed25519_key", "state.json"]);
  });

  test("no path leaves the directory", async () => {
    const dir = temporary();
    const [, client] = await both(files(dir));
    for (const name of [
      "storage-pool/../../evil",
      "../evil",
      "/../evil",
      "storage-pool/./x",
      "storage-pool//x",
      "exports/x",
      "storage-pool/a\\00b",
    ]) {
      const answer = await client.exec(`/disk/add type=file slot=e file-path="${name}" file-size=4096`);
      expect(answer.stdout).toMatch(/^failure: (bad path|cannot open output file)/);
      const directory = await client.exec(`/file/add name="${name}" type=directory`);
      expect(directory.stdout).toMatch(/^failure: (bad path|cannot open output file)/);
    }
    expect(readdirSync(dir).sort()).toEqual(["exports", "files", "ssh_host_ed25519_key", "state.json"]);
    expect(readdirSync(path.join(dir, "files"))).toEqual(["storage-pool"]);
    expect(readdirSync(path.join(dir, "files/storage-pool"))).toEqual([]);
  });

  test("symbolic links are not followed out of the directory", async () => {
    const dir = temporary();
    const outside = temporary();
    const { mkdirSync, symlinkSync } = await import("node:fs");
    mkdirSync(path.join(dir, "files/storage-pool"), { recursive: true });
    const [simulator, client] = await both(files(dir));
    await client.exec("/file/add name=storage-pool/d type=directory");
    rmSync(path.join(dir, "files/storage-pool/d"), { recursive: true });
    symlinkSync(outside, path.join(dir, "files/storage-pool/d"));
    const answer = await client.exec("/disk/add type=file slot=e file-path=storage-pool/d/x file-size=4096");
    expect(answer.stdout).toContain("failure: bad path");
    expect(readdirSync(outside)).toEqual([]);
    expect(simulator.device.disks).toEqual([]);
  });

  test("a snapshot holds the bytes of its time", async () => {
    const dir = temporary();
    const [simulator, client] = await both(files(dir));
    const add = "/disk/btrfs/subvolume/add fs=storage-pool-fs";
    await client.exec(
      `${add} name=v; /disk/add type=file slot=v file-path=storage-pool/v/d file-size=8M mount-filesystem=no`,
    );
    await simulator.device.writeFile("storage-pool/v/d", 3_000_000n, "first");
    await client.exec(`${add} parent=v name=s read-only=yes`);
    await simulator.device.writeFile("storage-pool/v/d", 3_000_000n, "later");
    const copy = path.join(dir, "files/storage-pool/s/d");
    expect(readFileSync(copy).subarray(3_000_000, 3_000_005).toString()).toBe("first");
    expect(statSync(copy).size).toBe(8 << 20);
    expect(statSync(copy).blocks * 512).toBeLessThan(4 << 20);
  });

  test("a restart brings back host key, items, numbers, bytes and exports", async () => {
    const dir = temporary();
    const [first, client] = await both(files(dir));
    await client.exec(addLine("a", 'comment="c;x=\\"1\\"" nvme-tcp-export=yes nvme-tcp-server-nqn="n.1"'));
    await client.exec(
      `${addLine("gone")}; /disk/remove gone; /disk/btrfs/subvolume/add fs=storage-pool-fs name=sv`,
    );
    await first.device.writeFile("storage-pool/a.img", 100n, "bytes");
    const lastId = (await client.exec(`:put [${addLine("last")}]; /disk/remove last`)).stdout.trim();
    const row = (await client.exec(':put [/disk/print detail as-value where slot="a"]')).stdout;
    await first.stop();
    expect(exportsOf(dir)).toEqual([]);

    const [second, again] = await both(files(dir));
    expect(second.hostKeyFingerprints).toEqual(first.hostKeyFingerprints);
    expect((await again.exec(':put [/disk/print detail as-value where slot="a"]')).stdout).toBe(row);
    expect(exportsOf(dir)).toEqual(["n.1.json"]);
    expect(Buffer.from(await second.device.readFile("storage-pool/a.img", 100n, 5)).toString()).toBe("bytes");
    expect(second.device.subvolumes).toMatchObject([{ fullname: "sv" }]);
    const next = (await again.exec(`:put [${addLine("new")}]`)).stdout.trim();
    expect(Number.parseInt(next.slice(1), 16)).toBeGreaterThan(Number.parseInt(lastId.slice(1), 16));
  });

  test("what was answered is on disk, even without a proper stop", async () => {
    const dir = temporary();
    const [, client] = await both(files(dir));
    await client.exec(addLine("a"));
    expect(readFileSync(path.join(dir, "state.json"), "utf8")).toContain('"a"');
  });

  test("exports that a killed simulator left are gone when the next one starts", async () => {
    const dir = temporary();
    await Bun.write(path.join(dir, "exports/n.1.json"), "{}");
    await both(files(dir));
    expect(exportsOf(dir)).toEqual([]);
  });

  test("the directory decides which files exist", async () => {
    const dir = temporary();
    const [first, client] = await both(files(dir));
    await client.exec(addLine("a"));
    await first.stop();
    rmSync(path.join(dir, "files/storage-pool/a.img"));
    await Bun.write(path.join(dir, "files/storage-pool/new.img"), "1234");
    const [second] = await both(files(dir));
    expect(second.device.disk("a")).toMatchObject({ ready: false });
    expect(second.device.file("storage-pool/new.img")?.size).toBe(4n);
  });

  test("memory with a state directory keeps items and sizes; the bytes are zeros", async () => {
    const dir = temporary();
    const [first, client] = await both({ stateDir: dir });
    await client.exec(addLine("a"));
    await first.device.writeFile("storage-pool/a.img", 0n, "x");
    await first.stop();
    const [second] = await both({ stateDir: dir });
    expect(second.device.disk("a")?.size).toBe(1_048_576n);
    expect([...(await second.device.readFile("storage-pool/a.img", 0n, 1))]).toEqual([0]);
  });

  test("a state that cannot be read is an error, not an empty device", async () => {
    const dir = temporary();
    await Bun.write(path.join(dir, "state.json"), "{ broken");
    await expect(startTestSimulator({ stateDir: dir })).rejects.toThrow("cannot be read");
  });
});

describe("device events", () => {
  test("an asynchronous copy ends later and blocks nobody", async () => {
    const [simulator, client] = await both({ switches: { copy: "async", copyMs: 60 } });
    await client.exec(`${addLine("a")}; ${addLine("b")}`);
    await simulator.device.writeFile("storage-pool/a.img", 0n, "data");
    const target = async () =>
      Buffer.from(await simulator.device.readFile("storage-pool/b.img", 0n, 4)).toString();
    expect((await client.exec("/disk/copy src=a dst=b")).stdout).toBe("");
    expect(await target()).toBe("\0\0\0\0");
    expect((await client.exec(":put 1")).stdout).toBe("1\r\n");
    const until = performance.now() + 2000;
    while ((await target()) !== "data" && performance.now() < until) await Bun.sleep(5);
    expect(await target()).toBe("data");
    expect((await client.exec(":put 2")).stdout).toBe("2\r\n");
  });

  test("a narrow terminal does no harm", async () => {
    const simulator = await start();
    const client = await login(simulator, "csi+1w");
    await client.exec(addLine("a"));
    expect((await client.exec("/disk/print detail; /disk/print; :put 1")).stdout).toEndWith("1\r\n");
  });

  test("foreign disks, changes behind the driver's back", async () => {
    const [simulator, client] = await both();
    await simulator.device.addForeignDisk({
      slot: "someone",
      path: "storage-pool/other/disk.img",
      size: 4096n,
      settings: { "nvme-tcp-export": true, "nvme-tcp-server-nqn": "nqn.other" },
    });
    expect((await client.exec(":put [/disk/get someone size]")).stdout).toBe("4096\r\n");
    await simulator.device.setDisk("someone", { comment: "changed" });
    expect((await client.exec(":put [/disk/get someone comment]")).stdout).toBe("changed\r\n");
    await simulator.device.removeDisk("someone");
    expect((await client.exec(":put [:len [/disk/find where type=file]]")).stdout).toBe("0\r\n");
  });
});

describe("control socket", () => {
  const ask = (
    socketPath: string,
    method: string,
    url: string,
    body = "",
  ): Promise<{ status: number; body: Record<string, unknown> }> =>
    new Promise((resolve, reject) => {
      const outgoing = request({ socketPath, path: url, method }, (response) => {
        let text = "";
        response.on("data", (chunk) => {
          text += chunk;
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }));
      });
      outgoing.on("error", reject);
      outgoing.end(body);
    });

  test("shows the state and the commands, sets switches and faults, reboots", async () => {
    const dir = temporary();
    const controlSocket = path.join(dir, "c.sock");
    const log = path.join(dir, "log");
    const [simulator, client] = await both({
      controlSocket,
      commandLogFile: log,
      switches: { rebootMs: 10 },
    });
    expect(statSync(controlSocket).mode & 0o777).toBe(0o600);
    await client.exec(addLine("a"));
    const shown = (await ask(controlSocket, "GET", "/state")).body;
    expect(shown.disks).toMatchObject([{ slot: "a", size: "1048576" }]);
    expect(Object.values((await ask(controlSocket, "GET", "/commands")).body)).toMatchObject([
      { line: addLine("a"), mutated: true },
    ]);
    expect((await ask(controlSocket, "GET", "/stats")).body).toMatchObject({
      commands: 1,
      mutations: 1,
      connections: 1,
    });
    const changed = await ask(controlSocket, "POST", "/switches", '{"onerror-suffix":"none"}');
    expect(changed.body.onerrorSuffix).toBe("none");
    expect(simulator.switches.onerrorSuffix).toBe("none");
    await ask(
      controlSocket,
      "POST",
      "/faults",
      '{"kind":"permissionMissing","policy":"write","line":"^/disk/remove"}',
    );
    expect((await client.exec("/disk/remove a")).stdout).toContain("not enough permissions");
    await ask(controlSocket, "POST", "/faults", '{"kind":"cutBefore","count":"forever"}');
    await ask(controlSocket, "DELETE", "/faults");
    expect((await client.exec(":put 1")).stdout).toBe("1\r\n");
    await ask(controlSocket, "POST", "/reboot");
    expect(simulator.connectionCount).toBe(0);
    for (const [method, url, body, status] of [
      ["GET", "/nope", "", 404],
      ["POST", "/switches", '{"nope":1}', 400],
      ["POST", "/switches", "{", 400],
      ["POST", "/switches", '{"version":"x"}', 400],
      ["POST", "/faults", '{"kind":"nope"}', 400],
      ["POST", "/faults", '{"kind":"cutBefore","line":"("}', 400],
      ["POST", "/faults", '{"kind":"cutMidway"}', 400],
      ["POST", "/faults", "null", 400],
    ] as const) {
      expect((await ask(controlSocket, method, url, body)).status).toBe(status);
    }
    await simulator.stop();
    const lines = readFileSync(log, "utf8").trim().split("\n");
    expect(lines).toHaveLength(3);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ outcome: "ok", user: "csi" });
  });
});

describe("life cycle", () => {
  test("stop releases the port and hanging commands, and may be called twice", async () => {
    const [simulator, client] = await both();
    const hang = simulator.faults.hang();
    const hanging = client.exec(":put 1").catch(() => undefined);
    await until("the command hangs", () => hang.hits === 1);
    await Promise.all([simulator.stop(), simulator.stop()]);
    await hanging;
    const refused = await new Promise((resolve) => {
      connectTcp(simulator.port, simulator.host)
        .on("error", resolve)
        .on("connect", () => resolve("connected"));
    });
    expect(refused).toMatchObject({ code: "ECONNREFUSED" });
  });

  test.each([
    [{ switches: { lineEnding: "cr" } }, "line-ending"],
    [{ switches: { version: "old" } }, "not a RouterOS version"],
    [{ profile: "nice" }, "no profile"],
    [{ authorizedKeys: ["ssh-ed25519 rubbish"] }, "a key cannot be read"],
  ] as [object, string][])("%j is refused", async (options, message) => {
    await expect(startSimulator(options)).rejects.toThrow(message);
  });

  test.each(["current", "hostile", "strict", "old", "too-old"] as const)(
    "profile %s answers",
    async (profile) => {
      const [simulator, client] = await both({ profile });
      const { stdout } = await client.exec(":put [/system/resource/get version]");
      expect(stdout.trim()).toBe(simulator.device.version);
    },
  );
});
