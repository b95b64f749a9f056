import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtemp, rm, rmdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Controller } from "../../src/csi/gen/csi_pb.ts";
import { commandsOfCalls, endedForJobs, LOGS_COMMANDS } from "../support/commands-of-calls.ts";
import { executable, shortDirectory } from "../support/executable.ts";
import { median, timed } from "../support/figures.ts";
import { capture } from "../support/processes.ts";
import { block, MIB } from "../support/rpc.ts";
import { type Stand, startStand, until } from "../support/stand.ts";
import { startUp } from "../support/start-up.ts";

// Times are ratios within one run; scripts/bench prints the times themselves.

/** Limit of the start to the first answered RPC, in runs of `rds-csi version`; it takes about 9 of them. */
const START_FACTOR = 30;
const RESIDENT_LIMIT_MB = 88;

let base = "";
let stand: Stand;
beforeAll(async () => {
  base = await shortDirectory();
  stand = await startStand({
    ...{ executable, directory: join(base, "s"), startNodes: false },
    firstController: LOGS_COMMANDS,
  });
});
afterAll(async () => {
  await stand?.close();
  await rmdir(base);
});

test("`rds-csi version` takes at most three times as long as an empty executable", async () => {
  const directory = await mkdtemp(join(tmpdir(), "rds-csi-empty-"));
  try {
    await writeFile(join(directory, "empty.ts"), "");
    execFileSync(process.execPath, ["build", "--compile", "--outfile", "empty", "empty.ts"], {
      cwd: directory,
      stdio: "ignore",
    });
    const run = (program: string, args: readonly string[]): number => {
      const started = performance.now();
      const { status } = spawnSync(program, args, { stdio: "ignore" });
      const taken = performance.now() - started;
      expect(status).toBe(0);
      return taken;
    };
    const pair = () => ({ empty: run(join(directory, "empty"), []), version: run(executable, ["version"]) });
    pair();
    const pairs = Array.from({ length: 21 }, pair);
    // The fastest of many runs is the one that other work on the machine has disturbed least.
    const empty = Math.min(...pairs.map((each) => each.empty));
    const version = Math.min(...pairs.map((each) => each.version));
    const factor = version / empty;
    console.log(
      `  version ${version.toFixed(1)} ms, an empty executable ${empty.toFixed(1)} ms, factor ${factor.toFixed(2)}`,
    );
    expect(factor).toBeLessThan(3);
  } finally {
    await rm(directory, { recursive: true });
  }
}, 240_000);

describe("start to the first answered RPC, and memory when idle", () => {
  const measure = async (name: string, args: (socket: string) => readonly string[]) => {
    const runs = [];
    for (let index = 0; index < 9; index++) {
      const socket = join(stand.directory, `${name}-${index}.sock`);
      const versionMs = await timed(() => capture(executable, ["version"]));
      runs.push({ versionMs, ...(await startUp(executable, args(socket), socket, 200)) });
    }
    const readyMs = median(runs.map((each) => each.readyMs));
    const factor = median(runs.map((each) => each.readyMs / each.versionMs));
    const resident = median(runs.map((each) => each.residentMb));
    console.log(
      `  ${name}: ready after ${readyMs.toFixed(0)} ms, factor ${factor.toFixed(2)}, ${resident.toFixed(0)} MB resident`,
    );
    expect(factor).toBeLessThan(START_FACTOR);
    expect(resident).toBeLessThanOrEqual(RESIDENT_LIMIT_MB);
  };

  test("controller", () => measure("controller", (socket) => stand.controllerFlags(socket)), 240_000);

  test(
    "node",
    () =>
      measure("node", (socket) => [
        ...["node", "--endpoint", socket, "--node-id", "node-a", "--data-path", "loop"],
        ...[
          "--loop-exports-dir",
          join(stand.directory, "rds/exports"),
          "--state-dir",
          join(stand.directory, "state"),
        ],
      ]),
    30_000,
  );
});

