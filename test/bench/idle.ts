import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { executable, repository } from "../support/executable.ts";
import { median } from "../support/figures.ts";
import type { Stand } from "../support/stand.ts";
import { startUp } from "../support/start-up.ts";
import { type Bench, onStand } from "./measure.ts";

/** Start to the first answered RPC, and memory when idle, beside the least program that answers one. */
export async function idle(bench: Bench): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "rb-"));
  try {
    bench.say("compiles the floor");
    const floor = join(directory, "floor");
    await compileAsDriver("test/bench/floor.ts", floor);
    await onStand({}, (stand) => compare(bench, stand, floor));
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** Compiles a program of the bench with the flags that the driver is compiled with. @param entry its source, from the repository */
export async function compileAsDriver(entry: string, outfile: string): Promise<void> {
  const flags = ["--entry", entry, "--outfile", outfile, "--version", "0", "--commit", "0"];
  await promisify(execFile)(process.execPath, ["scripts/lib/compile.ts", ...flags], { cwd: repository });
}

/** Flags of a node on the exports of the stand's simulator. */
export const nodeFlags = (stand: Stand, socket: string): readonly string[] => [
  ...["node", "--endpoint", `unix://${socket}`, "--node-id", "node-a", "--data-path", "loop"],
  ...["--loop-exports-dir", join(stand.directory, "rds/exports")],
  ...["--state-dir", join(stand.directory, "state")],
];

async function compare(bench: Bench, stand: Stand, floor: string): Promise<void> {
  const programs = {
    floor: [floor, (socket: string) => [socket]],
    controller: [executable, (socket: string) => stand.controllerFlags(socket)],
    node: [executable, (socket: string) => nodeFlags(stand, socket)],
  } as const;
  type Name = keyof typeof programs;
  const names = Object.keys(programs) as Name[];
  const runs: Record<Name, Awaited<ReturnType<typeof startUp>>[]> = { floor: [], controller: [], node: [] };
  const rounds = bench.quick ? 5 : 15;
  bench.say(`starts each ${rounds} times`);
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      const [program, flags] = programs[name];
      const socket = join(stand.directory, `idle-${name}-${round}.sock`);
      runs[name].push(await startUp(program, flags(socket), socket, bench.quick ? 500 : 2_000));
    }
  }
  const of = (name: Name, key: "readyMs" | "residentMb" | "proportionalMb") =>
    median(runs[name].map((each) => each[key]));
  for (const name of ["controller", "node"] as const) {
    bench.add({
      name: `start of the ${name} to its first RPC`,
      value: of(name, "readyMs"),
      unit: "ms",
      beside: { name: "floor", value: of("floor", "readyMs") },
      goal: { most: 60 },
    });
    bench.add({
      name: `resident memory of an idle ${name}`,
      value: of(name, "residentMb"),
      unit: "MB",
      beside: { name: "floor", value: of("floor", "residentMb") },
      goal: { most: 60 },
    });
    bench.add({
      name: `its part of it, shared pages divided by their users (${name})`,
      value: of(name, "proportionalMb"),
      unit: "MB",
    });
  }
}
