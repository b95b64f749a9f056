import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { newEd25519Key } from "../../src/domain/openssh-key.ts";
import { type Simulator, type SimulatorOptions, startSimulator } from "../../src/simulator/simulator.ts";
import { connectWith, type TestClient } from "../support/simulator-client.ts";
import { upload } from "../support/simulator-upload.ts";

const ADMIN_KEY = newEd25519Key();
/** A device with nobody but its administrator. */
export const FRESH: SimulatorOptions = { users: [{ name: "admin", publicKeys: [ADMIN_KEY.public] }] };

/** A script of manifests/rds with some settings filled in. @throws when it has no such setting */
export async function script(name: string, settings: Readonly<Record<string, string>> = {}): Promise<string> {
  let text = await readFile(join(import.meta.dirname, "../../manifests/rds", name), "utf8");
  for (const [setting, value] of Object.entries(settings)) {
    const line = new RegExp(`^:local ${setting} ".*"$`, "m");
    if (!line.test(text)) throw new Error(`${name} has no setting ${setting}`);
    text = text.replace(line, () => `:local ${setting} "${value}"`);
  }
  return text;
}

/** The administrator of a simulated RDS. */
export interface Administrator {
  readonly simulator: Simulator;
  readonly client: TestClient;
  /** The output of a line, with "\n" between its lines. */
  run(line: string): Promise<string>;
  /** Uploads a script with settings and imports it; what it printed. */
  import(name: string, settings?: Readonly<Record<string, string>>): Promise<string>;
  /** Users, groups, keys, files, and service settings: what a script might change. */
  configuration(): unknown;
}

export async function administrator(simulator: Simulator): Promise<Administrator> {
  const client = await connectWith(simulator, { username: "admin", privateKey: ADMIN_KEY.private });
  const run = async (line: string) => {
    const { stdout, stderr } = await client.exec(line);
    return (stdout + stderr).replaceAll("\r\n", "\n").trim();
  };
  return {
    simulator,
    client,
    run,
    import: async (name, settings) => {
      await upload(client.client, name, await script(name, settings));
      const output = await run(`/import file-name=${name}`);
      await run(`/file/remove ${name}`);
      return output;
    },
    configuration: () => {
      const { management, files, disks } = simulator.device;
      const { sshAddresses, accounts } = management;
      const { groups, users, keys } = accounts.save();
      return structuredClone({ groups, users, keys, files, sshAddresses, disks });
    },
  };
}

/** A fresh device with its administrator logged in. */
export async function freshDevice(options: SimulatorOptions = {}): Promise<Administrator> {
  return administrator(await startSimulator({ ...FRESH, ...options }));
}
