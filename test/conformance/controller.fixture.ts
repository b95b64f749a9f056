import { afterAll, beforeAll } from "bun:test";
import { rmdir } from "node:fs/promises";
import { join } from "node:path";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import { LOGS_COMMANDS } from "../support/commands-of-calls.ts";
import { executable, shortDirectory } from "../support/executable.ts";
import { block, MIB } from "../support/rpc.ts";
import { type Stand, startStand } from "../support/stand.ts";

export let base = "";

export let stand: Stand;

export const UNKNOWN = volumeIdFromName("never made");

export const REPEAT = "Set the field and repeat the call.";

export const missing = (field: string) => `INVALID_ARGUMENT: ${field} is required and was empty. ${REPEAT}`;

export const created = async (name: string, size = 8n * MIB, capability = block()) => {
  const { volume } = await stand.controller.createVolume({
    name,
    capacityRange: { requiredBytes: size },
    volumeCapabilities: [capability],
  });
  return volume?.volumeId ?? "";
};

/** Gives the tests of a file a stand with a controller. */
export function useController(): void {
  beforeAll(async () => {
    base = await shortDirectory();
    stand = await startStand({
      executable,
      directory: join(base, "s"),
      startNodes: false,
      nodes: ["node-a", "node-b", "node-c"],
      firstController: LOGS_COMMANDS,
      simulate: ["--pool", "storage-pool:btrfs:4TiB", "--pool", "small:btrfs:2GiB"],
    });
  });
  afterAll(async () => {
    await stand?.close();
    await rmdir(base);
  });
}
