import { constants } from "node:fs";
import { access, mkdir, open, readFile, stat, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import process from "node:process";
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  VolumeCapability_AccessMode_Mode as Mode,
  type VolumeCapabilitySchema,
} from "../../src/csi/gen/csi_pb.ts";
import { executable } from "../support/executable.ts";
import { cleanUp, loopsBelow, mountsBelow } from "../support/leftovers.ts";
import { takeLock } from "../support/lock.ts";
import { type Stand, startStand } from "../support/stand.ts";
import { migrationLife } from "./migration.ts";

const GIB = 1024n ** 3n;
/**
 * Where everything is; RDS_CSI_DEMO_DIR names another place, a path of at most 80 bytes whose parent exists. Beside it
 * is `<directory>.lock` while a demo runs.
 */
const directory = resolve(
  process.env.RDS_CSI_DEMO_DIR || join(tmpdir(), `rds-csi-demo-${process.getuid?.() ?? 0}`),
);
const started = performance.now();

function say(text: string): void {
  console.log(`${((performance.now() - started) / 1000).toFixed(1).padStart(6)} s  ${text}`);
}

function check(condition: boolean, what: string): void {
  if (!condition) throw new Error(`surprise: ${what}`);
}

/** Why this machine cannot do the data path, or undefined when it can. */
async function dataPathProblem(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return "not running as root";
  for (const tool of ["losetup", "mkfs.ext4", "mount", "umount", "blkid", "fuser"]) {
    const found = await Promise.any(
      [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin"].map((dir) =>
        access(join(dir, tool), constants.X_OK),
      ),
    ).then(
      () => true,
      () => false,
    );
    if (!found) return `${tool} is not installed`;
  }
  return (await stat("/dev/loop-control").catch(() => undefined)) === undefined
    ? "there are no loop devices"
    : undefined;
}

type Capability = MessageInitShape<typeof VolumeCapabilitySchema>;
const accessMode = { mode: Mode.SINGLE_NODE_WRITER };
const filesystem: Capability = { accessMode, accessType: { case: "mount", value: { fsType: "ext4" } } };
const block: Capability = { accessMode, accessType: { case: "block", value: {} } };

/** Creates a volume and attaches it to a node; the handle and what the node needs. */
async function createAndAttach(
  stand: Stand,
  name: string,
  capability: Capability,
  node: string,
): Promise<{ volumeId: string; publishContext: Record<string, string> }> {
  const { volume } = await stand.controller.createVolume({
    name,
    capacityRange: { requiredBytes: GIB },
    volumeCapabilities: [capability],
    parameters: { "csi.storage.k8s.io/pvc/namespace": "demo", "csi.storage.k8s.io/pvc/name": name },
  });
  const volumeId = volume?.volumeId ?? "";
  check(volume?.capacityBytes === GIB, `${name} has ${volume?.capacityBytes} bytes`);
  say(`${name}: created as ${volumeId}, ${volume?.capacityBytes} bytes`);
  const { publishContext } = await stand.controller.controllerPublishVolume({
    volumeId,
    nodeId: node,
    volumeCapability: capability,
  });
  say(`${name}: attached to ${node} as ${publishContext.nqn}`);
  return { volumeId, publishContext };
}

async function refused(what: string, call: Promise<unknown>): Promise<void> {
  const text = await call.then(
    () => undefined,
    (error: Error) => error.message,
  );
  if (text === undefined) throw new Error(`surprise: ${what} was accepted`);
  say(`${what}: refused, as it must be`);
  console.log(`           ${text}`);
}

