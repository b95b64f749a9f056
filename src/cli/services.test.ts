import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectClient } from "../../test/support/csi-server.ts";
import { testKey } from "../../test/support/ssh-server.ts";
import {
  Controller,
  CreateVolumeResponseSchema,
  GetPluginInfoResponseSchema,
  Identity,
  Node,
  NodeGetInfoResponseSchema,
  ProbeResponseSchema,
} from "../csi/gen/csi_pb.ts";
import { eventually, type Run, startProgram } from "./cli.fixture.ts";

let directory = "";
let keyFile = "";
const key = testKey("ed25519");
const running: Run[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "rds-csi-cli-"));
  keyFile = join(directory, "key");
  await writeFile(keyFile, key.private);
  await writeFile(join(directory, "key.pub"), `${key.public}\n`);
});
afterEach(async () => {
  for (const run of running.splice(0)) {
    if (run.child.exitCode === null && run.child.signalCode === null) run.child.kill("SIGKILL");
    await run.exit;
  }
});
afterAll(() => rm(directory, { recursive: true }));

function start(args: readonly string[], env: Readonly<Record<string, string>> = {}): Run {
  const run = startProgram(args, env);
  running.push(run);
  return run;
}

/** Starts a simulator in a directory of its own. */
async function simulate(name: string): Promise<{ run: Run; address: string; rds: string[] }> {
  const hostKey = join(directory, `${name}.pub`);
  const run = start([
    "simulate",
    "--dir",
    join(directory, name),
    "--listen",
    "127.0.0.1:0",
    "--backend",
    "memory",
    "--authorized-keys-file",
    join(directory, "key.pub"),
    "--host-key-file",
    hostKey,
    "--ready-file",
    join(directory, `${name}.ready`),
  ]);
  await eventually(run, () => run.output.out.includes("\n"), "the ready line");
  const address = /^ready (\S+) SHA256:\S+\n$/.exec(run.output.out)?.[1] ?? "";
  expect(await readFile(join(directory, `${name}.ready`), "utf8")).toBe(`${address}\n`);
  return {
    run,
    address,
    rds: ["--rds-address", address, "--rds-key-file", keyFile, "--rds-host-key-file", hostKey],
  };
}

