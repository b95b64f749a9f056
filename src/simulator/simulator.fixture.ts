import { afterEach } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { connect, startTestSimulator, type TestClient } from "../../test/support/simulator-client.ts";
import type { Simulator, SimulatorOptions } from "./simulator.ts";

export const cleanups: (() => unknown)[] = [];

export async function start(options: SimulatorOptions = {}): Promise<Simulator> {
  const simulator = await startTestSimulator(options);
  cleanups.push(() => simulator.stop());
  return simulator;
}

export async function login(simulator: Simulator, name = "csi"): Promise<TestClient> {
  const client = await connect(simulator, name);
  cleanups.push(() => client.close());
  return client;
}

export async function both(options: SimulatorOptions = {}): Promise<[Simulator, TestClient]> {
  const simulator = await start(options);
  return [simulator, await login(simulator)];
}

export function temporary(): string {
  const dir = mkdtempSync(path.join(tmpdir(), "simulator-"));
  cleanups.push(() => rmSync(dir, { recursive: true }));
  return dir;
}

/** Ends, after each test of a file, the simulators and clients of the test. */
export function useSimulators(): void {
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });
}