/** The filesystem volume: two nodes one after the other see the same file. */
async function filesystemLife(stand: Stand, withData: boolean): Promise<void> {
  const name = "demo-files";
  let attached = await createAndAttach(stand, name, filesystem, "node-a");
  const { volumeId } = attached;
  await refused(
    `${name}: attaching it to node-b as well`,
    stand.controller.controllerPublishVolume({ volumeId, nodeId: "node-b", volumeCapability: filesystem }),
  );
  const text = `written at ${new Date().toISOString()}\n`;
  for (const node of ["node-a", "node-b"]) {
    if (node === "node-b") {
      const moved = await stand.controller.controllerPublishVolume({
        volumeId,
        nodeId: node,
        volumeCapability: filesystem,
      });
      check(moved.publishContext.nqn !== attached.publishContext.nqn, "the NQN was used twice");
      attached = { volumeId, publishContext: moved.publishContext };
      say(`${name}: attached to ${node} as ${moved.publishContext.nqn}`);
    }
    if (withData) {
      const paths = await nodePaths(stand, node, name);
      const staged = {
        volumeId,
        stagingTargetPath: paths.staging,
        volumeCapability: filesystem,
        publishContext: attached.publishContext,
      };
      await stand.node(node).nodeStageVolume(staged);
      await stand.node(node).nodePublishVolume({ ...staged, targetPath: paths.target });
      const file = join(paths.target, "hello.txt");
      if (node === "node-a") {
        await writeFile(file, text);
        say(`${name}: staged, formatted and mounted on ${node}; a workload wrote ${text.length} bytes`);
      } else {
        check((await readFile(file, "utf8")) === text, "the file is not what node-a wrote");
        say(`${name}: mounted on ${node}; the file is what node-a wrote`);
      }
      const { usage } = await stand.node(node).nodeGetVolumeStats({ volumeId, volumePath: paths.target });
      say(
        `${name}: ${usage.map((each) => `${each.used} of ${each.total} ${each.unit === 1 ? "bytes" : "inodes"} used`).join(", ")}`,
      );
      await stand.node(node).nodeUnpublishVolume({ volumeId, targetPath: paths.target });
      await stand.node(node).nodeUnstageVolume({ volumeId, stagingTargetPath: paths.staging });
      say(`${name}: unmounted and disconnected on ${node}`);
    }
    await stand.controller.controllerUnpublishVolume({ volumeId, nodeId: node });
  }
  await stand.controller.deleteVolume({ volumeId });
  say(`${name}: deleted`);
}

/** The block volume: a workload writes to the raw device. Left attached for `volumes list`. */
async function blockLife(stand: Stand, withData: boolean): Promise<void> {
  const name = "demo-block";
  const { volumeId, publishContext } = await createAndAttach(stand, name, block, "node-b");
  const paths = await nodePaths(stand, "node-b", name);
  if (withData) {
    const staged = { volumeId, stagingTargetPath: paths.staging, volumeCapability: block, publishContext };
    await stand.node("node-b").nodeStageVolume(staged);
    await stand.node("node-b").nodePublishVolume({ ...staged, targetPath: paths.target });
    const device = await open(paths.target, "r+");
    await device.write(Buffer.from("raw bytes"), 0, 9, 4096);
    await device.sync();
    await device.close();
    say(`${name}: published on node-b; a workload wrote to the raw device`);
  }
  await show(stand, ["volumes", "list", ...stand.rdsFlags]);
  await showMetrics(stand);
  if (withData) {
    await stand.node("node-b").nodeUnpublishVolume({ volumeId, targetPath: paths.target });
    await stand.node("node-b").nodeUnstageVolume({ volumeId, stagingTargetPath: paths.staging });
  }
  await stand.controller.controllerUnpublishVolume({ volumeId, nodeId: "node-b" });
  await stand.controller.deleteVolume({ volumeId });
  say(`${name}: taken down and deleted`);
}

/** Paths as kubelet lays them out; the target itself is made by the driver. */
async function nodePaths(
  stand: Stand,
  node: string,
  name: string,
): Promise<{ staging: string; target: string }> {
  const pods = join(stand.directory, node, name);
  const staging = join(pods, "globalmount");
  await mkdir(staging, { recursive: true });
  return { staging, target: join(pods, "target") };
}

async function show(stand: Stand, args: readonly string[]): Promise<void> {
  const { code, stdout, stderr } = await stand.cli(...args);
  check(code === 0, `rds-csi ${args[0]} ${args[1]} ended with ${code}: ${stderr}`);
  console.log(`\n  $ rds-csi ${args.slice(0, 2).join(" ")}\n${indent(stdout)}`);
}

