import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pinOf, testKey } from "../../../test/support/ssh-server.ts";
import { until } from "../../../test/support/until.ts";
import { type Simulator, type SimulatorOptions, startSimulator } from "../../simulator/simulator.ts";
import { createSshTransport, type SshTransportOptions } from "./ssh-transport.ts";
import { change, idOf, quick, read } from "./transport.fixture.ts";
import type { Transport } from "./transport.ts";

let directory = "";
let keyFile = "";
const key = testKey("ed25519");

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "rds-csi-sim-"));
  keyFile = join(directory, "key");
  await writeFile(keyFile, key.private);
});
afterAll(() => rm(directory, { recursive: true }));

/** Runs against a simulated RDS and ends everything afterwards. */
async function withRds(
  options: SimulatorOptions,
  run: (connect: (more?: Partial<SshTransportOptions>) => Transport, simulator: Simulator) => Promise<void>,
): Promise<void> {
  const simulator = await startSimulator({ authorizedKeys: [key.public], ...options });
  const opened: Transport[] = [];
  const connect = (more: Partial<SshTransportOptions> = {}): Transport => {
    const transport = createSshTransport({
      host: simulator.host,
      port: simulator.port,
      user: "csi",
      keyFile,
      hostKeys: simulator.hostKeyFingerprints.map(pinOf),
      backoff: quick,
      channelGraceMs: 200,
      ...more,
    });
    opened.push(transport);
    return transport;
  };
  try {
    await run(connect, simulator);
  } finally {
    await Promise.all(opened.map((transport) => transport.close()));
    await simulator.stop();
  }
}

describe("a simulated RDS", () => {
  test("runs commands of both purposes under every profile", async () => {
    for (const profile of ["current", "hostile", "strict", "old"] as const) {
      await withRds({ profile }, async (connect, simulator) => {
        const transport = connect();
        const answers = await Promise.all([
          transport.exec(":put 1", read()),
          transport.exec(":put 2", read()),
          transport.exec(":put 3", change()),
        ]);
        expect([profile, answers.map(({ stdout }) => stdout.trim())]).toEqual([profile, ["1", "2", "3"]]);
        expect(simulator.connectionCount).toBe(2);
      });
    }
  });

  test("logs in once, however long the pauses between commands are: RouterOS does not answer SSH keepalives", async () => {
    await withRds({}, async (connect, simulator) => {
      const transport = connect({ idleCheckMs: 20 });
      const signs = () => simulator.commands.filter(({ line }) => line === ":put 1").length;
      for (let call = 0; call < 5; call += 1) {
        await transport.exec(`:put call-${call}`, read());
        await transport.exec(`:put change-${call}`, change());
        // A pause of several idle times, on both connections.
        const seen = signs();
        await until("signs of life", () => signs() >= seen + 6);
      }
      const logins = simulator.device.management.journal.messages.filter((text) =>
        text.includes("logged in"),
      );
      expect(logins).toHaveLength(2);
      expect(simulator.switches.keepaliveReplies).toBe("none");
    });
  });

  test("keeps a connection on which nothing is said at all", async () => {
    await withRds({}, async (connect, simulator) => {
      const silent = connect({ idleCheckMs: 3_600_000, tcpKeepaliveMs: 1_000 });
      await silent.exec(":put before", read());
      // The signs of life of another connection tell how much time has passed.
      await connect({ idleCheckMs: 20 }).exec(":put other", read());
      const signs = () => simulator.commands.filter(({ line }) => line === ":put 1").length;
      await until("400 ms of signs of life", () => signs() >= 20);
      await silent.exec(":put after", read());
      const numbers = simulator.commands.filter(({ line }) => /before|after/.test(line));
      expect(new Set(numbers.map(({ connection }) => connection)).size).toBe(1);
    });
  });

  test("waits for a session when the device has none left", async () => {
    await withRds({ switches: { maxSessions: 1 } }, async (connect) => {
      const first = connect();
      await first.exec(":put first", read());
      const second = connect();
      const waiting = second.exec(":put second", read());
      await first.close();
      expect((await waiting).stdout.trim()).toBe("second");
    });
  });

  test("survives a reboot", async () => {
    await withRds({ switches: { rebootMs: 50 } }, async (connect, simulator) => {
      const transport = connect();
      await transport.exec(":put before", change());
      await simulator.reboot();
      expect((await transport.exec(":put after", change())).stdout.trim()).toBe("after");
    });
  });

  test("refuses another device on the same address", async () => {
    await withRds({}, async (connect) => {
      const other = pinOf(testKey("ed25519").public);
      expect(await idOf(connect({ hostKeys: [other] }).exec(":put 1", read()))).toBe("hostKeyMismatch");
      expect(await idOf(connect({ user: "nobody" }).exec(":put 1", read()))).toBe("authenticationFailed");
    });
  });
});
