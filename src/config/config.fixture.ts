import { afterAll, beforeAll } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pinOf, testKey } from "../../test/support/ssh-server.ts";
import { ConfigError, type Mistake } from "./config-error.ts";
import { type Input, loadControllerConfig } from "./load.ts";

/** Files and flags for the tests of one file, in a directory that goes with them. */
export function configStand() {
  let directory = "";
  let keyFile = "";
  const hostKey = testKey("ed25519");
  const pin = pinOf(hostKey.public).fingerprint;
  const file = async (name: string, text: string): Promise<string> => {
    const path = join(directory, name);
    await writeFile(path, text);
    return path;
  };
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "rds-csi-config-"));
    keyFile = await file("key", testKey("ed25519").private);
  });
  afterAll(() => rm(directory, { recursive: true }));
  return {
    hostKey,
    pin,
    file,
    get keyFile() {
      return keyFile;
    },
    /** Flags of a complete controller configuration, changed by `more`; undefined removes one. */
    flags: (more: Record<string, readonly string[] | undefined> = {}): Record<string, readonly string[]> => {
      const all = {
        "rds-address": ["192.0.2.1"],
        "rds-key-file": [keyFile],
        "rds-host-key": [pin],
        nodes: ["n1"],
        ...more,
      };
      return Object.fromEntries(Object.entries(all).filter((entry) => entry[1] !== undefined)) as never;
    },
  };
}

/** The mistakes of a configuration; none if it is right. */
export async function mistakes(load: Promise<unknown>): Promise<readonly Mistake[]> {
  const error = await load.then(
    () => undefined,
    (found: unknown) => found,
  );
  if (error === undefined) return [];
  if (!(error instanceof ConfigError)) throw error;
  return error.mistakes;
}

export const controller = (input: Partial<Input>) => loadControllerConfig({ flags: {}, env: {}, ...input });
