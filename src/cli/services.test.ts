import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
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
import { eventually, MAIN, type Run, startProgram } from "./cli.fixture.ts";

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
    expect(scraped).toContain('rds_csi_rds_connected{purpose="change"} 1');
    expect((await fetch(`http://${metrics}/readyz`)).status).toBe(200);

    const list = start(["volumes", "list", ...rds]);
    expect(await list.exit).toBe(0);
    expect(list.output.out).toMatch(
      /^STATE +SIZE +PVC +NODES +AGE +HANDLE\navailable +2Gi +vms\/disk +- +\d+s +csi-[0-9a-f]{28}\n\n1 volume, none with a problem\.\n$/,
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
      /^foreign .*\n\nProblems:\n! {2}foreign-disk: csi-[0-9a-f]{28}: .*: it belongs to cluster default\n\n1 volume, 1 with problems;/m,
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
  }, 240_000);

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
  }, 240_000);

  test("a socket path that cannot be had is an error with a remedy, code 1", async () => {
    // On another data path than the kernel's: a test does not load modules into it.
    const path = ["--data-path", "loop", "--loop-exports-dir", join(directory, "no-exports")];
    const socket = join(directory, "missing/dir/x.sock");
    const node = start(["node", "--node-id", "n1", "--endpoint", socket, ...path]);
    expect(await node.exit).toBe(1);
    expect(node.output.err).toContain("endpoint");
    expect(node.output.err).not.toContain("    at ");
  }, 240_000);

  test("simulate refuses a file without keys, code 2", async () => {
    const empty = join(directory, "empty.pub");
    await writeFile(empty, "# none\n");
    const run = start(["simulate", "--dir", join(directory, "refused"), "--authorized-keys-file", empty]);
    expect(await run.exit).toBe(2);
    expect(run.output.err).toContain("--authorized-keys-file");
  }, 240_000);

  test("output into a pipe that closes early is no error", async () => {
    const run = start(["--help"]);
    run.child.stdout?.destroy();
    expect(await run.exit).toBe(0);
  }, 240_000);

  test("a watch ends when the reader of its output has gone", async () => {
    const { run: simulator, rds } = await simulate("watched");
    const watch = start(["volumes", "list", ...rds, "--watch", "--interval", "1", "--log-level", "debug"]);
    // The version, the list of the first look, and that of the second.
    const answers = () => watch.output.err.split('msg="command ended"').length - 1;
    await eventually(watch, () => answers() >= 3, "the second look");
    watch.child.stdout?.destroy();
    // A line has to be written for the reader's end to show: that the RDS is lost.
    simulator.child.kill("SIGKILL");
    expect(await watch.exit).toBe(0);
  }, 240_000);
});

/** What a person sees when the surroundings are at fault: one sentence and what to do, no stack, no words of CSI. */
describe("surroundings", () => {
  const CALLER = /the caller|repeat the call|Correct the field| {4}at |--log-level/i;

  test("a taken port: the option, the address and the reason", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      const simulator = start([
        "simulate",
        ...["--dir", join(directory, "taken"), "--authorized-keys-file", join(directory, "key.pub")],
        ...["--backend", "memory", "--listen", address],
      ]);
      const loop = ["--data-path", "loop", "--loop-exports-dir", join(directory, "no-exports")];
      const node = start([
        "node",
        ...["--node-id", "n1", "--endpoint", join(directory, "taken.sock"), "--metrics-address", address],
        ...["--state-dir", join(directory, "node-state"), ...loop, "--log-level", "error"],
      ]);
      for (const [run, option] of [
        [simulator, "listen"],
        [node, "metrics-address"],
      ] as const) {
        expect(await run.exit).toBe(1);
        expect(run.output.err.split("\n")[0]).toBe(
          `rds-csi: --${option}: the program cannot listen on ${address}: another process has it (EADDRINUSE).`,
        );
        expect(run.output.err).not.toMatch(CALLER);
      }
    } finally {
      server.close();
    }
  }, 240_000);

  test("Ctrl-C ends a command that waits for the RDS, and says so", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const asked = once(server, "connection");
    try {
      const list = start([
        ...["volumes", "list", "--rds-address", `127.0.0.1:${port}`, "--rds-key-file", keyFile],
        ...["--rds-host-key", `SHA256:${"A".repeat(43)}`],
      ]);
      const [socket] = await asked;
      list.child.kill("SIGINT");
      expect(await list.exit).toBe(1);
      expect(list.output).toEqual({
        out: "",
        err: "rds-csi: received SIGINT before the command was done.\n",
      });
      socket.destroy();
    } finally {
      server.close();
    }
  }, 240_000);

  test("standard output that is full or closed ends a command with one line, or none", async () => {
    const full = openSync("/dev/full", "w");
    try {
      for (const args of [["--version"], ["version", "-o", "json"], ["completion", "bash"], ["--help"]]) {
        const { status, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
          stdio: ["ignore", full, "pipe"],
          encoding: "utf8",
        });
        expect([args, status, stderr]).toEqual([
          args,
          1,
          "rds-csi: standard output cannot be written (ENOSPC).\n",
        ]);
      }
    } finally {
      closeSync(full);
    }
    const closed = spawnSync("sh", ["-c", '"$0" "$@" >&-', process.execPath, MAIN, "version"], {
      encoding: "utf8",
    });
    expect(closed.stderr).not.toMatch(CALLER);
  }, 240_000);
});
