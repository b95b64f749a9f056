import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { EXECUTABLE, TARGETS, type Target } from "../../scripts/lib/image/contents.ts";
import { VolumeCapability_AccessMode_Mode as Mode } from "../../src/csi/gen/csi_pb.ts";
import { shortDirectory } from "../support/executable.ts";
import { type Stand, startStand } from "../support/stand.ts";
import { noImage, ownTarget, rootOf } from "./image.ts";

// The executable of the other architecture, in the root of its image, under an emulator of processes: simulator, controller and commands.

const other = TARGETS.find(({ name }) => name !== ownTarget.name) as Target;
const EMULATORS: Readonly<Record<string, string>> = {
  arm64: "qemu-aarch64-static",
  x64: "qemu-x86_64-static",
};
const emulator = EMULATORS[other.name] ?? "";
const path = Bun.which(emulator);
const noEmulator = noImage !== "" ? noImage : path === null ? `(skipped: needs ${emulator})` : "";
const MIB = 1n << 20n;
const CAPABILITY = {
  accessMode: { mode: Mode.MULTI_NODE_MULTI_WRITER },
  accessType: { case: "block", value: {} },
} as const;

describe.skipIf(noEmulator !== "")(`${other.name}, emulated ${noEmulator}`.trim(), () => {
  let directory = "";
  let stand: Stand | undefined;
  const get = (): Stand => {
    if (stand === undefined) throw new Error("the stand did not start");
    return stand;
  };

  beforeAll(async () => {
    directory = await shortDirectory();
    const root = resolve(rootOf(other));
    const executable = join(directory, "rds-csi");
    await writeFile(executable, `#!/bin/sh\nexec ${path} -L ${root} ${root}/${EXECUTABLE} "$@"\n`, {
      mode: 0o755,
    });
    stand = await startStand({ executable, directory: join(directory, "s"), startNodes: false });
  }, 240_000);

  afterAll(async () => {
    await stand?.close();
    if (directory !== "") await rm(directory, { recursive: true });
  });

  test("says its version, and that it is of that architecture", async () => {
    const { code, stdout } = await get().cli("version", "-o", "json");
    expect([code, JSON.parse(stdout)]).toMatchObject([0, { platform: `linux/${other.name}` }]);
  });

  test("the life of a volume on the side of the controller: create, grow, migrate, delete", async () => {
    const { controller, cli, rdsFlags } = get();
    const created = await controller.createVolume({
      name: "emulated",
      volumeCapabilities: [CAPABILITY],
      capacityRange: { requiredBytes: 8n * MIB },
    });
    const volumeId = created.volume?.volumeId ?? "";
    const publish = (nodeId: string) =>
      controller.controllerPublishVolume({ volumeId, nodeId, volumeCapability: CAPABILITY });
    const unpublish = (nodeId: string) => controller.controllerUnpublishVolume({ volumeId, nodeId });
    const listed = async () => {
      const { stdout } = await cli("volumes", "list", "-o", "json", "--orchestrator", "none", ...rdsFlags);
      return JSON.parse(stdout).items.map(({ state, sizeBytes }: { state: string; sizeBytes: number }) => [
        state,
        sizeBytes,
      ]);
    };
    expect(await listed()).toEqual([["available", Number(8n * MIB)]]);
    await controller.controllerExpandVolume({ volumeId, capacityRange: { requiredBytes: 16n * MIB } });
    const first = await publish("node-a");
    expect(Object.keys(first.publishContext).length).toBeGreaterThan(3);
    await publish("node-b");
    expect(await listed()).toEqual([["migrating", Number(16n * MIB)]]);
    await unpublish("node-a");
    await unpublish("node-b");
    await controller.deleteVolume({ volumeId });
    expect(await listed()).toEqual([]);
  });
});