describe("services as processes", () => {
  test("simulate, controller and volumes list work together, and end with code 0 on SIGTERM", async () => {
    const { run: simulator, rds } = await simulate("together");
    const socket = join(directory, "controller.sock");
    const controller = start(
      ["controller", ...rds, "--orchestrator", "none", "--nodes", "n1", "--metrics-address", "127.0.0.1:0"],
      {
        CSI_ENDPOINT: `unix://${socket}`,
      },
    );
    await eventually(controller, () => existsSync(socket), "the socket");
    const client = connectClient(socket);
    const info = await client.start(Identity, "getPluginInfo", GetPluginInfoResponseSchema, {}).result;
    expect(info.name).toBe("rds.csi.srvlab.io");
    expect((await client.start(Identity, "probe", ProbeResponseSchema, {}).result).ready).toBe(true);
    const created = await client.start(Controller, "createVolume", CreateVolumeResponseSchema, {
      name: "pvc-cli-test",
      capacityRange: { requiredBytes: 2n << 30n },
      volumeCapabilities: [{ accessType: { case: "block", value: {} }, accessMode: { mode: 1 } }],
      parameters: { "csi.storage.k8s.io/pvc/name": "disk", "csi.storage.k8s.io/pvc/namespace": "vms" },
    } as never).result;
    expect(created.volume?.capacityBytes).toBe(2n << 30n);

    const metrics = /msg="serving metrics".* address=(\S+)/.exec(controller.output.err)?.[1];
    const scraped = await (await fetch(`http://${metrics}/metrics`)).text();
    expect(scraped).toContain('rds_csi_rds_connected{purpose="mutate"} 1');
    expect((await fetch(`http://${metrics}/readyz`)).status).toBe(200);

    const list = start(["volumes", "list", ...rds]);
    expect(await list.exit).toBe(0);
    expect(list.output.out).toMatch(
      /^STATE +SIZE +PVC +NODES +AGE +HANDLE\navailable +2Gi +vms\/disk +- +\d+s +csi-[0-9a-f]{28}\n$/,
    );
    expect(list.output.err).toBe("");
    const json = start(["volumes", "list", ...rds, "-o", "json", "--fail-on-problems"]);
    expect(await json.exit).toBe(0);
    expect(JSON.parse(json.output.out).items[0]).toMatchObject({
      csiName: "pvc-cli-test",
      handle: created.volume?.volumeId,
    });

    const foreign = start(["volumes", "list", ...rds, "--cluster-id", "other", "--fail-on-problems"]);
    expect(await foreign.exit).toBe(3);
    expect(foreign.output.out).toMatch(
      /^foreign .*\n\nProblems:\ncsi-[0-9a-f]{28}: it belongs to cluster default\n$/m,
    );

    client.close();
    controller.child.kill("SIGTERM");
    expect(await controller.exit).toBe(0);
    expect(existsSync(socket)).toBe(false);
    simulator.child.kill("SIGINT");
    expect(await simulator.exit).toBe(0);
    expect(existsSync(join(directory, "together.ready"))).toBe(false);

    const gone = start(["volumes", "list", ...rds, "--timeout", "1"]);
    expect(await gone.exit).toBe(1);
    expect(gone.output.err).toMatch(/rds-csi: the RDS at .* is not reachable over SSH: .*refused.*\n {2}\S/i);
    expect(gone.output.err).not.toContain("    at ");
  }, 60_000);

  test("node serves, reports why it is not ready, and ends on SIGINT", async () => {
    const socket = join(directory, "node.sock");
    const metrics = join(directory, "metrics.sock");
    const node = start([
      "node",
      "--endpoint",
      socket,
      "--node-id",
      "n1",
      "--data-path",
      "loop",
      "--loop-exports-dir",
      join(directory, "no-exports"),
      "--state-dir",
      join(directory, "node-state"),
      "--max-volumes-per-node",
      "7",
      "--metrics-address",
      metrics,
    ]);
    await eventually(node, () => existsSync(socket), "the socket");
    const client = connectClient(socket);
    const info = await client.start(Node, "nodeGetInfo", NodeGetInfoResponseSchema, {}).result;
    expect(info).toMatchObject({ nodeId: "n1", maxVolumesPerNode: 7n });
    client.close();
    const ready = await fetch("http://localhost/readyz", { unix: metrics } as RequestInit);
    expect(ready.status).toBe(503);
    expect(await ready.text()).toContain("no-exports");
    node.child.kill("SIGINT");
    expect(await node.exit).toBe(0);
    expect(existsSync(socket)).toBe(false);
  }, 60_000);

  test("a socket path that cannot be had is an error with a remedy, code 1", async () => {
    // On another data path than the kernel's: a test does not load modules into it.
    const path = ["--data-path", "loop", "--loop-exports-dir", join(directory, "no-exports")];
    const socket = join(directory, "missing/dir/x.sock");
    const node = start(["node", "--node-id", "n1", "--endpoint", socket, ...path]);
    expect(await node.exit).toBe(1);
    expect(node.output.err).toContain("endpoint");
    expect(node.output.err).not.toContain("    at ");
  }, 30_000);

  test("simulate refuses a file without keys, code 2", async () => {
    const empty = join(directory, "empty.pub");
    await writeFile(empty, "# none\n");
    const run = start(["simulate", "--dir", join(directory, "refused"), "--authorized-keys-file", empty]);
    expect(await run.exit).toBe(2);
    expect(run.output.err).toContain("--authorized-keys-file");
  }, 30_000);

  test("output into a pipe that closes early is no error", async () => {
    const run = start(["--help"]);
    run.child.stdout?.destroy();
    expect(await run.exit).toBe(0);
  }, 30_000);
});
