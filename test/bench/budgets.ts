import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { Controller } from "../../src/csi/gen/csi_pb.ts";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import { commandsOfCalls, LOGS_COMMANDS } from "../support/commands-of-calls.ts";
import { noDevices } from "../support/executable.ts";
import { block, MIB } from "../support/rpc.ts";
import type { Stand } from "../support/stand.ts";
import { fill, life, link, mixedLife, onStand, type Step } from "./measure.ts";
import { sizesNow } from "./sizes.ts";
import { noStrace } from "./started-programs.ts";

/** Counts by the name of a row, e.g. `CreateVolume, commands`. No clock has a part in them. */
export type Counts = Readonly<Record<string, number>>;

const run = promisify(execFile);
/** Arguments of unshare(1) for a namespace without other processes; what is left in it ends with it. */
const QUIET = ["--pid", "--fork", "--kill-child", "--mount-proc"];
const FILE = join(import.meta.dirname, "budgets.json");
/** How much a count may be above the recorded one. */
const SLACK = 1.1;

/** How often each call is counted: the least counts, as a call may join a command of a background job. */
const REPEATS = 3;

/** RouterOS commands of each call, and the bytes of their lines and replies. */
export async function countCommands(): Promise<Counts> {
  const counts: Record<string, number> = {};
  await onStand({ simulate: link(0), firstController: LOGS_COMMANDS }, async (stand) => {
    await stand.control.untilAnswered(2);
    // The first life also makes the folder.
    for (const { call } of life(stand, "first")) await call();
    for (let repeat = 0; repeat < REPEATS; repeat++) {
      for (const step of mixedLife(stand, `counted-${repeat}`)) await countCall(counts, stand, step);
    }
    for (let repeat = 0; repeat < REPEATS; repeat++) await countExpansions(counts, stand, `grown-${repeat}`);
    for (let repeat = 0; repeat < REPEATS; repeat++) await countUnknown(counts, stand, `unknown-${repeat}`);
  });
  const limited = ["--max-volumes-per-node", "100"];
  await onStand({ simulate: link(0), controller: limited, firstController: LOGS_COMMANDS }, async (stand) => {
    await stand.control.untilAnswered(2);
    for (let repeat = 0; repeat < REPEATS; repeat++) {
      for (const { rpc, call } of life(stand, `limited-${repeat}`)) {
        if (rpc !== "ControllerPublishVolume") await call();
        else await countCall(counts, stand, { rpc: `${rpc} with --max-volumes-per-node`, call });
      }
    }
  });
  for (const volumes of [10, 1_000]) {
    await onStand({ simulate: link(0), firstController: LOGS_COMMANDS }, async (stand) => {
      await fill(stand, volumes);
      for (let repeat = 0; repeat < REPEATS; repeat++) {
        for (const { rpc, call } of crowded(stand, `among-${repeat}`))
          await countCall(counts, stand, { rpc: `${rpc} beside ${volumes} volumes`, call });
      }
    });
  }
  return counts;
}

/** Growth of a volume that no node has, and of one that a node has. */
async function countExpansions(counts: Record<string, number>, stand: Stand, name: string): Promise<void> {
  const [create, publish, unpublish, remove] = life(stand, name) as [Step, Step, Step, Step];
  const volumeId = volumeIdFromName(name);
  const to = (rpc: string, requiredBytes: bigint): Step => ({
    rpc,
    call: () => stand.controller.controllerExpandVolume({ volumeId, capacityRange: { requiredBytes } }),
  });
  await create.call();
  await countCall(counts, stand, to("ControllerExpandVolume", 16n * MIB));
  await publish.call();
  await countCall(counts, stand, to("ControllerExpandVolume of an attached volume", 32n * MIB));
  await unpublish.call();
  await remove.call();
}

/** Publish by a controller that has not seen the volume. */
async function countUnknown(counts: Record<string, number>, stand: Stand, name: string): Promise<void> {
  const [create, publish, unpublish, remove] = life(stand, name) as [Step, Step, Step, Step];
  // Its own round would show it the volume: this one has ended when the volume is made.
  const mark = (await stand.control.commands()).at(-1)?.sequence ?? 0;
  const socket = join(stand.directory, "fresh.sock");
  const fresh = await stand.startController(socket, LOGS_COMMANDS);
  await stand.control.untilAnswered(2, mark);
  await create.call();
  const controller = stand.connect(Controller, socket);
  const request = { volumeId: volumeIdFromName(name), nodeId: "node-a", volumeCapability: block() };
  await countCall(counts, stand, {
    rpc: `${publish.rpc} of a volume that is not remembered`,
    call: () => controller.controllerPublishVolume(request),
  });
  await unpublish.call();
  await remove.call();
  controller.close();
  await fresh.stop();
}

