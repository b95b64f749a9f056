import { describe, expect, test } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { request } from "node:http";
import { connect as connectTcp } from "node:net";
import path from "node:path";
import { addLine } from "../../test/support/simulator-console.ts";
import { until } from "../../test/support/until.ts";
import { both, login, start, temporary, useSimulators } from "./simulator.fixture.ts";
import { startSimulator } from "./simulator.ts";

useSimulators();

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
    while ((await target()) !== "data") await Bun.sleep(5);
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
    const second = await ask(controlSocket, "POST", "/faults", '{"kind":"cutBefore","count":"forever"}');
    expect(second.body.rule).toBe(1);
    expect((await ask(controlSocket, "DELETE", "/faults")).body).toEqual({ faults: 0, released: 0 });
    expect((await ask(controlSocket, "GET", "/faults")).body).toEqual({ hits: [1, 0] });
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
