/**
 * Figures of the compiled executable against the simulator on this machine, as Markdown: RouterOS commands per RPC,
 * latency of each RPC over the socket, start-up and memory. The simulator answers at once, so the latencies are the
 * driver's own; on a real RDS each RouterOS command adds its time. Node RPCs need root. Not part of the test run.
 *
 *     scripts/build && bun test/bench/bench.ts [rounds, 100]
 */
import { mkdir, rmdir } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { executable, noDevices, shortDirectory } from "../support/executable.ts";
import { median, quantile, residentMb, timed } from "../support/figures.ts";
import { capture } from "../support/processes.ts";
import { block, type Capability, MIB, mount } from "../support/rpc.ts";
import { type Stand, startStand } from "../support/stand.ts";
import { startUp } from "../support/start-up.ts";

const rounds = Number(process.argv[2] ?? 100);
if (!Number.isSafeInteger(rounds) || rounds < 16)
  throw new Error("rounds must be a whole number, 16 or more");
const PARALLEL = 16;
const NODE_ROUNDS = 16;

interface Samples {
  readonly sequential: number[];
  readonly parallel: number[];
  commands: number;
}

const rpcs = new Map<string, Samples>();
const samplesOf = (rpc: string): Samples => {
  const found = rpcs.get(rpc) ?? { sequential: [], parallel: [], commands: 0 };
  rpcs.set(rpc, found);
  return found;
};

/** Runs one RPC for each index, one after the other or 16 at a time, and notes how long each took. */
async function measure(
  rpc: string,
  kind: "sequential" | "parallel",
  indices: readonly number[],
  call: (index: number) => Promise<unknown>,
): Promise<void> {
  const samples = samplesOf(rpc)[kind];
  const width = kind === "sequential" ? 1 : PARALLEL;
  const queue = [...indices];
  await Promise.all(
    Array.from({ length: width }, async () => {
      for (let index = queue.shift(); index !== undefined; index = queue.shift()) {
        const wanted = index;
        samples.push(await timed(() => call(wanted)));
      }
    }),
  );
}

async function controllerFigures(stand: Stand): Promise<void> {
  const { controller, control, identity } = stand;
  const ids = new Map<string, string>();
  for (const kind of ["sequential", "parallel"] as const) {
    const name = (index: number) => `${kind}-${index}`;
    const volumeId = (index: number) => ids.get(name(index)) ?? "";
    const steps: readonly [string, (index: number) => Promise<unknown>][] = [
      ["Probe", () => identity.probe()],
      [
        "CreateVolume",
        async (index) => {
          const { volume } = await controller.createVolume({
            name: name(index),
            capacityRange: { requiredBytes: 8n * MIB },
            volumeCapabilities: [block()],
          });
          ids.set(name(index), volume?.volumeId ?? "");
        },
      ],
      [
        "ControllerPublishVolume",
        (index) =>
          controller.controllerPublishVolume({
            volumeId: volumeId(index),
            nodeId: "node-a",
            volumeCapability: block(),
          }),
      ],
      [
        "ValidateVolumeCapabilities",
        (index) =>
          controller.validateVolumeCapabilities({ volumeId: volumeId(index), volumeCapabilities: [block()] }),
      ],
      [`ListVolumes (${rounds} volumes)`, () => controller.listVolumes()],
      ["GetCapacity", () => controller.getCapacity()],
      [
        "ControllerUnpublishVolume",
        (index) => controller.controllerUnpublishVolume({ volumeId: volumeId(index), nodeId: "node-a" }),
      ],
      ["DeleteVolume", (index) => controller.deleteVolume({ volumeId: volumeId(index) })],
    ];
    const [first = 0, ...others] = Array.from({ length: rounds }, (_, index) => index);
    for (const [rpc, call] of steps) {
      // The first call alone, as calls at the same time share reads.
      samplesOf(rpc).commands = (await control.commandsDuring(() => call(first))).length;
      await measure(rpc, kind, others, call);
    }
  }
}