const crowded = (stand: Stand, name: string): readonly Step[] => [
  { rpc: "ListVolumes", call: () => stand.controller.listVolumes() },
  ...mixedLife(stand, name),
];

async function countCall(counts: Record<string, number>, stand: Stand, step: Step): Promise<void> {
  const sent = await commandsOfCalls(stand, () => step.call());
  const least = (row: string, value: number) => {
    const name = `${step.rpc}, ${row}`;
    counts[name] = Math.min(value, counts[name] ?? value);
  };
  least("commands", sent.length);
  least("bytes sent", sum(sent.map(({ line }) => line.length)));
  least("bytes of replies", sum(sent.map(({ output }) => output.length)));
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0);

/** Why programs cannot be counted here; "" if they can. */
export const noPrograms: string = noDevices !== "" ? noDevices : noStrace;

/**
 * Programs that each call of a node starts, the least of some rounds. They are counted in a PID namespace: the users of a device are
 * looked for among all processes, and a helper process ends when that takes long.
 */
export async function countPrograms(): Promise<Counts> {
  const counter = join(import.meta.dirname, "count-programs.ts");
  const { stdout } = await run("unshare", [...QUIET, process.execPath, counter]);
  return JSON.parse(stdout) as Counts;
}

/** Sizes of what is shipped, as far as it is built. */
export async function countSizes(): Promise<Counts> {
  const { executable, image } = await sizesNow();
  return { "executable, bytes": executable, ...(image === undefined ? {} : { "image, bytes": image }) };
}

/** A part of the counts, which is counted at once. The image is one, as it is not built everywhere. */
export type Part = "commands" | "programs" | "executable" | "image";

function partOf(name: string): Part {
  if (name.endsWith(", processes")) return "programs";
  if (name === "executable, bytes") return "executable";
  return name === "image, bytes" ? "image" : "commands";
}

const without = (counts: Counts, parts: readonly Part[]): Counts =>
  Object.fromEntries(Object.entries(counts).filter(([name]) => !parts.includes(partOf(name))));

const readRecord = async (): Promise<Counts> => JSON.parse(await readFile(FILE, "utf8")) as Counts;

/** The recorded counts of some parts. */
export async function recorded(...parts: readonly Part[]): Promise<Counts> {
  const all = Object.entries(await readRecord());
  return Object.fromEntries(all.filter(([name]) => parts.includes(partOf(name))));
}

/**
 * The counts that exceed the recorded ones by more than a tenth, or have none, and the recorded ones that are not counted any more;
 * a line each. A smaller count passes.
 * @param budget the record of the parts that were counted
 */
export function overBudget(counts: Counts, budget: Counts): string[] {
  const remedy = "If that is meant to be, record it: scripts/bench --record";
  const over = Object.entries(counts).flatMap(([name, value]) => {
    const most = budget[name];
    if (most === undefined) return [`${name}: ${value}, and no count is recorded. ${remedy}`];
    if (value <= most * SLACK) return [];
    return [`${name}: ${value}, over the recorded ${most} by more than a tenth. ${remedy}`];
  });
  const gone = Object.entries(budget).filter(([name]) => counts[name] === undefined);
  return [
    ...over,
    ...gone.map(([name, value]) => `${name}: recorded as ${value}, and not counted any more. ${remedy}`),
  ];
}

/** Counts everything anew and writes the file; a part that cannot be counted on this machine keeps its record. */
export async function record(): Promise<void> {
  const before = await readRecord().catch(() => ({}) as Counts);
  const programs = noPrograms === "" ? await countPrograms() : {};
  const fresh: Counts = { ...(await countCommands()), ...programs, ...(await countSizes()) };
  const counts = { ...without(before, Object.keys(fresh).map(partOf)), ...fresh };
  await writeFile(FILE, `${JSON.stringify(counts, null, 2)}\n`);
  for (const name of Object.keys({ ...before, ...counts })) {
    const [was, is] = [before[name], counts[name]];
    if (was !== is) console.log(`${name}: ${was ?? "none"} → ${is ?? "none"}`);
  }
}
