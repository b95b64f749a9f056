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

/** One process that asks a device. */
export interface Prober {
  readonly bench: Bench;
  /** Whether its last run has ended. */
  isDone(): boolean;
  run(experiments: readonly Experiment[], signal?: AbortSignal): Promise<readonly Result[]>;
}

/** A simulated device and its probe. */
export interface ProbedDevice extends Prober {
  readonly simulator: Simulator;
  /** Another process, with connections of its own. */
  another(): Prober;
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
  // So long that the order of events is theirs on a busy machine, too.
  const settings = { connection, pool: "storage-pool", idleMs: 50, holdMs: 500, keepaliveMs: 300 };
  const benches: Bench[] = [];
  const prober = (): Prober => {
    const stop = new AbortController();
    const bench = new Bench(settings, stop.signal);
    benches.push(bench);
    let running = 0;
    return {
      bench,
      isDone: () => running === 0,
      run: async (experiments, signal) => {
        running += 1;
        signal?.addEventListener("abort", () => stop.abort(signal.reason), { once: true });
        const watcher = { onBegin: () => {}, onEnd: () => {} };
        return await runExperiments(bench, experiments, stop.signal, watcher).finally(() => {
          running -= 1;
        });
      },
    };
  };
  return {
    simulator,
    ...prober(),
    another: prober,
    end: async () => {
      await Promise.all(benches.map((bench) => bench.close()));
      await simulator.stop();
      rmSync(directory, { recursive: true });
    },
  };
}
