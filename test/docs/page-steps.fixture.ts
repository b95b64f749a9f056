import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { newEd25519Key } from "../../src/domain/openssh-key.ts";
import { type Simulator, startSimulator } from "../../src/simulator/simulator.ts";
import { capture } from "../support/processes.ts";
import { ROOT } from "./pages.fixture.ts";

const PATH = `${process.env.PATH ?? ""}:/usr/bin`;

/** Which of these programs this machine lacks, for the name of a test; "" when it has all. */
export function lacking(programs: readonly string[]): string {
  const absent = programs.filter((program) => Bun.which(program, { PATH }) === null);
  return absent.length === 0 ? "" : `(needs ${absent.join(", ")})`;
}

/** Runs the shell blocks of a page as they stand, with OpenSSH, in a directory of their own; the RDS is a simulator. */
export interface PageSteps {
  readonly simulator: Simulator;
  /** Where the blocks run. */
  readonly directory: string;
  /** Key of the simulator's only user at first, `admin`, in OpenSSH form. */
  readonly adminKey: string;
  /** Standard output of a block. @throws Error when a command of it fails */
  shell(text: string): Promise<string>;
  close(): Promise<void>;
}

export interface PageStepsOptions {
  /** The address that the page gives the RDS. */
  readonly address: string;
  /** What else of the page's text stands for something here. */
  readonly replace?: Readonly<Record<string, string>>;
  /** Further definitions of shell functions; the simulator's port is known by then. */
  readonly functions?: (port: number) => readonly string[];
}

/** Starts the simulator, which only has its administrator. */
export async function startPageSteps(options: PageStepsOptions): Promise<PageSteps> {
  const { address } = options;
  const admin = newEd25519Key();
  const simulator = await startSimulator({ users: [{ name: "admin", publicKeys: [admin.public] }] });
  const { port } = simulator;
  const directory = await mkdtemp(join(tmpdir(), "rds-page-"));
  await writeFile(join(directory, "admin-key"), admin.private, { mode: 0o600 });
  const config = [
    ...[`Host ${address}`, "HostName 127.0.0.1", `Port ${port}`],
    ...["IdentitiesOnly yes", "BatchMode yes", "StrictHostKeyChecking accept-new"],
    ...[`UserKnownHostsFile ${directory}/known_hosts`, "GlobalKnownHostsFile /dev/null"],
    ...[`Match originalhost ${address} user admin`, `IdentityFile ${directory}/admin-key`],
  ];
  await writeFile(join(directory, "ssh_config"), `${config.join("\n")}\n`);
  const functions = [
    `ssh() { command ssh -F ${directory}/ssh_config "$@"; }`,
    `scp() { command scp -F ${directory}/ssh_config "$@"; }`,
    `ssh-keyscan() { command ssh-keyscan -p ${port} "\${@//${address}/127.0.0.1}"; }`,
    `rds-csi() { ${process.execPath} ${ROOT}/src/main.ts "\${@//${address}/127.0.0.1:${port}}"; }`,
    ...(options.functions?.(port) ?? []),
  ];
  return {
    simulator,
    directory,
    adminKey: admin.private,
    shell: async (text) => {
      let here = text;
      for (const [from, to] of Object.entries(options.replace ?? {})) here = here.replaceAll(from, to);
      const { code, stdout, stderr } = await capture(
        "/bin/bash",
        ["-euc", `${functions.join("\n")}\n${here}`],
        {
          cwd: directory,
          env: { PATH, HOME: directory, TMPDIR: directory },
        },
      );
      if (code !== 0) throw new Error(`exit ${code} of ${text}\n${stdout}${stderr}`);
      return stdout;
    },
    close: async () => {
      await simulator.stop();
      await rm(directory, { recursive: true });
    },
  };
}