describe("RouterOS commands per RPC", () => {
  const request = (name: string) => ({
    name,
    capacityRange: { requiredBytes: 8n * MIB },
    volumeCapabilities: [block()],
  });
  const count = async (work: () => Promise<unknown>): Promise<number> =>
    (await commandsOfCalls(stand, work)).length;

  /** A controller has read the version, all records, and all volumes, which takes two commands. @param before commands that ended before it was started */
  const untilStarted = (before = 0): Promise<void> =>
    until("the controller has started", async () => (await endedForJobs(stand)) >= before + 4);

  test("on a warm controller", async () => {
    const { controller } = stand;
    await untilStarted();
    let volumeId = "";
    const attach = () => ({ volumeId, nodeId: "node-a", volumeCapability: block() });
    const counts: Record<string, number> = {};
    counts.CreateVolume = await count(async () => {
      volumeId = (await controller.createVolume(request("counted"))).volume?.volumeId ?? "";
    });
    counts["CreateVolume again"] = await count(() => controller.createVolume(request("counted")));
    counts.ControllerPublishVolume = await count(() => controller.controllerPublishVolume(attach()));
    counts["ControllerPublishVolume again"] = await count(() => controller.controllerPublishVolume(attach()));
    counts.ValidateVolumeCapabilities = await count(() =>
      controller.validateVolumeCapabilities({ volumeId, volumeCapabilities: [block()] }),
    );
    counts.ListVolumes = await count(() => controller.listVolumes());
    counts.GetCapacity = await count(() => controller.getCapacity());
    counts.ControllerUnpublishVolume = await count(() => controller.controllerUnpublishVolume({ volumeId }));
    counts.DeleteVolume = await count(() => controller.deleteVolume({ volumeId }));
    counts["DeleteVolume again"] = await count(() => controller.deleteVolume({ volumeId }));
    counts["DeleteVolume of a malformed id"] = await count(() => controller.deleteVolume({ volumeId: "x" }));
    counts.Probe = await count(() => stand.identity.probe());
    expect(counts).toEqual({
      CreateVolume: 2,
      // The repeat writes a new revision of the record; the second command of an attach grants the access.
      "CreateVolume again": 2,
      ControllerPublishVolume: 2,
      "ControllerPublishVolume again": 1,
      ValidateVolumeCapabilities: 1,
      // The second reads the pools, for the condition of the volumes.
      ListVolumes: 2,
      GetCapacity: 1,
      ControllerUnpublishVolume: 1,
      DeleteVolume: 2,
      "DeleteVolume again": 2,
      "DeleteVolume of a malformed id": 0,
      Probe: 0,
    });
  });

  test("50 equal lists at the same time share their reads", async () => {
    const sent = await count(() =>
      Promise.all(Array.from({ length: 50 }, () => stand.controller.listVolumes())),
    );
    // Two commands for a list: the first, and the next one, which all others share.
    expect(sent).toBeLessThanOrEqual(4);
  });

  test("a controller that starts reads the version, all records and all volumes; then the first attach takes two", async () => {
    const { volume } = await stand.controller.createVolume(request("cold"));
    const volumeId = volume?.volumeId ?? "";
    const socket = join(stand.directory, "cold.sock");
    // Its background jobs would send commands, too.
    expect(await stand.controllerProcess.stop()).toBe("0");
    const before = await endedForJobs(stand);
    const process = await stand.startController(socket, LOGS_COMMANDS);
    await untilStarted(before);
    const controller = stand.connect(Controller, socket);
    const attach = { volumeId, nodeId: "node-a", volumeCapability: block() };
    const attached = await count(() => controller.controllerPublishVolume(attach));
    const detached = await count(() => controller.controllerUnpublishVolume({ volumeId }));
    expect([attached, detached]).toEqual([2, 1]);
    await controller.deleteVolume({ volumeId });
    expect(await process.stop()).toBe("0");
    expect(await endedForJobs(stand)).toBe(before + 4);
  });
});
