import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { repository } from "../support/executable.ts";
import { launch } from "../support/processes.ts";
import { until } from "../support/until.ts";
import { atATime, type Bench, link, mixedLife, onStand } from "./measure.ts";

/** Bun's sampling profile, in the format of Chrome's tools. */
export interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string };
    readonly children?: readonly number[];
  }[];
  /** Ids of the nodes that ran. */
  readonly samples: readonly number[];
  /** Microseconds of each sample. */
  readonly timeDeltas: readonly number[];
}

/** Shares below it are one row, percent. */
const LEAST = 2;

/** Functions of the runtime that have no source, and are parts of their own. */
const NATIVE: Readonly<Record<string, string>> = {
  writeBuffered: "writes to sockets, with the kernel's work on them",
  writeSync: "writes of log lines",
};

/** Part of a program by the address of a source; undefined for the runtime's native functions. */
function partOf(url: string): string | undefined {
  const [, name] = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url) ?? [];
  if (name !== undefined) return name;
  const [, folder] = /(?:^|\/)(src\/[^/]+)\//.exec(url) ?? [];
  return folder ?? (url === "" ? undefined : url);
}

/**
 * Shares of processor time by part: packages, folders of src, modules of the runtime. A native function counts for its nearest caller with
 * a source.
 * @returns percent of each part, the largest first
 */
export function sharesOf({ nodes, samples, timeDeltas }: Profile): readonly (readonly [string, number])[] {
  const known = new Map(nodes.map((node) => [node.id, node]));
  const callers = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])));
  const partAt = (id: number | undefined): string => {
    const node = id === undefined ? undefined : known.get(id);
    if (node === undefined) return "the runtime itself";
    const { functionName, url } = node.callFrame;
    return NATIVE[url === "" ? functionName : ""] ?? partOf(url) ?? partAt(callers.get(node.id));
  };
  const times = new Map<string, number>();
  for (const [index, id] of samples.entries())
    times.set(partAt(id), (times.get(partAt(id)) ?? 0) + (timeDeltas[index] ?? 0));
  const total = [...times.values()].reduce((sum, each) => sum + each, 0);
  return [...times]
    .map(([part, time]) => [part, (100 * time) / total] as const)
    .sort(([, one], [, other]) => other - one);
}

/**
 * Where the processor time of a controller goes during mixed lives of one caller. It runs from the sources: the executable refuses Bun's
 * options.
 */
export async function profile(bench: Bench): Promise<void> {
  await onStand({ simulate: link(0) }, async (stand) => {
    bench.say("samples a controller");
    await stand.controllerProcess.stop();
    const options = ["--cpu-prof", "--cpu-prof-interval=200", `--cpu-prof-dir=${stand.directory}`];
    const flags = stand.controllerFlags(stand.controllerSocket);
    const source = join(repository, "src/main.ts");
    const running = await launch(
      process.execPath,
      "profiled",
      [...options, source, ...flags],
      stand.directory,
    );
    const answers = () => stand.identity.probe().then(Boolean, () => false);
    await until("the controller answers", answers);
    const rpcs = bench.quick ? 700 : 3_500;
    await atATime(1, rpcs / 7, async (index) => {
      for (const { call } of mixedLife(stand, `profiled-${index}`)) await call();
    });
    await running.stop();
    const file = (await readdir(stand.directory)).find((name) => name.endsWith(".cpuprofile"));
    if (file === undefined) throw new Error("the runtime wrote no profile");
    const shares = sharesOf(JSON.parse(await readFile(join(stand.directory, file), "utf8")));
    const small = shares.filter(([, share]) => share < LEAST);
    for (const [part, value] of shares)
      if (value >= LEAST) bench.add({ name: `share of processor time: ${part}`, value, unit: "%" });
    const value = small.reduce((sum, [, share]) => sum + share, 0);
    bench.add({ name: `share of processor time: ${small.length} parts below ${LEAST} %`, value, unit: "%" });
  });
}
