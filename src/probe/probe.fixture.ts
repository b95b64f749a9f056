import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startTestSimulator, TEST_KEYS } from "../../test/support/simulator-client.ts";
import { systemClock } from "../domain/clock.ts";
import { parseHostKeyPin } from "../routeros/transport/host-keys.ts";
import type { Simulator, SimulatorOptions } from "../simulator/simulator.ts";
import { Bench } from "./bench.ts";
import type { Experiment } from "./experiment.ts";
import { type Result, runExperiments } from "./run.ts";

/** A simulated device and its probe. */
export interface ProbedDevice {
  readonly simulator: Simulator;
  readonly bench: Bench;
  run(experiments: readonly Experiment[]): Promise<readonly Result[]>;
  end(): Promise<void>;
}

/** Starts a simulator, and a bench for it. */
export async function probed(options: SimulatorOptions = {}): Promise<ProbedDevice> {
  const simulator = await startTestSimulator(options);
  const directory = mkdtempSync(join(tmpdir(), "probe-"));
  const keyFile = join(directory, "key");
  writeFileSync(keyFile, TEST_KEYS.private);
  chmodSync(keyFile, 0o600);
  const hostKeys = simulator.hostKeyFingerprints.map((text) => {
    const pin = parseHostKeyPin(text);
    if (typeof pin === "string") throw new Error(pin);
    return pin;
  });
  const signal = new AbortController();
  const connection = {
    host: simulator.host,
    port: simulator.port,
    user: options.users?.[0]?.name ?? "csi",
    keyFile,
    hostKeys,
    clock: systemClock,
    connectTimeoutMs: 10_000,
    tcpKeepaliveMs: 15_000,
    channelGraceMs: 1_000,
    maxOutputBytes: 16 * 1_024 * 1_024,
  };
  const bench = new Bench(
    { connection, pool: "storage-pool", idleMs: 50, holdMs: 200, keepaliveMs: 100 },
    signal.signal,
  );
  return {
    simulator,
    bench,
    run: (experiments) =>
      runExperiments(bench, experiments, signal.signal, { onBegin: () => {}, onEnd: () => {} }),
    end: async () => {
      await bench.close();
      await simulator.stop();
      rmSync(directory, { recursive: true });
    },
  };
}
