import { describe, expect, test } from "bun:test";
import { connect } from "../../test/support/simulator-client.ts";
import { addLine } from "../../test/support/simulator-console.ts";
import { until } from "../../test/support/until.ts";
import { both, login, start, useSimulators } from "./simulator.fixture.ts";
import type { Simulator } from "./simulator.ts";

useSimulators();

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
