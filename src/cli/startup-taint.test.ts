import { afterEach, beforeEach, expect, test } from "bun:test";
import { join } from "node:path";
import {
  type LogLine,
  recordingLogger,
  startWorld,
  until,
  type World,
} from "../../test/support/kubernetes/world.ts";
import { loadNodeConfig } from "../config/load.ts";
import { startupTaintKey } from "../node/startup-taint.ts";
import { runNode } from "./node.ts";

// A name of its own, so that nothing on this machine is taken for a leftover of this node.
const DRIVER = "taint.example.org";
let world: World;
let stop: AbortController;
beforeEach(async () => {
  world = await startWorld();
  stop = new AbortController();
});
afterEach(() => world.stop());

test("the start-up taint stays while /readyz says 503, and goes once it says 200", async () => {
  const taint = { key: startupTaintKey(DRIVER), effect: "NoExecute" };
  const metadata = { name: "node-a" };
  world.api.apply({ apiVersion: "v1", kind: "Node", metadata, spec: { taints: [taint] } });
  const drivers = [{ name: DRIVER, nodeID: "node-a", topologyKeys: null }];
  world.api.apply({ apiVersion: "storage.k8s.io/v1", kind: "CSINode", metadata, spec: { drivers } });
  // Without its cluster's id a node cannot stage.
  world.api.faults.push({ match: ({ resource }) => resource === "namespaces", status: 503 });
  const flags = {
    "node-id": ["node-a"],
    "driver-name": [DRIVER],
    "nqn-prefix": ["nqn.2026-01.org.example.taint"],
    "data-path": ["loop"],
    "loop-exports-dir": [world.dir],
    "state-dir": [join(world.dir, "state")],
    endpoint: [join(world.dir, "csi.sock")],
    "metrics-address": ["127.0.0.1:0"],
    orchestrator: ["kubernetes"],
    kubeconfig: [await world.api.writeKubeconfig(join(world.dir, "config"))],
  };
  const log: LogLine[] = [];
  const config = await loadNodeConfig({ flags, env: {} });
  const running = runNode(config, { stop: stop.signal, logger: recordingLogger(log) });
  try {
    const line = (message: string) => log.find((each) => each.message === message);
    await until("it waits", () => line("the start-up taint stays until the node is ready") !== undefined);
    const readyz = `http://${line("serving metrics")?.fields?.address}/readyz`;
    expect((await fetch(readyz)).status).toBe(503);
    expect(world.api.get("Node", "node-a")?.spec.taints).toEqual([taint]);
    expect(world.api.accesses.some(({ verb }) => verb === "patch")).toBe(false);
    world.api.faults.length = 0;
    await until("the taint is gone", () => world.api.get("Node", "node-a")?.spec.taints.length === 0);
    expect((await fetch(readyz)).status).toBe(200);
  } finally {
    stop.abort();
    await running;
  }
}, 240_000);