async function nodeFigures(stand: Stand): Promise<void> {
  const node = stand.node("node-a");
  const work = join(stand.directory, "bench");
  await mkdir(work);
  for (const kind of ["sequential", "parallel"] as const) {
    for (const [title, capability] of [
      ["block", block()],
      ["ext4", mount()],
    ] as const satisfies readonly (readonly [string, Capability])[]) {
      const indices = Array.from({ length: NODE_ROUNDS }, (_, index) => index);
      const requests = await Promise.all(
        indices.map(async (index) => {
          const name = `${kind}-${title}-${index}`;
          const { volume } = await stand.controller.createVolume({
            name,
            capacityRange: { requiredBytes: 32n * MIB },
            volumeCapabilities: [capability],
          });
          const volumeId = volume?.volumeId ?? "";
          const { publishContext } = await stand.controller.controllerPublishVolume({
            volumeId,
            nodeId: "node-a",
            volumeCapability: capability,
          });
          const stagingTargetPath = join(work, `${name}.staging`);
          const targetPath = join(work, `${name}.target`);
          const paths = { stagingTargetPath, targetPath, volumePath: targetPath };
          return { volumeId, publishContext, volumeCapability: capability, ...paths };
        }),
      );
      const each = (rpc: string, call: (request: (typeof requests)[number]) => Promise<unknown>) =>
        measure(`${rpc} (${title})`, kind, indices, async (index) => {
          const request = requests[index];
          if (request !== undefined) await call(request);
        });
      await each("NodeStageVolume", (request) => node.nodeStageVolume(request));
      await each("NodePublishVolume", (request) => node.nodePublishVolume(request));
      await each("NodeGetVolumeStats", (request) => node.nodeGetVolumeStats(request));
      await each("NodeUnpublishVolume", (request) => node.nodeUnpublishVolume(request));
      await each("NodeUnstageVolume", (request) => node.nodeUnstageVolume(request));
      for (const { volumeId } of requests) {
        await stand.controller.controllerUnpublishVolume({ volumeId });
        await stand.controller.deleteVolume({ volumeId });
      }
    }
  }
}

async function startFigures(stand: Stand): Promise<void> {
  const nodeFlags = (socket: string) => [
    ...["node", "--endpoint", socket, "--node-id", "node-a", "--data-path", "loop"],
    ...[
      "--loop-exports-dir",
      join(stand.directory, "rds/exports"),
      "--state-dir",
      join(stand.directory, "state"),
    ],
  ];
  console.log("\n| process | start to first RPC, median of 9 | idle RSS |\n|---|---|---|");
  for (const [name, flags] of [
    ["controller", stand.controllerFlags],
    ["node", nodeFlags],
  ] as const) {
    const runs = [];
    for (let index = 0; index < 9; index++) {
      const socket = join(stand.directory, `start-${name}-${index}.sock`);
      runs.push(await startUp(executable, flags(socket), socket, 500));
    }
    const ready = median(runs.map(({ readyMs }) => readyMs));
    const resident = median(runs.map((run) => run.residentMb));
    console.log(`| ${name} | ${ready.toFixed(0)} ms | ${resident.toFixed(0)} MB |`);
  }
  const versions: number[] = [];
  for (let index = 0; index < 15; index++) versions.push(await timed(() => capture(executable, ["version"])));
  console.log(`| \`rds-csi version\`, to its end | ${median(versions).toFixed(0)} ms | |`);
}

function latencyTable(): void {
  const cell = (samples: readonly number[]): string =>
    samples.length === 0
      ? ""
      : `${quantile(samples, 0.5).toFixed(1)} / ${quantile(samples, 0.99).toFixed(1)}`;
  console.log(
    `| RPC | RouterOS commands | p50 / p99 ms, one at a time | p50 / p99 ms, ${PARALLEL} at a time |`,
  );
  console.log("|---|---|---|---|");
  for (const [rpc, { sequential, parallel, commands }] of rpcs) {
    const count = rpc.startsWith("Node") ? 0 : commands;
    console.log(`| ${rpc} | ${count} | ${cell(sequential)} | ${cell(parallel)} |`);
  }
}

const base = await shortDirectory();
const stand = await startStand({ executable, directory: join(base, "s") });
try {
  const { stdout } = await capture(executable, ["version"]);
  console.log(`${stdout.trim()}; ${cpus().length} × ${cpus()[0]?.model ?? "?"}; ${rounds} rounds\n`);
  await controllerFigures(stand);
  if (noDevices === "") await nodeFigures(stand);
  else console.log(`Node RPCs are left out ${noDevices}.\n`);
  latencyTable();
  await startFigures(stand);
  const after = await residentMb(stand.controllerProcess.pid);
  console.log(`| controller, after the calls above | | ${after.toFixed(0)} MB |`);
} finally {
  await stand.close();
  await rmdir(base);
}
