import { describe, expect, test } from "bun:test";
import path from "node:path";
import { connect, startTestSimulator, type TestClient } from "../../../../test/support/simulator-client.ts";
import { addLine } from "../../../../test/support/simulator-console.ts";
import type { Logger } from "../../../observability/log.ts";
import { silentLogger } from "../../../observability/log.ts";
import type { Simulator, SimulatorOptions } from "../../simulator.ts";
import { cleanups, dir, kernel, options, useKernel } from "./nvmet.fixture.ts";

useKernel();

describe("the simulated RDS on it", () => {
  async function both(more: Partial<SimulatorOptions> = {}): Promise<[Simulator, TestClient]> {
    const simulator = await startTestSimulator({ backend: { kind: "nvmet", ...options() }, ...more });
    cleanups.push(() => simulator.stop());
    const client = await connect(simulator);
    cleanups.push(() => client.close());
    return [simulator, client];
  }
  const exporting = (slot: string, more = "") =>
    addLine(slot, `nvme-tcp-export=yes nvme-tcp-server-nqn="nqn.t:${slot}" ${more}`);

  test("exports what /disk says, from command to command", async () => {
    const [simulator, client] = await both();
    await client.exec(exporting("a"));
    expect(kernel.connect("nqn.t:a", "h1")).toBe(true);
    await client.exec('/disk/set a nvme-tcp-server-allow-host-name="h1"');
    expect(kernel.controllers).toEqual([]);
    expect(kernel.connect("nqn.t:a", "h2")).toBe(false);
    await client.exec('/disk/set a nvme-tcp-server-nqn="nqn.t:a.2" nvme-tcp-server-port=4421');
    expect(kernel.connect("nqn.t:a", "h1")).toBe(false);
    expect(kernel.connect("nqn.t:a.2", "h1", 4421)).toBe(true);
    await client.exec("/disk/set a nvme-tcp-export=no");
    expect(kernel.tree()).toEqual([]);
    await client.exec("/disk/set a nvme-tcp-export=yes");
    kernel.connect("nqn.t:a.2", "h1", 4421);
    await client.exec("/file/remove storage-pool/a.img");
    expect(kernel.tree()).toEqual([]);
    expect(simulator.device.disk("a")).toMatchObject({ ready: false });
  });

  test("an export that ends and begins again in one line has dropped its hosts", async () => {
    const [, client] = await both();
    await client.exec(exporting("a"));
    kernel.connect("nqn.t:a", "h");
    await client.exec("/disk/set a nvme-tcp-export=no; /disk/set a nvme-tcp-export=yes");
    expect(kernel.controllers).toEqual([]);
    kernel.connect("nqn.t:a", "h");
    await client.exec(`/disk/remove a; /file/remove storage-pool/a.img; ${exporting("a")}`);
    expect(kernel.controllers).toEqual([]);
    expect(kernel.connect("nqn.t:a", "h")).toBe(true);
  });

  test("a grown disk is shown at once or after the next export, by switch", async () => {
    const [simulator, client] = await both();
    await client.exec(exporting("a"));
    await client.exec("/disk/set a file-size=2M");
    expect((await client.exec(":put [/disk/get a size]")).stdout.trim()).toBe("2097152");
    expect(kernel.identify("nqn.t:a").size).toBe(1_048_576n);
    await client.exec("/disk/set a nvme-tcp-export=no; /disk/set a nvme-tcp-export=yes");
    expect(kernel.identify("nqn.t:a").size).toBe(2_097_152n);
    simulator.setSwitches({ onlineResize: "at-once" });
    kernel.connect("nqn.t:a", "h");
    await client.exec("/disk/set a file-size=3M");
    expect(kernel.identify("nqn.t:a").size).toBe(3_145_728n);
    expect(kernel.controllers).toHaveLength(1);
  });

  test("a host that loses its permission is dropped, or stays, by switch", async () => {
    const [simulator, client] = await both({ switches: { allowHostName: "comma-list" } });
    await client.exec(exporting("a", 'nvme-tcp-server-allow-host-name="h1,h2"'));
    kernel.connect("nqn.t:a", "h1");
    await client.exec('/disk/set a nvme-tcp-server-allow-host-name="h1,h2,h3"');
    expect(kernel.controllers).toHaveLength(1);
    simulator.setSwitches({ revokedHost: "stays" });
    await client.exec('/disk/set a nvme-tcp-server-allow-host-name="h2,h3"');
    expect(kernel.controllers).toHaveLength(1);
    simulator.setSwitches({ revokedHost: "dropped" });
    await client.exec('/disk/set a nvme-tcp-server-allow-host-name="h3"');
    expect(kernel.controllers).toEqual([]);
  });

  test.each([
    ["slot", true, true],
    ["nqn", false, true],
    ["random", false, false],
  ] as const)("device-identity=%s", async (deviceIdentity, underNewNqn, afterReboot) => {
    const [simulator, client] = await both({ switches: { deviceIdentity, rebootMs: 0 } });
    await client.exec(exporting("a"));
    const first = kernel.identify("nqn.t:a");
    await client.exec("/disk/set a comment=x");
    expect(kernel.identify("nqn.t:a")).toEqual(first);
    await simulator.reboot();
    expect(kernel.identify("nqn.t:a").uuid === first.uuid).toBe(afterReboot);
    const again = await connect(simulator);
    await again.exec('/disk/set a nvme-tcp-server-nqn="nqn.t:a.2"');
    again.close();
    expect(kernel.identify("nqn.t:a.2").uuid === first.uuid).toBe(underNewNqn);
  });

  test("a reboot takes the exports away and brings them back", async () => {
    const [simulator, client] = await both({ switches: { rebootMs: 50 } });
    await client.exec(exporting("a"));
    kernel.connect("nqn.t:a", "h");
    const reboot = simulator.reboot();
    await simulator.device.exports.reconcile();
    expect(kernel.tree()).toEqual([]);
    await reboot;
    expect(kernel.connect("nqn.t:a", "h")).toBe(true);
  });

  test("a killed simulator's exports are as the state says after the next start", async () => {
    const [, client] = await both();
    await client.exec(`${exporting("a")}; ${exporting("b")}; /disk/set a file-size=2M`);
    await kernel.configfs.make(`${kernel.root}/subsystems/nqn.foreign`);
    await Bun.write(
      path.join(dir, "state.json"),
      (await Bun.file(path.join(dir, "state.json")).text()).replace('"nqn.t:b"', '"nqn.t:b.2"'),
    );
    const [second] = await both();
    expect(kernel.tree().filter((name) => /^subsystems\/[^/]+$/.test(name))).toEqual([
      "subsystems/nqn.foreign",
      "subsystems/nqn.t:a",
      "subsystems/nqn.t:b.2",
    ]);
    expect(kernel.identify("nqn.t:a").size).toBe(2_097_152n);
    expect(second.device.disk("a")?.size).toBe(2_097_152n);
    await second.stop();
    expect(kernel.tree()).toEqual(["subsystems/nqn.foreign"]);
  });

  test("what cannot be exported is logged, tried again, and harms no other export", async () => {
    const errors: unknown[] = [];
    const logger: Logger = { ...silentLogger, error: (_text, fields) => void errors.push(fields?.nqn) };
    kernel.listeners.add("0.0.0.0:4500");
    const [, client] = await both({ logger });
    await client.exec(`${exporting("a", "nvme-tcp-server-port=4500")}; ${exporting("b")}`);
    expect(errors).toEqual(["nqn.t:a"]);
    expect(kernel.connect("nqn.t:b", "h")).toBe(true);
    kernel.listeners.clear();
    await client.exec("/disk/set b comment=x");
    expect(kernel.connect("nqn.t:a", "h", 4500)).toBe(true);
  });

  test("a start that cannot export what the state says fails and leaves nothing", async () => {
    const [first, client] = await both();
    await client.exec(`${exporting("a")}; ${exporting("b", "nvme-tcp-server-port=4500")}`);
    await first.stop();
    kernel.listeners.add("0.0.0.0:4500");
    await expect(both()).rejects.toThrow("another listener");
    expect(kernel.tree()).toEqual([]);
    kernel.listeners.clear();
    await both();
    expect(kernel.connect("nqn.t:b", "h", 4500)).toBe(true);
  });

  test("connected-hosts=busy is said to have no effect", async () => {
    const warnings: string[] = [];
    const logger: Logger = { ...silentLogger, warn: (text) => void warnings.push(text) };
    const [simulator] = await both({ logger, profile: "hostile" });
    simulator.setSwitches({ connectedHosts: "dropped" });
    expect(warnings).toEqual([expect.stringContaining("connected-hosts=busy")]);
  });
});