/** The lines of the controller's metrics that match. */
async function metricLines(stand: Stand, pattern: RegExp): Promise<string[]> {
  const text = await new Promise<string>((done, fail) => {
    request({ socketPath: join(stand.directory, "metrics.sock"), path: "/metrics" }, (response) => {
      let body = "";
      response.on("data", (data) => (body += data));
      response.on("end", () => done(body));
    })
      .on("error", fail)
      .end();
  });
  return text.split("\n").filter((line) => pattern.test(line));
}

async function showMetrics(stand: Stand): Promise<void> {
  const lines = await metricLines(stand, /^rds_csi_(operations_total|rds_commands_total)/);
  check(lines.length > 0, "the controller reports no operations");
  console.log(`  $ curl http://controller/metrics   (an extract)\n${indent(lines.join("\n"))}`);
}

async function showCommands(stand: Stand): Promise<void> {
  const commands = await stand.commands();
  const menus = new Map<string, number>();
  for (const { line } of commands) {
    for (const [menu] of line.matchAll(/\/(?:disk|file|system\/resource)(?:\/\w+)/g))
      menus.set(menu, (menus.get(menu) ?? 0) + 1);
  }
  say(`RouterOS was asked ${commands.length} times over SSH, in all:`);
  console.log(indent([...menus].map(([menu, count]) => `${menu.padEnd(28)}${count}`).join("\n")));
  check(
    commands.every((command) => command.outcome === "ok"),
    "a RouterOS command failed",
  );
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, "    ");
}

/** The demo itself, on a stand that runs. */
async function walk(stand: Stand, withData: boolean): Promise<void> {
  const info = await stand.identity.getPluginInfo();
  say(`a simulated RDS, a controller and two nodes run: ${info.name} ${info.vendorVersion}`);
  await filesystemLife(stand, withData);
  await blockLife(stand, withData);
  const metrics = (pattern: RegExp) => metricLines(stand, pattern);
  await migrationLife(stand, withData, { say, check, nodePaths, refused, metrics });
  await show(stand, ["volumes", "list", ...stand.rdsFlags]);
  await showCommands(stand);
  check((await mountsBelow(directory)).length === 0, "a mount is left");
  check((await loopsBelow(directory)).length === 0, "a loop device is left");
}

async function main(interrupted: Promise<never>): Promise<void> {
  if (Buffer.byteLength(directory) > 80) throw new Error(`${directory} is too long a path for unix sockets`);
  const giveBack = await takeLock(`${directory}.lock`);
  try {
    for (const found of await cleanUp(directory)) say(`left by an earlier run, removed: ${found}`);
    const problem = await dataPathProblem();
    if (problem !== undefined)
      say(`control plane only (${problem}): no formatting, mounting or writing is shown`);
    // The third node is only known: it asks for a volume that two others have, and is refused.
    const orchestrator = ["--orchestrator", "none", "--nodes", "node-a,node-b,node-c"];
    const stand = await startStand({ executable, directory, orchestrator });
    const processes = [stand.controllerProcess, ...stand.nodeProcesses.values(), stand.simulator];
    const deaths = processes.map(async (each): Promise<never> => {
      throw new Error(`surprise: ${each.name} ended with ${await each.wait()}`);
    });
    for (const death of deaths) death.catch(() => {});
    const work = walk(stand, problem === undefined);
    try {
      await Promise.race([work, interrupted, ...deaths]);
      for (const each of processes) check((await each.stop()) === "0", `${each.name} did not stop cleanly`);
    } finally {
      await stand.close();
      // What was under way fails now, and must not make anything afterwards.
      await work.catch(() => {});
      await cleanUp(directory);
    }
    say(`done, nothing is left behind${problem === undefined ? "" : ` (data path left out: ${problem})`}`);
  } finally {
    await giveBack();
  }
}

// Whatever ends this script early, the processes, mounts and loop devices go with it.
const interrupted = new Promise<never>((_resolve, reject) => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.on(signal, () => reject(new Error(`received ${signal}`)));
});
interrupted.catch(() => {});
try {
  await main(interrupted);
} catch (error) {
  console.error(`demo failed: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
